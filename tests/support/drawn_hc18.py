"""Images like HC18's, whose circumference is known because they are drawn."""

from pathlib import Path

import cv2
import numpy as np

from headcirc.geometry import Ellipse, to_ellipse_perimeter
from headcirc.overlay import to_png
from tests.support.synthetic import HEAD, draw_head
from training.data.hc18 import HC18Image

PIXEL_SIZE_MM = 0.2
HEAD_MM = PIXEL_SIZE_MM * to_ellipse_perimeter(HEAD.semi_axis_major_px, HEAD.semi_axis_minor_px)


def write_image(folder: Path, exam: int, ellipse: Ellipse = HEAD) -> HC18Image:
    """Write a bright head on black and its annotated outline."""
    picture, outline = folder / f"{exam:03d}_HC.png", folder / f"{exam:03d}_HC_Annotation.png"
    picture.write_bytes(to_png(draw_head(ellipse)))
    outline.write_bytes(to_png(draw_outline(ellipse)))
    perimeter_px = to_ellipse_perimeter(ellipse.semi_axis_major_px, ellipse.semi_axis_minor_px)
    size_mm = PIXEL_SIZE_MM
    return HC18Image(picture.name, exam, size_mm, size_mm * perimeter_px, picture, outline)


def draw_outline(ellipse: Ellipse) -> np.ndarray:
    """Draw an ellipse's outline, three pixels wide, as HC18's annotations are."""
    outline = np.zeros((540, 800), np.uint8)
    axes_px = (2 * ellipse.semi_axis_major_px, 2 * ellipse.semi_axis_minor_px)
    center_px = (ellipse.center_x_px, ellipse.center_y_px)
    cv2.ellipse(outline, (center_px, axes_px, np.degrees(ellipse.angle_rad)), 255, 3)
    return outline
