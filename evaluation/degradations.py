"""Degrade real frames with shadow, gain, blur, speckle, crop and rotation.

Each degradation is a pure function of a frame, its true ellipse, a severity from 0 (mild) to 1
(severe), and a random generator. Crop and rotation move the ellipse exactly. `degrade_all` applies
each kind once to an image, with uniform severity. The image's name fixes the seed, so the suite is
the same for every model.
"""

import math
import zlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray, to_affine_image, to_half_extents

SEED = 20_261_124
SHADOWED_SHARES = (0.05, 0.40)
"""Shadowed shares of the skull's visible outline, at severity 0 and 1."""
LEFT_IN_SHADOW = (0.05, 0.30)
"""Range of the share of the grey value that remains in a shadow; drawn at random."""
SHADOW_RIM_SHARE = 0.15
"""Half width of a shadow's soft rim, as a share of the shadow's own half width."""
APEX_X_SHARES, APEX_Y_SHARES = (0.3, 0.7), (-0.6, -0.1)
"""Ranges of the point above the frame where the beams meet, as shares of columns and rows."""
LARGEST_GAIN = 4.0
"""Largest factor on the grey values; the smallest is its inverse."""
LARGEST_BLUR_SHARE = 0.015
"""Standard deviation divided by the frame's columns: 12 of 800 pixels, 4 in the network input."""
LARGEST_SPECKLE = 0.8
"""Standard deviation of the factor on the grey values."""
SPECKLE_GRAIN_PX = 1.5
LARGEST_CUT_SHARE = 0.25
"""Largest share of the head's extent that is cut off; at severity 0 the frame ends at the head."""
LARGEST_ROTATION_DEG = 45.0
OUTLINE_POINTS = 2880

Picture = NDArray[np.uint8]
Degradation = Callable[[Picture, Ellipse, float, np.random.Generator], tuple[Picture, Ellipse]]


def shadow(
    pixels: Picture, ellipse: Ellipse, severity: float, generator: np.random.Generator
) -> tuple[Picture, Ellipse]:
    """Cast an acoustic shadow over 5 to 40 % of the skull."""
    low, high = SHADOWED_SHARES
    return cast_shadow(pixels, ellipse, low + severity * (high - low), generator), ellipse


def cast_shadow(
    pixels: Picture, ellipse: Ellipse, share: float, generator: np.random.Generator
) -> Picture:
    """Darken a wedge of beams that covers a share of the skull.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    ellipse : Ellipse
        The skull, in frame pixels.
    share : float
        Share of the ellipse's length inside the frame; half of the shadow's rim counts.
    generator : numpy.random.Generator
        Draws the probe's position, the centre of the shadow on the skull, and its depth.
    """
    rows, columns = pixels.shape
    apex_x_px = columns * generator.uniform(*APEX_X_SHARES)
    apex_y_px = rows * generator.uniform(*APEX_Y_SHARES)
    x, y, lengths = to_visible_outline(ellipse, rows, columns)
    towards = np.arctan2(x - apex_x_px, y - apex_y_px)
    middle_rad = generator.choice(towards, p=lengths / lengths.sum())
    offsets_rad = _to_angle_between(towards, middle_rad)
    order = np.argsort(offsets_rad)
    covered = np.cumsum(lengths[order]) / lengths.sum()
    half_width_rad = offsets_rad[order][np.searchsorted(covered, share)]
    columns_px, rows_px = np.meshgrid(np.arange(columns), np.arange(rows))
    beams = np.arctan2(columns_px - apex_x_px, rows_px - apex_y_px)
    inwards = 1 - _to_angle_between(beams, middle_rad) / half_width_rad
    depth = np.clip(0.5 + 0.5 * inwards / SHADOW_RIM_SHARE, 0, 1)
    return _to_picture(pixels * (1 - depth * (1 - generator.uniform(*LEFT_IN_SHADOW))))


