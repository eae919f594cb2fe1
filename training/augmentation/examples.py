"""Augment one frame and its annotated ellipse to one training example.

The geometric changes are combined to one affine map. It is applied to the frame by resampling and
to the ellipse by algebra, so labels stay exact. Then the grey values are changed: gain, gamma,
speckle, blur and acoustic shadow. All randomness comes from the generator argument.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray, to_affine_image
from headcirc.model.manifest import InputFacts
from headcirc.network_input import to_grid_mapping
from headcirc.raster import to_ellipse_coverage

SUPERSAMPLING = 2
"""Frames are warped at this multiple of the network's resolution, then area-averaged."""


@dataclass(frozen=True)
class AugmentationRanges:
    """Ranges of the augmentation; every value is drawn independently for each example.

    Attributes
    ----------
    rotation_deg, shift_share : float
        Maximum rotation and shift in both directions; the shift is a share of the network's grid.
    upside_down_probability : float
        Share of examples that are flipped vertically. Half of the examples are flipped
        horizontally.
    scale_low, scale_high : float
        Range of the zoom about the grid's centre.
    aspect_log : float
        Maximum stretch along x is `exp(aspect_log)`, the minimum its reciprocal.
    gamma_log : float
        Maximum exponent of the grey values is `exp(gamma_log)`, the minimum its reciprocal.
    gain_low, gain_high : float
        Range of the factor on the grey values.
    depth_gain_log : float
        Maximum change of the logarithm of the factor from top to bottom, in both directions.
    speckle : float
        Maximum standard deviation of the multiplicative noise; half of the examples have less than
        a quarter of it.
    blur_px : float
        Maximum standard deviation of the Gaussian blur, in network pixels; half of the blurred
        examples have less than a quarter of it.
    shadow_probability : float
        Share of examples with one to three acoustic shadows.
    swap_probability : float
        Share of examples whose head is replaced by another image's head (`head_swap`).
    cut_probability, cut_share : float
        Share of examples with one side blackened, and the maximum share of the picture that this
        side has.
    """

    rotation_deg: float = 25.0
    shift_share: float = 0.1
    upside_down_probability: float = 0.5
    scale_low: float = 0.6
    scale_high: float = 1.4
    aspect_log: float = 0.12
    gamma_log: float = 0.4
    gain_low: float = 0.6
    gain_high: float = 1.6
    depth_gain_log: float = 0.4
    speckle: float = 0.4
    blur_px: float = 2.5
    shadow_probability: float = 0.35
    swap_probability: float = 0.25
    cut_probability: float = 0.1
    cut_share: float = 0.25


NARROW = AugmentationRanges(
    rotation_deg=15.0,
    shift_share=0.08,
    upside_down_probability=0.0,
    scale_low=0.75,
    scale_high=1.3,
    aspect_log=0.1,
    gamma_log=0.35,
    gain_low=0.75,
    gain_high=1.3,
    depth_gain_log=0.3,
    speckle=0.2,
    blur_px=1.2,
    shadow_probability=0.3,
    swap_probability=0.2,
    cut_probability=0.05,
)
"""Milder ranges for a run's last epochs, closer to the images that the network will measure."""


