"""One frame and its true ellipse to one training example.

Geometry is drawn first and applied as one affine map, to the frame by resampling and to the
ellipse by algebra, so labels stay exact; then grey values are changed as gain, gamma, speckle,
focus and acoustic shadow change them. All chance comes from the generator that is passed in.
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
"""Frames are warped at twice the network's resolution and averaged, as the service averages."""


@dataclass(frozen=True)
class AugmentationRanges:
    """How far each change goes; every one is drawn anew for each example.

    Attributes
    ----------
    rotation_deg, shift_share : float
        Either way; the shift as a share of the network's grid.
    upside_down_probability : float
        Share of examples with the probe at the bottom; left and right change places in half.
    scale_low, scale_high : float
        Zoom about the grid's centre.
    aspect_log : float
        Stretch along x by up to `exp(aspect_log)`, either way.
    gamma_log : float
        Exponent of the grey values up to `exp(gamma_log)`, either way.
    gain_low, gain_high : float
        Factor on the grey values.
    depth_gain_log : float
        The factor's further change from top to bottom, as an exponent, either way.
    speckle : float
        Largest standard deviation of the multiplicative noise; half the examples have less than a
        quarter of it.
    blur_px : float
        Largest standard deviation of the Gaussian blur, in network pixels; of the examples that
        are blurred, half have less than a quarter of it.
    shadow_probability : float
        Share of examples with one to three acoustic shadows.
    swap_probability : float
        Share of examples with another image's head in the place of their own (`head_swap`).
    cut_probability, cut_share : float
        Share of examples whose picture ends before the grid does, and how much of one side it
        loses at most.
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
"""For a run's last epochs: a small network that has seen much should end near what it will see."""


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
        The true outline, in frame pixels; None where there is no head or no label.
    facts : InputFacts
        The network's grid.
    ranges : AugmentationRanges
    generator : numpy.random.Generator
        The only source of chance.
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
    """Return a (2, 3) affine map as a (3, 3) matrix, ready to be chained."""
    return np.vstack((affine, [0.0, 0.0, 1.0]))


def draw_affine(
    facts: InputFacts, ranges: AugmentationRanges, generator: np.random.Generator
) -> FloatArray:
    """Draw flips, rotation, zoom, stretch and shift as one (3, 3) map of the network's grid.

    The rotation turns the picture as a person sees it: the grid's pixels are wider than high in
    the frame, so they are made square before it and squashed again after it.
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
    """Draw gamma, gain, shadows, blur and speckle and apply them to (rows, columns) in [0, 1]."""
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
    """Draw from 0 to `largest`, half of the time less than a quarter of it."""
    return largest * generator.uniform() ** 2


def cut_side(
    grey: NDArray[np.float32], largest_share: float, generator: np.random.Generator
) -> None:
    """Blacken one side of (rows, columns), in place, as where a picture of other shape ends."""
    side = np.rot90(grey, int(generator.integers(4)))
    side[: int(generator.uniform(0, largest_share) * side.shape[0])] = 0


def draw_shadow(
    shape: tuple[int, ...], upside_down_probability: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw one acoustic shadow: a wedge below a probe, dark from some depth on, with soft sides.

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
    """Return the logistic step, written with tanh because that cannot overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * distance)


def draw_speckle(
    shape: tuple[int, ...], deviation: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw multiplicative noise of mean 1, its grain a network pixel or coarser."""
    noise = generator.standard_normal(shape, dtype=np.float32)
    grain_px = generator.uniform(0, 1.5)
    if grain_px > 0.4:
        noise = cv2.GaussianBlur(noise, (0, 0), grain_px)
        noise /= noise.std() + np.float32(1e-6)
    return 1 + np.float32(deviation) * noise