def to_visible_outline(
    ellipse: Ellipse, rows: int, columns: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return x and y of points on an ellipse, and the length of each; 0 outside the frame."""
    angles_rad = np.arange(OUTLINE_POINTS) * (2 * math.pi / OUTLINE_POINTS)
    shape = ellipse.to_shape_matrix()
    x, y = shape @ np.stack((np.cos(angles_rad), np.sin(angles_rad)))
    x, y = x + ellipse.center_x_px, y + ellipse.center_y_px
    along = shape @ np.stack((-np.sin(angles_rad), np.cos(angles_rad)))
    is_inside = (x >= 0) & (y >= 0) & (x <= columns - 1) & (y <= rows - 1)
    return x, y, np.linalg.norm(along, axis=0) * is_inside


def change_gain(
    pixels: Picture, ellipse: Ellipse, severity: float, generator: np.random.Generator
) -> tuple[Picture, Ellipse]:
    """Multiply the grey values by up to 4 or down to 1/4; values above white become white."""
    exponent = severity * generator.choice((-1.0, 1.0))
    return _to_picture(pixels * LARGEST_GAIN**exponent), ellipse


def blur(
    pixels: Picture, ellipse: Ellipse, severity: float, generator: np.random.Generator
) -> tuple[Picture, Ellipse]:
    """Blur the frame; this degradation is not random."""
    del generator
    deviation_px = severity * LARGEST_BLUR_SHARE * pixels.shape[1]
    if deviation_px == 0:
        return pixels, ellipse
    return _to_picture(cv2.GaussianBlur(pixels, (0, 0), deviation_px)), ellipse


def speckle(
    pixels: Picture, ellipse: Ellipse, severity: float, generator: np.random.Generator
) -> tuple[Picture, Ellipse]:
    """Multiply the grey values by grained noise with mean 1."""
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    grains = cv2.GaussianBlur(noise, (0, 0), SPECKLE_GRAIN_PX)
    return _to_picture(pixels * (1 + severity * LARGEST_SPECKLE * grains / grains.std())), ellipse


def crop(
    pixels: Picture, ellipse: Ellipse, severity: float, generator: np.random.Generator
) -> tuple[Picture, Ellipse]:
    """Cut off one side of the frame, with up to a quarter of the head's extent.

    If that much of the head already lies outside the frame, the side stays unchanged.
    """
    rows, columns = pixels.shape
    half_x, half_y = to_half_extents(ellipse)
    kept = 1 - 2 * severity * LARGEST_CUT_SHARE
    left, top, right, bottom = 0, 0, columns, rows
    side = generator.integers(4)
    if side == 0:
        left = max(math.ceil(ellipse.center_x_px - kept * half_x), left)
    elif side == 1:
        top = max(math.ceil(ellipse.center_y_px - kept * half_y), top)
    elif side == 2:  # noqa: PLR2004 - the four sides
        right = min(math.floor(ellipse.center_x_px + kept * half_x) + 1, right)
    else:
        bottom = min(math.floor(ellipse.center_y_px + kept * half_y) + 1, bottom)
    moved = to_affine_image(ellipse, np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]))
    return np.ascontiguousarray(pixels[top:bottom, left:right]), moved


def rotate(
    pixels: Picture, ellipse: Ellipse, severity: float, generator: np.random.Generator
) -> tuple[Picture, Ellipse]:
    """Rotate by up to 45 degrees about the frame's centre; the new corners are black."""
    rows, columns = pixels.shape
    angle_deg = severity * LARGEST_ROTATION_DEG * generator.choice((-1.0, 1.0))
    affine = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), angle_deg, 1.0)
    turned = cv2.warpAffine(pixels, affine, (columns, rows), flags=cv2.INTER_LINEAR)
    return np.asarray(turned, np.uint8), to_affine_image(ellipse, affine)


DEGRADATIONS: dict[str, Degradation] = {
    "shadow": shadow,
    "gain": change_gain,
    "blur": blur,
    "speckle": speckle,
    "crop": crop,
    "rotation": rotate,
}


def to_generator(kind: str, name: str) -> np.random.Generator:
    """Return the generator for an image and a kind; it is the same in every run and subset."""
    return np.random.default_rng([SEED, zlib.crc32(kind.encode()), zlib.crc32(name.encode())])


def degrade_all(
    pixels: Picture, ellipse: Ellipse, name: str
) -> Iterator[tuple[str, float, Picture, Ellipse]]:
    """Yield the kind, the severity, the frame and the true ellipse of each degradation.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    ellipse : Ellipse
        The true ellipse, in frame pixels.
    name : str
        Name of the image; it fixes the seed.
    """
    for kind, degradation in DEGRADATIONS.items():
        generator = to_generator(kind, name)
        severity = float(generator.uniform())
        yield kind, severity, *degradation(pixels, ellipse, severity, generator)


def _to_angle_between(angles_rad: FloatArray, middle_rad: float) -> FloatArray:
    return np.abs((angles_rad - middle_rad + math.pi) % (2 * math.pi) - math.pi)


def _to_picture(values: FloatArray) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
