"""Replace the head in a frame by the head of another frame.

In early pregnancy the body lies beside the head, and a network that was trained on few bodies
includes them in the mask. Heads in the surroundings of other frames teach the network that the
surroundings do not belong to the head. The donor's ellipse is mapped onto the frame's ellipse, so
the label stays exact. All randomness comes from the generator argument.

References
----------
Dwibedi, Misra, Hebert 2017, arXiv 1708.01642 (cut, paste and learn): the blending width must vary,
or the network learns to detect the seam.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray, to_half_extents

LARGEST_SIZE_RATIO = 1.4
"""Maximum ratio of the circumferences of two heads, because anatomy changes with age."""
RIM_START_SHARES, RIM_WIDTH_SHARES = (0.02, 0.08), (0.03, 0.12)
"""Ranges of the start and the width of the blending rim outside the outline, as shares of the
radius. The rim starts outside the skull's outer edge, so the whole skull is copied."""
LARGEST_GAIN = 2.0


def are_alike(circumference_mm: float, other_mm: float) -> bool:
    """Return whether two heads are similar enough in size to be swapped."""
    return abs(math.log(circumference_mm / other_mm)) < math.log(LARGEST_SIZE_RATIO)


def is_whole(pixels: NDArray[np.uint8], ellipse: Ellipse) -> bool:
    """Return whether a head and its blending rim lie completely inside the frame."""
    rows, columns = pixels.shape
    rim = 1 + RIM_START_SHARES[1] + RIM_WIDTH_SHARES[1]
    half_x, half_y = (rim * half for half in to_half_extents(ellipse))
    return bool(
        half_x <= ellipse.center_x_px <= columns - 1 - half_x
        and half_y <= ellipse.center_y_px <= rows - 1 - half_y
    )


def paste_head(
    pixels: NDArray[np.uint8],
    ellipse: Ellipse,
    donor_pixels: NDArray[np.uint8],
    donor_ellipse: Ellipse,
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    """Replace a frame's head by the donor's head.

    Parameters
    ----------
    pixels, donor_pixels : (rows, columns) uint8, each its own frame grid
    ellipse, donor_ellipse : Ellipse
        The heads, each in its own frame's pixels; `ellipse` is also the label of the result.
    generator : numpy.random.Generator
        Determines the flips of the head and the blending rim.

    Returns
    -------
    (rows, columns) uint8, grid of `pixels`
    """
    flips = np.diag(generator.choice([-1.0, 1.0], size=2))
    linear = ellipse.to_shape_matrix() @ flips @ np.linalg.inv(donor_ellipse.to_shape_matrix())
    shift = _to_center(ellipse) - linear @ _to_center(donor_ellipse)
    size = (pixels.shape[1], pixels.shape[0])
    moved = cv2.warpAffine(donor_pixels, np.column_stack((linear, shift)), size).astype(np.float32)
    radius = _to_radius(ellipse, *pixels.shape)
    start = 1 + generator.uniform(*RIM_START_SHARES)
    width = generator.uniform(*RIM_WIDTH_SHARES)
    is_rim = (radius > 1) & (radius < start + width)
    if is_rim.any():  # otherwise the head fills the frame
        gain = (pixels[is_rim].mean() + 1) / (moved[is_rim].mean() + 1)
        moved *= np.float32(np.clip(gain, 1 / LARGEST_GAIN, LARGEST_GAIN))
    inside = np.clip((start + width - radius) / width, 0, 1)
    return np.clip(np.rint(pixels + (moved - pixels) * inside), 0, 255).astype(np.uint8)


def _to_center(ellipse: Ellipse) -> FloatArray:
    return np.array([ellipse.center_x_px, ellipse.center_y_px])


def _to_radius(ellipse: Ellipse, rows: int, columns: int) -> NDArray[np.float32]:
    """Return the distance from the centre relative to the ellipse: 1 on its outline."""
    inverse = np.linalg.inv(ellipse.to_shape_matrix()).astype(np.float32)
    x = np.arange(columns, dtype=np.float32) - np.float32(ellipse.center_x_px)
    y = (np.arange(rows, dtype=np.float32) - np.float32(ellipse.center_y_px))[:, None]
    return np.hypot(inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y)
