"""Define a phantom's anatomy: mean grey levels of a head and its surroundings at points in mm.

Coordinates are frame millimetres: x to the right, y down, (0, 0) at the centre of the top-left
pixel. Beams, speckle and pixels are in `phantom_beams`.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

OUTER_EDGE_SHARE, INNER_EDGE_SHARE = 0.17, 0.36
"""Width of the skull's soft edges in units of its thickness; the inner edge is softer."""


@dataclass(frozen=True)
class HeadShape:
    """The outer edge of a skull, an ellipse in frame millimetres.

    Attributes
    ----------
    center_x_mm, center_y_mm : float
        Centre.
    semi_axis_major_mm, semi_axis_minor_mm : float
        Half the outer-to-outer occipitofrontal and biparietal diameters.
    angle_rad : float
        Direction of the major axis, from +x towards +y.
    thickness_mm : float
        Thickness of the skull's echo, inwards from the ellipse.
    """

    center_x_mm: float
    center_y_mm: float
    semi_axis_major_mm: float
    semi_axis_minor_mm: float
    angle_rad: float
    thickness_mm: float

    def to_head_axes(self, x: Float32Array, y: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the points along the major and the minor axis, in units of the semi-axes."""
        cosine, sine = np.float32(np.cos(self.angle_rad)), np.float32(np.sin(self.angle_rad))
        right, down = x - np.float32(self.center_x_mm), y - np.float32(self.center_y_mm)
        u = (cosine * right + sine * down) / np.float32(self.semi_axis_major_mm)
        v = (cosine * down - sine * right) / np.float32(self.semi_axis_minor_mm)
        return u, v

    def to_distance_mm(self, x: Float32Array, y: Float32Array) -> Float32Array:
        """Return the signed distance to the ellipse in mm, to first order: negative inside."""
        u, v = self.to_head_axes(x, y)
        radius = np.hypot(u, v)
        gradient = np.hypot(u / self.semi_axis_major_mm, v / self.semi_axis_minor_mm)
        return ((radius - 1) * radius / np.maximum(gradient, 1e-6)).astype(np.float32)

    def to_normal(self, x: Float32Array, y: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the outward unit normal (x, y) of the ellipse through each point."""
        u, v = self.to_head_axes(x, y)
        along, across = u / self.semi_axis_major_mm, v / self.semi_axis_minor_mm
        length = np.maximum(np.hypot(along, across), 1e-9)
        cosine, sine = np.cos(self.angle_rad), np.sin(self.angle_rad)
        normal_x = (cosine * along - sine * across) / length
        normal_y = (sine * along + cosine * across) / length
        return normal_x.astype(np.float32), normal_y.astype(np.float32)


def to_smooth_noise(
    generator: np.random.Generator, x: Float32Array, y: Float32Array, cell_mm: float
) -> Float32Array:
    """Return smooth noise of about unit variance at points.

    Parameters
    ----------
    generator : numpy.random.Generator
        One 64 x 64 array is drawn from it.
    x, y : (m, n) float32, mm
    cell_mm : float
        Correlation length.

    Returns
    -------
    (m, n) float32
    """
    lattice = generator.standard_normal((64, 64)).astype(np.float32)
    column = np.mod(x / cell_mm, 64).astype(np.float32)  # the lattice repeats without a seam
    row = np.mod(y / cell_mm, 64).astype(np.float32)
    return 1.6 * cv2.remap(lattice, column, row, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)


def to_step(signed: Float32Array, width: float) -> Float32Array:
    """Return a smooth step from 0 to 1 that is 1/2 at zero and about `width` wide."""
    return (0.5 + 0.5 * np.tanh(signed / width)).astype(np.float32)


def to_wall(distance_mm: Float32Array, thickness_mm: Float32Array | float) -> Float32Array:
    """Return the share of skull at a distance from its outer edge: 1/2 at 0, 1 inside the wall."""
    depth = (-distance_mm / thickness_mm).astype(np.float32)
    return to_step(depth, OUTER_EDGE_SHARE) * to_step(1 - depth, INNER_EDGE_SHARE)


def to_surroundings(
    generator: np.random.Generator,
    x: Float32Array,
    y: Float32Array,
    head: HeadShape,
    **appearance: float,
) -> Float32Array:
    """Return mean grey levels outside the head: uterine tissue with pockets of fluid.

    Parameters
    ----------
    generator : numpy.random.Generator
    x, y : (m, n) float32, mm
    head : HeadShape
    appearance : float
        `tissue_grey` and `fluid_grey`, grey levels; `fluid_mm`, typical width of fluid around
        the head.

    Returns
    -------
    (m, n) float32
        Grey levels before depth, shadow and speckle.
    """
    scale_mm = head.semi_axis_minor_mm
    coarse = to_smooth_noise(generator, x, y, 0.55 * scale_mm)
    streaks = to_smooth_noise(generator, x / 3, y, 0.07 * scale_mm)
    patches = to_smooth_noise(generator, x, y, 0.35 * scale_mm)
    tissue = appearance["tissue_grey"] * np.exp(0.22 * coarse + 0.16 * streaks)
    tissue *= 1 + 0.7 * to_step(patches - 0.9, 0.25)
    margin_mm = appearance["fluid_mm"] * (0.6 + 1.1 * coarse) - head.to_distance_mm(x, y)
    fluid = to_step(margin_mm, 0.08 * scale_mm)
    return (tissue + (appearance["fluid_grey"] - tissue) * fluid).astype(np.float32)


def to_blob(u: Float32Array, v: Float32Array, at: tuple[float, ...]) -> Float32Array:
    """Return a soft ellipse (centre u, v, half axes u, v, tilt) in units of the head's axes."""
    center_u, center_v, half_u, half_v, tilt = at
    cosine, sine = np.cos(tilt), np.sin(tilt)
    along = (cosine * (u - center_u) + sine * (v - center_v)) / half_u
    across = (cosine * (v - center_v) - sine * (u - center_u)) / half_v
    return to_step(1 - np.hypot(along, across), 0.15)


def to_lines(u: Float32Array, v: Float32Array, wobble: Float32Array, far: float) -> Float32Array:
    """Return the share of thin bright echoes: midline, cavum septi pellucidi, insula, sulci.

    Parameters
    ----------
    u, v : (m, n) float32
        Points in units of the head's semi-axes.
    wobble : (m, n) float32
        Smooth noise of unit variance that bends and interrupts the lines.
    far : float
        +1 or -1: the sign of v in the half of the head away from the probe.
    """
    v = v + 0.012 * wobble
    rows = (  # centre u, centre v, half length, half width, strength
        (-0.52, 0.0, 0.32, 0.024, 0.95),
        (0.12, 0.0, 0.24, 0.020, 0.65),
        (0.78, 0.0, 0.15, 0.024, 1.0),
        (0.49, 0.075, 0.12, 0.020, 0.9),
        (0.49, -0.075, 0.12, 0.020, 0.9),
        (0.58, 0.40 * far, 0.16, 0.022, 0.7),
        (0.10, 0.60 * far, 0.22, 0.025, 0.6),
        (-0.40, 0.20 * far, 0.26, 0.020, 0.8),
        (-0.30, 0.66 * far, 0.16, 0.02, 0.35),
    )
    echo = np.zeros_like(u)
    for center_u, center_v, length, width, strength in rows:
        bent = v - center_v - 0.25 * center_v * -((u - center_u) ** 2) * 4
        ends = to_step(length - np.abs(u - center_u), 0.05)
        echo = np.maximum(echo, strength * ends * np.exp(-((bent / width) ** 2)))
    return (echo * (0.72 + 0.28 * np.tanh(1.2 * wobble))).astype(np.float32)


def to_brain(
    generator: np.random.Generator,
    x: Float32Array,
    y: Float32Array,
    head: HeadShape,
    **appearance: float,
) -> Float32Array:
    """Return mean grey levels inside the skull: brain, ventricles, choroid plexus and midline.

    Parameters
    ----------
    generator : numpy.random.Generator
    x, y : (m, n) float32, mm
    head : HeadShape
    appearance : float
        Grey levels `brain_grey`, `fluid_grey`, `midline_grey` and `choroid_grey`.

    Returns
    -------
    (m, n) float32
        Grey levels before depth, shadow and speckle.
    """
    u, v = head.to_head_axes(x, y)
    far = 1.0 if np.cos(head.angle_rad) >= 0 else -1.0
    coarse = to_smooth_noise(generator, x, y, 0.30 * head.semi_axis_minor_mm)
    fine = to_smooth_noise(generator, x, y, 0.055 * head.semi_axis_minor_mm)
    wobble = to_smooth_noise(generator, x, y, 0.16 * head.semi_axis_minor_mm)
    haze = 0.25 * to_step(-far * v - 0.15, 0.3) + 0.35 * np.exp(-((u / 0.5) ** 2 + (v / 0.4) ** 2))
    grey = appearance["brain_grey"] * np.exp(0.16 * coarse + 0.11 * fine) * (0.75 + haze)
    lift = appearance["choroid_grey"] - appearance["brain_grey"]
    dark = (
        (-0.44, 0.30 * far, 0.30, 0.15, 0.2 * far),  # far lateral ventricle, atrium
        (0.49, 0.0, 0.11, 0.055, 0.0),  # cavum septi pellucidi
        (0.60, 0.24 * far, 0.17, 0.12, 0.4 * far),  # frontal horn
        (0.08, 0.19 * far, 0.17, 0.12, -0.3 * far),  # thalamus
        (0.08, -0.19 * far, 0.17, 0.12, 0.3 * far),
    )
    for place, depth in zip(dark, (0.9, 0.9, 0.6, 0.35, 0.3), strict=True):
        grey += (appearance["fluid_grey"] - grey) * depth * to_blob(u, v, place)
    plexus = to_blob(u, v + 0.02 * wobble, (-0.36, 0.34 * far, 0.19, 0.115, 0.35 * far))
    hidden = to_blob(u, v + 0.03 * wobble, (-0.40, -0.33 * far, 0.15, 0.10, -0.3 * far))
    grey += lift * (plexus + 0.22 * hidden) * (1 + 0.12 * fine)
    lines = to_lines(u, v, wobble, far)
    return np.maximum(grey, appearance["midline_grey"] * lines).astype(np.float32)
