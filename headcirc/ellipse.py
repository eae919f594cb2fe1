"""Fit the ellipse that labels the largest expected number of pixels correctly.

A pixel with head probability p is labelled correctly with probability p if the ellipse contains it,
and with probability 1 - p otherwise. The objective is therefore the sum of 2 p - 1 over the inside
of the ellipse, and this stage maximises it. A least-squares fit to the mask's edge squares
distances; this objective does not. A body part that touches the head, or a wall lost in shadow,
influences the fit only in proportion to its area and probability. Pixels outside the frame
contribute nothing, so the image border does not bias a head that it cuts. This stage works in
pixels, not in millimetres.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray, HeadMask, to_axes

EDGE_SAMPLES = 192
SMALLEST_SLOPE_PER_PX = 0.03
"""Lower limit on the slope of the probability; flatter edges would give steps that are too long."""
LARGEST_STEP_SHARE = 0.25
"""Maximum length of a step, as a share of the initial ellipse's smaller semi-axis."""
CONVERGED_PX = 0.01
"""The fit has converged when a step is shorter than this."""
MAXIMUM_STEPS = 40
MINIMUM_AREA_PX = 16
MAXIMUM_AXIS_RATIO = 4.0
"""A fit with a larger ratio of the axes has failed: no head is four times as long as wide."""

_OFFSETS_PX = np.arange(-2.0, 3.0)
_MEAN = np.full(len(_OFFSETS_PX), 1 / len(_OFFSETS_PX))
_ANGLES_RAD = np.arange(EDGE_SAMPLES) * (2 * math.pi / EDGE_SAMPLES)
_CIRCLE = np.stack((np.cos(_ANGLES_RAD), np.sin(_ANGLES_RAD)))
_IDENTITY = np.eye(5)
_ZERO, _ONE = np.zeros(EDGE_SAMPLES), np.ones(EDGE_SAMPLES)
_MOVES_X = np.stack((_ONE, _ZERO, _CIRCLE[0], _CIRCLE[1], _ZERO))
_MOVES_Y = np.stack((_ZERO, _ONE, _ZERO, _CIRCLE[0], _CIRCLE[1]))
"""How far each change of centre and shape moves the edge along x and along y."""


def fit_head_ellipse(
    probabilities: NDArray[np.float32], head_mask: HeadMask, threshold: float
) -> Ellipse | None:
    """Fit one ellipse to the edge of the head's probability map.

    Parameters
    ----------
    probabilities : (rows, columns) float32, frame grid
        Probability that a pixel belongs to the head.
    head_mask : HeadMask
        The fit starts from the ellipse with the same second moments as this mask.
    threshold : float
        A pixel belongs to the head above this probability; from the manifest.

    Returns
    -------
    Ellipse or None
        In frame pixels. None if the fit does not converge to a head-like ellipse, or if the centre
        lies outside the frame, because less than half of such a head is visible.

    References
    ----------
    Zhu, Yuille 1996, "Region competition", doi:10.1109/34.537343: the local evidence moves each
    piece of the edge. Here the edge stays an ellipse and moves by Newton steps.
    """
    start = _to_moment_ellipse(head_mask.pixels)
    if start is None:
        return None
    center, shape = start
    previous = np.zeros(5)
    allowed_px = LARGEST_STEP_SHARE * _to_eigenvalues(shape)[0]
    for _ in range(MAXIMUM_STEPS):
        if not (_is_head_like(shape) and _is_inside(center, probabilities.shape)):
            return None
        step = _to_step(probabilities, center, shape, threshold)
        if step @ previous < 0:  # the maximum lies between the last two positions
            allowed_px = min(allowed_px, math.hypot(*previous) / 2)
        step *= min(1.0, allowed_px / max(math.hypot(*step), CONVERGED_PX))
        center = center + step[:2]
        shape = shape + np.array([[step[2], step[3]], [step[3], step[4]]])
        if math.hypot(*step) < CONVERGED_PX:
            return Ellipse(float(center[0]), float(center[1]), *to_axes(shape))
        previous = step
    return None


