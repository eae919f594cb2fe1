"""Compute uncertainty features of one result, and combine them into scores.

The features come from probabilities and grey values on short lines across the ellipse, and from a
coarse grid over the whole frame. They need no further inference. Their weights come from the
manifest. This module changes no measurement.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray, HeadMask
from headcirc.model.site import SiteFacts
from headcirc.model.uncertainty_model import UncertaintyModel

LINES = 96
"""Number of lines across the ellipse, at equal steps of its parametric angle."""
LINE_POINTS = 33
REACH_SHARE = 0.2
"""Length of a line on each side of the ellipse, as a share of the head's mean radius."""
SURE_PROBABILITY = 0.8
"""A line is clear if the head's side exceeds this probability and the other side is below 1 minus
it. A change of any constant in this module changes the features, so the uncertainty models must be
fitted again."""
DARK_SHARE = 0.35
"""A line is in shadow if its echo is below this share of the outline's bright echoes."""
BRIGHT_PERCENTILE, WORST_PERCENTILE = 75, 95
BLACK, WHITE = 2, 250
FRAME_STEP_PX = 8
GRAINS_PX = (1, 3)
"""Distances of the neighbours that measure fine and coarse grain."""
SMALLEST_GREY = 1.0

ERROR_FEATURES = (
    "unseen share",
    "soft width",
    "widest soft width",
    "lost share",
    "uncertainty inside",
    "uncertainty outside",
    "displacement",
    "worst displacement",
    "flatness",
    "unsure mask",
    "rejected share",
    "lack of contrast",
    "dark share",
    "uneven echo",
    "small head",
)
"""Larger values mean a less certain measurement."""
FRAME_FEATURES = ("brightness", "grain", "roughness", "white share", "black share")
"""Features of the whole frame; small and large values are both unusual."""
FEATURES = ERROR_FEATURES + FRAME_FEATURES

