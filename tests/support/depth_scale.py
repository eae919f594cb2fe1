"""A depth scale with a known distance between its marks, drawn into a picture."""

import cv2
import numpy as np

ROWS, COLUMNS = 640, 928


def draw_scale(
    spacing_px: float,
    *,
    pixels: np.ndarray | None = None,
    column: int = 28,
    first_px: float = 11.0,
    long_every: int = 0,
    long_first: int = 2,
    levels: tuple[int, ...] = (210, 90),
) -> np.ndarray:
    """Draw marks as scanners do: four by three pixels, every second one fainter, some long."""
    picture = np.zeros((ROWS, COLUMNS), np.uint8) if pixels is None else pixels.copy()
    rows, columns = picture.shape
    drawn = np.repeat(picture, 8, axis=0)  # for positions between pixels
    for number in range(int((rows - 4 - first_px) / spacing_px) + 1):
        top = round(8 * (first_px + number * spacing_px - 1))
        is_long = long_every and (number - long_first) % long_every == 0
        width = 11 if is_long else 4
        level = 255 if is_long else levels[number % len(levels)]
        drawn[top : top + 24, column : column + width] = level
    return cv2.resize(drawn, (columns, rows), interpolation=cv2.INTER_AREA)
