"""Draw the image of a curved probe around and inside the skull: beams, shadows and speckle.

`phantom` adds the skull's own echo.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from examples import phantom_anatomy as anatomy
from examples.phantom_parameters import PhantomParameters

BEAMS, SAMPLES = 720, 1100
"""Size of the beam grid; the step in depth is at most 0.25 mm."""
LOOKS = 3
"""Number of averaged independent speckle patterns ("looks"), as in compounding."""
DISPLAY_POWER = 2.0
"""Echo amplitude = (grey / 255) ** DISPLAY_POWER; it replaces logarithmic compression."""

Float32Array = NDArray[np.float32]


def to_grid_mm(parameters: PhantomParameters) -> tuple[Float32Array, Float32Array]:
    """Return x and y of every pixel centre, (rows, columns) float32 in mm."""
    x = np.arange(parameters.columns, dtype=np.float32) * np.float32(parameters.pixel_size_x_mm)
    y = np.arange(parameters.rows, dtype=np.float32) * np.float32(parameters.pixel_size_y_mm)
    grid_x, grid_y = np.meshgrid(x, y)
    return grid_x, grid_y


def to_beam_position(
    parameters: PhantomParameters, x: Float32Array, y: Float32Array
) -> tuple[Float32Array, Float32Array]:
    """Return depth below the probe's surface (mm) and angle from the central beam (rad)."""
    right = x - np.float32(parameters.probe_x_px * parameters.pixel_size_x_mm)
    down = y - np.float32(parameters.probe_y_px * parameters.pixel_size_y_mm)
    down = down + np.float32(parameters.probe_radius_mm)
    depth = np.hypot(right, down) - np.float32(parameters.probe_radius_mm)
    return depth, np.arctan2(right, down)


def to_transmission(
    parameters: PhantomParameters, wall: Float32Array, depth: Float32Array, angle: Float32Array
) -> Float32Array:
    """Return the share of grey after attenuation, skull and shadow wedge, (SAMPLES, BEAMS)."""
    step_mm = float(depth[1, 0] - depth[0, 0])
    crossed_mm = np.cumsum(wall, axis=0) * step_mm
    loss = parameters.attenuation_per_mm * np.maximum(depth - 40, 0)
    loss = loss + parameters.skull_absorption_per_mm * crossed_mm
    off_deg = np.abs(np.degrees(angle) - parameters.wedge_deg)
    wedge = anatomy.to_step(1 - off_deg / parameters.wedge_half_width_deg, 0.35)
    below = anatomy.to_step(crossed_mm - parameters.skull_thickness_mm / 2, 0.3)
    return (np.exp(-loss) * (1 - parameters.wedge_strength * wedge * below)).astype(np.float32)


def to_speckled(
    generator: np.random.Generator,
    grey: Float32Array,
    parameters: PhantomParameters,
    span: Float32Array,
) -> Float32Array:
    """Add the beams' point spread and Rayleigh-like speckle to grey levels.

    Parameters
    ----------
    generator : numpy.random.Generator
    grey : (SAMPLES, BEAMS) float32
        Mean grey levels along the beams. Beams have equal angles, so the spread widens with depth.
    parameters : PhantomParameters
    span : (2,) float32
        Step in depth (mm) and in angle (deg) of the grid.
    """
    sigma_y = parameters.axial_resolution_mm / float(span[0])
    sigma_x = parameters.lateral_resolution_deg / float(span[1])
    amplitude = (grey / 255) ** DISPLAY_POWER
    power = np.zeros_like(grey)
    for _ in range(2 * LOOKS):
        noise = generator.standard_normal(grey.shape).astype(np.float32)
        power += cv2.GaussianBlur(amplitude * noise, (0, 0), sigma_x, sigmaY=sigma_y) ** 2
    power *= 4 * math.pi * sigma_x * sigma_y / (2 * LOOKS)  # a flat field keeps its mean power
    mean = cv2.GaussianBlur(amplitude**2, (0, 0), sigma_x, sigmaY=sigma_y)
    mixed = np.sqrt(parameters.speckle * power + (1 - parameters.speckle) * mean)
    return (255 * mixed ** (1 / DISPLAY_POWER)).astype(np.float32)


def to_near_field(depth: Float32Array, waves: Float32Array) -> Float32Array:
    """Return the brightness factor of skin, fat, muscle and uterine wall below the probe."""
    bent = depth + 0.7 * waves
    lines = sum(
        gain * np.exp(-(((bent - at) / width) ** 2))
        for at, width, gain in ((1.5, 1.2, 0.9), (9, 0.8, 0.7), (16, 1.0, 0.9), (25, 0.9, 0.6))
    )
    return (1 + lines + 0.35 * np.exp(-((depth / 22) ** 2))).astype(np.float32)


def draw_beams(parameters: PhantomParameters) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Draw everything except the skull along the beams, and resample it to the frame.

    Returns
    -------
    tissue : (rows, columns) float32
        Grey levels with speckle; 0 outside the sector.
    transmission : (rows, columns) float32 in [0, 1]
        Share of grey that attenuation and shadows leave.
    field : (rows, columns) float32 in [0, 1]
        1 inside the sector, with soft edges.
    """
    generator = np.random.default_rng(parameters.seed)
    appearance = vars(parameters)
    frame_depth, frame_angle = to_beam_position(parameters, *to_grid_mm(parameters))
    limit = math.radians(parameters.sector_half_angle_deg)
    angles = np.linspace(-limit, limit, BEAMS, dtype=np.float32)
    depths = np.linspace(0, float(frame_depth.max()) + 1, SAMPLES, dtype=np.float32)
    angle, depth = np.meshgrid(angles, depths)
    radius = depth + np.float32(parameters.probe_radius_mm)
    x = radius * np.sin(angle) + parameters.probe_x_px * parameters.pixel_size_x_mm
    y = radius * np.cos(angle) + parameters.probe_y_px * parameters.pixel_size_y_mm
    x, y = x.astype(np.float32), (y - parameters.probe_radius_mm).astype(np.float32)
    distance = parameters.head.to_distance_mm(x, y)
    near = to_near_field(depth, anatomy.to_smooth_noise(generator, x, y, 14.0))
    outside = anatomy.to_surroundings(generator, x, y, parameters.head, **appearance) * near
    inside = anatomy.to_brain(generator, x, y, parameters.head, **appearance)
    grey = np.where(distance > -parameters.skull_thickness_mm / 2, outside, inside)
    wall = anatomy.to_wall(distance, parameters.skull_thickness_mm)
    transmission = to_transmission(parameters, wall, depth, angle)
    step = np.array([depths[1], np.degrees(angles[1] - angles[0])], dtype=np.float32)
    speckled = to_speckled(generator, (grey * transmission).astype(np.float32), parameters, step)
    column = (frame_angle + limit) / (2 * limit) * (BEAMS - 1)
    row = frame_depth / depths[-1] * (SAMPLES - 1)
    field = anatomy.to_step(limit - np.abs(frame_angle), 0.002) * anatomy.to_step(frame_depth, 0.3)
    maps = (column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)
    tissue = cv2.remap(speckled, *maps) * field
    return tissue, cv2.remap(transmission, *maps), field