_ANGLES_RAD = np.arange(LINES) * (2 * math.pi / LINES)
_CIRCLE = np.stack((np.cos(_ANGLES_RAD), np.sin(_ANGLES_RAD)))
_TANGENTS = np.stack((-_CIRCLE[1], _CIRCLE[0]))
_OFFSETS = np.linspace(-REACH_SHARE, REACH_SHARE, LINE_POINTS)
_STEP = float(_OFFSETS[1] - _OFFSETS[0])
_END = LINE_POINTS // 3
_MIDDLE = LINE_POINTS // 2
_ECHO = slice(LINE_POINTS // 5, 5 * LINE_POINTS // 8)


@dataclass(frozen=True)
class Uncertainty:
    """The features of one result, and the scores computed from them.

    Attributes
    ----------
    features : dict
        Feature to value, in the order of `FEATURES`.
    expected_error_mm : float or None
        Expected absolute error of the circumference. If the pixel size is unknown, it is the error
        for a head of `uncertainty_model.REFERENCE_MM`. None without an uncertainty model.
    out_of_distribution : float or None
        Out-of-distribution score: larger means less similar to the clean training images. None
        without an uncertainty model.
    """

    features: dict[str, float]
    expected_error_mm: float | None
    out_of_distribution: float | None


@dataclass(frozen=True)
class Interval:
    """An interval that should contain the annotated circumference; see `docs/uncertainty.md`.

    Attributes
    ----------
    level : float
        Nominal coverage, as a share.
    low_mm, high_mm : float
    """

    level: float
    low_mm: float
    high_mm: float


def measure_uncertainty(
    pixels: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    head_mask: HeadMask,
    ellipse: Ellipse,
    *,
    facts: UncertaintyModel | None = None,
    head_circumference_mm: float | None = None,
) -> Uncertainty:
    """Compute the features of a result and the scores from them.

    Parameters
    ----------
    pixels, probabilities : (rows, columns), frame grid
        Grey values, uint8, and probabilities, float32.
    head_mask : HeadMask
    ellipse : Ellipse
        The fitted ellipse, in frame pixels.
    facts : UncertaintyModel or None
        From the manifest; without it the scores are None.
    head_circumference_mm : float or None
        None if the pixel size is unknown.

    Returns
    -------
    Uncertainty
    """
    radius_px = math.sqrt(ellipse.semi_axis_major_px * ellipse.semi_axis_minor_px)
    x_px, y_px, lengths = _to_lines(ellipse, radius_px, pixels.shape)
    seen = lengths / max(float(lengths.sum()), 1e-9)
    across = cv2.remap(probabilities, x_px, y_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    echoes = cv2.remap(pixels, x_px, y_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    whole = float(np.hypot(*(ellipse.to_shape_matrix() @ _TANGENTS)).sum())
    values = (
        1 - float(lengths.sum()) / whole,
        *_to_edge_features(across, seen),
        1 - head_mask.mean_probability,
        head_mask.largest_rejected_share,
        *_to_echo_features(echoes, seen),
        -math.log(radius_px / math.sqrt(pixels.size)),
        *_to_frame_features(pixels),
    )
    features = dict(zip(FEATURES, values, strict=True))
    if facts is None:
        return Uncertainty(features, None, None)
    expected_error_mm = facts.to_expected_error_mm(features, head_circumference_mm)
    return Uncertainty(features, expected_error_mm, facts.out_of_distribution.weigh(features))


def to_interval(
    head_circumference_mm: float | None,
    uncertainty: Uncertainty,
    *,
    facts: UncertaintyModel | None,
    site: SiteFacts | None = None,
) -> Interval | None:
    """Return the interval around a circumference.

    The half-width is `facts.interval.factor` times the expected error, and times the site's factor;
    the lower bound is at least 0. None without a circumference or without an uncertainty model.
    """
    if head_circumference_mm is None or facts is None or uncertainty.expected_error_mm is None:
        return None
    half_mm = facts.interval.factor * uncertainty.expected_error_mm
    level = facts.interval.level
    if site is not None:
        half_mm, level = site.interval_factor * half_mm, site.level
    low_mm = max(head_circumference_mm - half_mm, 0.0)
    return Interval(level, low_mm, head_circumference_mm + half_mm)


def _to_lines(
    ellipse: Ellipse, radius_px: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32], FloatArray]:
    """Return x and y of the lines' points, and the length of the outline that each line represents.

    x and y have the shape (LINE_POINTS, LINES); the first row lies inside the head. A line that
    crosses the ellipse outside the frame represents the length 0.
    """
    matrix = ellipse.to_shape_matrix()
    center = np.array([[ellipse.center_x_px], [ellipse.center_y_px]])
    edge = center + matrix @ _CIRCLE
    (a, b), (c, d) = matrix.tolist()
    normals = np.array([[d, -c], [-b, a]]) @ _CIRCLE  # the transposed inverse, but for a factor
    normals /= np.hypot(*normals)
    points = edge[:, None] + normals[:, None] * (_OFFSETS * radius_px)[:, None]
    x_px, y_px = points.astype(np.float32)
    last = np.array(shape[::-1])[:, None] - 1
    is_seen = ((edge >= 0) & (edge <= last)).all(axis=0)
    return x_px, y_px, np.hypot(*(matrix @ _TANGENTS)) * is_seen


def _to_edge_features(across: NDArray[np.float32], seen: FloatArray) -> tuple[float, ...]:
    """Return the features of the probabilities on the lines; widths are shares of the radius."""
    soft_width = (across * (1 - across)).sum(axis=0) * (4 * _STEP)
    inside, outside = across[:_END].mean(axis=0), across[-_END:].mean(axis=0)
    is_lost = (inside < SURE_PROBABILITY) | (outside > 1 - SURE_PROBABILITY)
    displacement = np.where(seen > 0, across.sum(axis=0) * _STEP - REACH_SHARE - _STEP / 2, 0)
    slope = float(seen @ (across[_MIDDLE - 2] - across[_MIDDLE + 2])) / (4 * _STEP)
    return (
        float(seen @ soft_width),
        float((soft_width * (seen > 0)).max()),
        float(seen @ is_lost),
        1 - float(seen @ inside),
        float(seen @ outside),
        math.sqrt(float(seen @ displacement**2)),
        _to_percentile(np.abs(displacement), WORST_PERCENTILE),
        -math.log(max(slope, 1.0)),
    )


def _to_echo_features(echoes: NDArray[np.uint8], seen: FloatArray) -> tuple[float, float, float]:
    """Return lack of contrast, dark share and uneven echo of the skull."""
    wrapped = np.concatenate((echoes[:, -3:], echoes, echoes[:, :3]), axis=1)
    smooth = cv2.blur(wrapped, (7, 3))[:, 3:-3].astype(np.float32)
    peak = smooth[_ECHO].max(axis=0)
    beside = np.maximum(smooth[: _ECHO.start].mean(axis=0), smooth[_ECHO.stop :].mean(axis=0))
    is_dark = peak < DARK_SHARE * _to_percentile(peak, BRIGHT_PERCENTILE)
    level = smooth.mean(axis=0) + SMALLEST_GREY
    uneven = math.log(_to_percentile(level, 50) / _to_percentile(level, 100 - WORST_PERCENTILE))
    return -float(seen @ ((peak - beside) / (peak + 10))), float(seen @ is_dark), uneven


def _to_frame_features(pixels: NDArray[np.uint8]) -> tuple[float, ...]:
    """Return the features of the whole picture, from every eighth row and column."""
    fine, coarse = GRAINS_PX
    rows = pixels[::FRAME_STEP_PX]
    columns = max((pixels.shape[1] - coarse) // FRAME_STEP_PX, 1) * FRAME_STEP_PX
    grey, near, far = (
        rows[:, at : columns + at : FRAME_STEP_PX].astype(np.int16) for at in (0, fine, coarse)
    )
    if grey.shape != far.shape:  # narrower than one step
        near = far = grey
    mean = float(grey.mean()) + SMALLEST_GREY
    near_change = float(np.abs(near - grey).mean()) + SMALLEST_GREY / 4
    far_change = float(np.abs(far - grey).mean()) + SMALLEST_GREY / 4
    return (
        math.log(mean),
        math.log(near_change / far_change),
        math.log(near_change / mean),
        float((grey >= WHITE).mean()),
        float((grey <= BLACK).mean()),
    )


def _to_percentile(values: NDArray[Any], percent: int) -> float:
    """Return a percentile without interpolation; ten times as fast as `np.percentile`."""
    return float(np.sort(values)[(len(values) - 1) * percent // 100])
