"""Cines with known frames: as DICOM, as video, and as pictures."""

from pathlib import Path

import cv2
import numpy as np

from headcirc.geometry import Ellipse, to_ellipse_perimeter
from tests.support.synthetic import draw_head

ROWS, COLUMNS = 108, 160
MM_PER_PX = 0.5


def to_head(index: int, *, growth: float = 0.002) -> Ellipse:
    """Return a head that grows by a share from frame to frame."""
    scale = 1 + growth * index
    return Ellipse(80.0, 54.0, 44 * scale, 34 * scale, 0.5)


def draw_frames(count: int, *, growth: float = 0.002) -> list[np.ndarray]:
    """Draw heads that grow, (ROWS, COLUMNS) uint8 each."""
    return [
        draw_head(to_head(index, growth=growth), rows=ROWS, columns=COLUMNS)
        for index in range(count)
    ]


def to_circumference_mm(index: int) -> float:
    """Return the circumference of a head that `draw_frames` draws."""
    head = to_head(index)
    return MM_PER_PX * to_ellipse_perimeter(head.semi_axis_major_px, head.semi_axis_minor_px)


def draw_empty() -> np.ndarray:
    """Draw a frame without a head."""
    return np.zeros((ROWS, COLUMNS), np.uint8)


def write_video(path: Path, frames: list[np.ndarray], *, codec: str = "mp4v") -> Path:
    """Write an MP4 or AVI of 25 frames a second; the suffix chooses."""
    rows, columns = frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25.0, (columns, rows))
    assert writer.isOpened(), "OpenCV writes this codec"
    for each in frames:
        writer.write(cv2.cvtColor(each, cv2.COLOR_GRAY2BGR))
    writer.release()
    return path
