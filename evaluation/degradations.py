"""Degrade real frames with shadow, gain, blur, speckle, crop and rotation, or burn in marks.

Each degradation is a pure function of a frame, its true ellipse, a severity from 0 (mild) to 1
(severe), and a random generator. Crop and rotation move the ellipse exactly. `degrade_all` applies
each kind once to an image, with uniform severity. The image's name fixes the seed, so the suite is
the same for every model. Text and callipers that a scanner burns in are no degradation: they hide
little, so a measurement should not suffer (`burn_in_marks`).
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
TEXT_ROWS_SHARE = 0.03
"""Height of a line of text, as a share of the frame's rows."""
TEXT_LINES = ("GA 24w1d  MI 1.1", "HC 217.4 mm", "BPD 61.2 mm  OFD 77.9", "12 Hz  14.2 cm", "FR 38")
WHITE = 255
CALLIPER_SHARE = 0.012
"""Half length of a calliper's cross, as a share of the frame's rows."""
DOTS = 48
"""Dots of a line between callipers, and of a dotted ellipse."""

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


def burn_in_marks(pixels: Picture, ellipse: Ellipse, name: str) -> Picture:
    """Draw lines of text near the corners, and callipers on the head, as a scanner does.

    Half of the images get crosses at the ends of both axes with dotted lines between them, the
    others a dotted ellipse. The callipers lie up to 2 % beside the true ones.
    """
    generator = to_generator("marks", name)
    marked = np.ascontiguousarray(pixels).copy()
    _write_text(marked, generator)
    near = ellipse.to_shape_matrix() * (1 + generator.uniform(-0.02, 0.02))
    center = np.array([ellipse.center_x_px, ellipse.center_y_px])
    ends = [(center + near @ axis, center - near @ axis) for axis in np.eye(2)]
    if generator.random() < 0.5:  # noqa: PLR2004 - half of the images
        angles_rad = np.arange(DOTS) * (2 * math.pi / DOTS)
        dots = center[:, None] + near @ np.stack((np.cos(angles_rad), np.sin(angles_rad)))
        _draw_dots(marked, dots.T)
        return marked
    for first, last in ends:
        _draw_dots(marked, np.linspace(first, last, DOTS))
        for end in (first, last):
            _draw_cross(marked, end)
    return marked


def _write_text(pixels: Picture, generator: np.random.Generator) -> None:
    rows, columns = pixels.shape
    line_px = TEXT_ROWS_SHARE * rows
    scale = line_px / 30  # the font's capital letters are about 22 pixels high at scale 1
    for corner in generator.permutation(4)[:2]:
        lines = generator.permutation(TEXT_LINES)[:3]
        x_px = int(columns * (0.02 if corner % 2 else 0.72))
        y_px = line_px * 1.5 if corner < 2 else rows - line_px * len(lines)  # noqa: PLR2004
        for index, line in enumerate(lines):
            at = (x_px, int(y_px + index * line_px))
            cv2.putText(pixels, str(line), at, cv2.FONT_HERSHEY_SIMPLEX, scale, WHITE, 1)


def _draw_dots(pixels: Picture, points: FloatArray) -> None:
    for x_px, y_px in np.rint(points).astype(int):
        cv2.circle(pixels, (int(x_px), int(y_px)), 1, WHITE, cv2.FILLED)


def _draw_cross(pixels: Picture, center: FloatArray) -> None:
    size_px = max(2 * round(CALLIPER_SHARE * pixels.shape[0]), 4)
    x_px, y_px = np.rint(center).astype(int)
    cv2.drawMarker(pixels, (int(x_px), int(y_px)), WHITE, cv2.MARKER_CROSS, size_px, 1)


def _to_angle_between(angles_rad: FloatArray, middle_rad: float) -> FloatArray:
    return np.abs((angles_rad - middle_rad + math.pi) % (2 * math.pi) - math.pi)


def _to_picture(values: FloatArray) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