def _to_moment_ellipse(mask: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray] | None:
    """Return centre and shape of the ellipse with the mask's second moments.

    The shape is the symmetric (2, 2) matrix that maps the unit circle to the ellipse. Unlike axes
    and angle, it is well defined for circles.
    """
    pixels = mask.view(np.uint8)
    left, top, width, height = cv2.boundingRect(pixels)
    # Only the head's box is summed. Zeros and ones: no `binaryImage`, which is slow.
    moments = cv2.moments(pixels[top : top + height, left : left + width])
    area_px = moments["m00"]
    if area_px < MINIMUM_AREA_PX:
        return None
    xx, xy, yy = (moments[name] / area_px for name in ("mu20", "mu11", "mu02"))
    # Twice the square root of the covariance, by the theorem of Cayley and Hamilton.
    root = math.sqrt(max(xx * yy - xy * xy, 0))
    shape = np.array([[xx + root, xy], [xy, yy + root]]) * (2 / math.sqrt(xx + yy + 2 * root))
    return np.array([moments["m10"] / area_px + left, moments["m01"] / area_px + top]), shape


def _is_head_like(shape: FloatArray) -> bool:
    smaller, larger = _to_eigenvalues(shape)
    return 0 < larger <= MAXIMUM_AXIS_RATIO * smaller


def _to_eigenvalues(shape: FloatArray) -> tuple[float, float]:
    """Return the eigenvalues of a symmetric (2, 2) matrix, the smaller one first."""
    (a, b), (_, c) = shape.tolist()
    middle, half = (a + c) / 2, math.hypot((a - c) / 2, b)
    return middle - half, middle + half


def _is_inside(center: FloatArray, frame_shape: tuple[int, ...]) -> bool:
    x_px, y_px = float(center[0]), float(center[1])
    rows, columns = frame_shape
    return -0.5 <= x_px <= columns - 0.5 and -0.5 <= y_px <= rows - 0.5  # noqa: PLR2004 - half a pixel


def _to_step(
    probabilities: NDArray[np.float32],
    center: FloatArray,
    shape: FloatArray,
    threshold: float,
) -> FloatArray:
    """Return one Newton step, the change of centre (x, y) and shape (xx, xy, yy).

    The gradient of the objective is the probability minus the threshold along the edge. The
    curvature is the slope of the probability across the edge.
    """
    edge = center[:, None] + shape @ _CIRCLE
    normals = _to_adjugate(shape) @ _CIRCLE
    length = np.hypot(*normals)  # also of the tangents, which are the normals turned
    normals /= length
    across = (edge[:, None] + normals[:, None] * _OFFSETS_PX[:, None]).astype(np.float32)
    x_px, y_px = across
    sampled = cv2.remap(
        probabilities, x_px, y_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    slope = (sampled[0] - sampled[-1]) / (_OFFSETS_PX[-1] - _OFFSETS_PX[0])
    last = np.array(probabilities.shape[::-1])[:, None] - 1
    to_border = np.minimum(edge, last - edge)
    is_seen = np.minimum(np.maximum(np.minimum(*to_border), 0), 1)
    length *= is_seen
    slope = np.maximum(slope, SMALLEST_SLOPE_PER_PX)
    moves = normals[0] * _MOVES_X + normals[1] * _MOVES_Y
    curvature = (moves * (length * slope)) @ moves.T
    curvature += (1e-6 * np.trace(curvature) + 1e-12) * _IDENTITY
    return np.linalg.solve(curvature, moves @ (length * (_MEAN @ sampled - threshold)))


def _to_adjugate(shape: FloatArray) -> FloatArray:
    """Return the inverse of a symmetric (2, 2) matrix times its determinant, which is positive."""
    (a, b), (_, c) = shape.tolist()
    return np.array([[c, -b], [-b, a]])