def to_example(
    pixels: NDArray[np.uint8],
    ellipse: Ellipse | None,
    *,
    facts: InputFacts,
    ranges: AugmentationRanges,
    generator: np.random.Generator,
    frame_pixel_aspect: float = 1.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Augment one frame.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    ellipse : Ellipse or None
        Annotated ellipse, in frame pixels; None without a head or a label.
    facts : InputFacts
        The network's grid.
    ranges : AugmentationRanges
    generator : numpy.random.Generator
        The only source of randomness.
    frame_pixel_aspect : float
        Width over height of the frame's pixels.

    Returns
    -------
    grey : (height_px, width_px) float32 in [0, 1], network grid
    coverage : (height_px, width_px) float32 in [0, 1], network grid
        Share of each pixel inside the head.
    """
    rows, columns = pixels.shape
    mapping = to_grid_mapping(rows, columns, facts, frame_pixel_aspect=frame_pixel_aspect)
    affine = draw_affine(facts, ranges, generator) @ to_square(mapping.to_network_affine())
    fine = to_square(
        np.array(
            [
                [SUPERSAMPLING, 0.0, (SUPERSAMPLING - 1) / 2],
                [0.0, SUPERSAMPLING, (SUPERSAMPLING - 1) / 2],
            ]
        )
    )
    fine_size = (facts.width_px * SUPERSAMPLING, facts.height_px * SUPERSAMPLING)
    warped = cv2.warpAffine(pixels, (fine @ affine)[:2], fine_size, flags=cv2.INTER_LINEAR)
    grey = cv2.resize(warped, (facts.width_px, facts.height_px), interpolation=cv2.INTER_AREA)
    changed = change_grey_values(grey.astype(np.float32) / 255, ranges, generator)
    if ellipse is None:
        return changed, np.zeros_like(changed)
    coverage = to_ellipse_coverage(
        to_affine_image(ellipse, affine[:2]), facts.height_px, facts.width_px
    )
    return changed, coverage


def to_square(affine: FloatArray) -> FloatArray:
    """Return a (2, 3) affine map as a homogeneous (3, 3) matrix."""
    return np.vstack((affine, [0.0, 0.0, 1.0]))


def draw_affine(
    facts: InputFacts, ranges: AugmentationRanges, generator: np.random.Generator
) -> FloatArray:
    """Draw flips, rotation, zoom, stretch and shift as one (3, 3) map of the network's grid.

    The rotation is applied in square pixels: the grid's pixels are wider than high in the frame, so
    they are scaled before the rotation and scaled back after it.
    """
    squashed = np.diag([1 / facts.pixel_aspect, 1.0])
    angle_rad = math.radians(generator.uniform(-ranges.rotation_deg, ranges.rotation_deg))
    zoom = math.exp(generator.uniform(math.log(ranges.scale_low), math.log(ranges.scale_high)))
    stretch = math.exp(generator.uniform(-ranges.aspect_log, ranges.aspect_log))
    is_flipped = generator.random(2) < (0.5, ranges.upside_down_probability)
    flips = np.where(is_flipped, -1.0, 1.0)
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    turned = np.array([[cosine, -sine], [sine, cosine]]) * zoom * [stretch * flips[0], flips[1]]
    linear = squashed @ turned @ np.linalg.inv(squashed)
    size_px = np.array([facts.width_px, facts.height_px])
    center = (size_px - 1) / 2
    shift = generator.uniform(-ranges.shift_share, ranges.shift_share, size=2) * size_px
    affine = np.eye(3)
    affine[:2, :2] = linear
    affine[:2, 2] = center + shift - linear @ center
    return affine


def change_grey_values(
    grey: NDArray[np.float32], ranges: AugmentationRanges, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Apply random gamma, gain, shadows, blur and speckle to (rows, columns) in [0, 1]."""
    changed = grey ** np.float32(math.exp(generator.uniform(-ranges.gamma_log, ranges.gamma_log)))
    changed *= np.float32(generator.uniform(ranges.gain_low, ranges.gain_high))
    depth = np.linspace(-0.5, 0.5, grey.shape[0], dtype=np.float32)[:, None]
    changed *= np.exp(depth * np.float32(generator.uniform(-1, 1) * ranges.depth_gain_log))
    if generator.random() < ranges.shadow_probability:
        for _ in range(generator.integers(1, 4)):
            changed *= draw_shadow(grey.shape, ranges.upside_down_probability, generator)
    if generator.random() < 0.5:
        changed = cv2.GaussianBlur(changed, (0, 0), 0.2 + draw_mild(ranges.blur_px, generator))
    changed *= draw_speckle(grey.shape, draw_mild(ranges.speckle, generator), generator)
    if generator.random() < ranges.cut_probability:
        cut_side(changed, ranges.cut_share, generator)
    return np.clip(changed, 0, 1).astype(np.float32)


def draw_mild(largest: float, generator: np.random.Generator) -> float:
    """Draw a value from 0 to `largest`; in half of the cases it is below a quarter of it."""
    return largest * generator.uniform() ** 2


def cut_side(
    grey: NDArray[np.float32], largest_share: float, generator: np.random.Generator
) -> None:
    """Blacken one side of (rows, columns) in place, like the padding of another picture shape."""
    side = np.rot90(grey, int(generator.integers(4)))
    side[: int(generator.uniform(0, largest_share) * side.shape[0])] = 0


def draw_shadow(
    shape: tuple[int, ...], upside_down_probability: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw one acoustic shadow: a wedge below a probe that starts at some depth, with soft edges.

    Returns
    -------
    (rows, columns) float32 in [0, 1]
        Factor on the grey values.
    """
    rows, columns = shape
    upside_down = generator.random() < upside_down_probability  # then the probe is at the bottom
    apex_x = generator.uniform(0.2, 0.8) * columns
    apex_y = -generator.uniform(0.05, 1.0) * rows
    center_rad = generator.uniform(-0.6, 0.6)
    half_width_rad = generator.uniform(0.03, 0.22)
    start_px = generator.uniform(0.0, 0.7) * rows
    x = np.arange(columns, dtype=np.float32) - np.float32(apex_x)
    y = np.arange(rows, dtype=np.float32)[:, None]
    angle_rad = np.arctan2(x, y - np.float32(apex_y))
    side = to_step((half_width_rad - np.abs(angle_rad - center_rad)) / 0.015)
    onset = to_step((y - start_px) / 6)
    shadow = 1 - generator.uniform(0.4, 0.97) * side * onset
    return (shadow[::-1] if upside_down else shadow).astype(np.float32)


def to_step(distance: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the logistic function, computed with tanh because it cannot overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * distance)


def draw_speckle(
    shape: tuple[int, ...], deviation: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw multiplicative noise with mean 1 and a grain of one network pixel or more."""
    noise = generator.standard_normal(shape, dtype=np.float32)
    grain_px = generator.uniform(0, 1.5)
    if grain_px > 0.4:
        noise = cv2.GaussianBlur(noise, (0, 0), grain_px)
        noise /= noise.std() + np.float32(1e-6)
    return 1 + np.float32(deviation) * noise
