"""Create pictures without a head, as negative training examples.

A network that was trained only on pictures with a head finds one everywhere: in noise, in
photographs, in the body beside the head. Half of the negatives are crops beside the head from
training images; the others are synthetic. All randomness comes from the generator argument.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, to_half_extents
from headcirc.model.manifest import InputFacts

CUT_ATTEMPTS = 20
MARGIN_PX = 4.0
"""Distance between a crop and the head, for the thickness of the skull's outer edge."""


def draw_negative(
    pixels: NDArray[np.uint8], ellipse: Ellipse, facts: InputFacts, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return a picture without a head.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    ellipse : Ellipse
        The frame's head, in frame pixels.
    facts : InputFacts
        The network's grid.
    generator : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    (height_px, width_px) float32 in [0, 1], network grid
    """
    size = (facts.width_px, facts.height_px)
    if generator.random() < 0.5:
        cut = cut_beside_head(pixels, ellipse, generator)
        if cut is not None:
            grey = cv2.resize(cut, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
            return grey[:, :: generator.choice([-1, 1])]
    return generator.choice([draw_noise, draw_polygons])(size, generator)


def cut_beside_head(
    pixels: NDArray[np.uint8], ellipse: Ellipse, generator: np.random.Generator
) -> NDArray[np.uint8] | None:
    """Crop a random part of the frame outside the head's bounding box, in the frame's proportions.

    Returns
    -------
    (rows, columns) uint8 or None
        None if no crop was found.
    """
    rows, columns = pixels.shape
    half_width, half_height = (each + MARGIN_PX for each in to_half_extents(ellipse))
    for _ in range(CUT_ATTEMPTS):
        share = generator.uniform(0.2, 0.6)
        height, width = int(share * rows), int(share * columns)
        top = int(generator.integers(0, rows - height + 1))
        left = int(generator.integers(0, columns - width + 1))
        is_beside = (
            left > ellipse.center_x_px + half_width
            or left + width < ellipse.center_x_px - half_width
            or top > ellipse.center_y_px + half_height
            or top + height < ellipse.center_y_px - half_height
        )
        if is_beside:
            return pixels[top : top + height, left : left + width]
    return None


def draw_noise(size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw a smooth random background with noise of random grain, (height, width) in [0, 1]."""
    width, height = size
    coarse = generator.random((int(generator.integers(2, 7)),) * 2, dtype=np.float32)
    cloud = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    noise = generator.standard_normal((height, width), dtype=np.float32)
    grain_px = generator.uniform(0.3, 6.0)
    noise = cv2.GaussianBlur(noise, (0, 0), grain_px)
    noise *= np.float32(generator.uniform(0.0, 0.4)) / noise.std()
    level, contrast = np.float32(generator.random()), np.float32(generator.random())
    return np.clip(level + contrast * (cloud - 0.5) + noise, 0, 1)


def draw_polygons(size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw random polygons and lines on noise, (height, width) in [0, 1]."""
    width, height = size
    canvas = (draw_noise(size, generator) * 255).astype(np.uint8)
    for _ in range(int(generator.integers(2, 12))):
        corners = generator.uniform(-0.2, 1.2, (int(generator.integers(2, 6)), 2)) * (width, height)
        points = corners.round().astype(np.int32)[None]
        grey = int(generator.integers(0, 256))
        if generator.random() < 0.6:
            cv2.fillPoly(canvas, points, grey, lineType=cv2.LINE_AA)
        else:
            thickness = int(generator.integers(1, 8))
            cv2.polylines(canvas, points, True, grey, thickness, lineType=cv2.LINE_AA)
    return canvas.astype(np.float32) / 255
