"""Pictures for people: the frame with mask edge, ellipse and both axes drawn over it.

This room draws; it measures nothing and changes nothing that is measured.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse

Picture = NDArray[np.uint8]
SUBPIXEL_BITS = 4
"""OpenCV draws at 1/16 of a pixel when coordinates are shifted by four bits."""

COLOR_DIMENSIONS = 3
MASK_EDGE_RGB = (255, 176, 0)
ELLIPSE_RGB = (0, 214, 255)
AXIS_RGB = (120, 235, 255)


def draw_overlay(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None, ellipse: Ellipse | None
) -> Picture:
    """Draw what was found over the frame.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    mask : (rows, columns) bool, frame grid, or None
    ellipse : Ellipse or None
        In frame pixels.

    Returns
    -------
    (rows, columns, 3) uint8, RGB
        The frame alone, in grey, when nothing was found.
    """
    picture = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    thickness_px = max(1, round(min(pixels.shape) / 300))
    if mask is not None:
        outlines, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        # Twice as thick as the ellipse, so that both are seen where they agree.
        cv2.drawContours(picture, outlines, -1, MASK_EDGE_RGB, 2 * thickness_px + 1)
    if ellipse is not None:
        _draw_ellipse(picture, ellipse, thickness_px)
    return np.asarray(picture, np.uint8)


def _draw_ellipse(picture: Picture, ellipse: Ellipse, thickness_px: int) -> None:
    """Draw outline and axes in place, from points so that the half-pixel is kept."""
    center = np.array([ellipse.center_x_px, ellipse.center_y_px])
    shape_matrix = ellipse.to_shape_matrix()
    turns = np.linspace(0, 2 * np.pi, 361)
    outline = center + np.column_stack((np.cos(turns), np.sin(turns))) @ shape_matrix.T
    lines = [(outline, ELLIPSE_RGB)]
    lines += [
        (np.stack((center - half_axis, center + half_axis)), AXIS_RGB)
        for half_axis in shape_matrix.T
    ]
    for points, color in lines:
        fixed = np.rint(points * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.polylines(
            picture, [fixed], isClosed=False, color=color, thickness=thickness_px,
            lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS,
        )  # fmt: skip


def to_mask_picture(mask: NDArray[np.bool_] | None, rows: int, columns: int) -> Picture:
    """Return (rows, columns) uint8: 255 inside the head, 0 outside, all 0 without a head."""
    if mask is None:
        return np.zeros((rows, columns), np.uint8)
    return np.where(mask, 255, 0).astype(np.uint8)


def to_png(picture: Picture) -> bytes:
    """Encode (rows, columns) grey or (rows, columns, 3) RGB values as PNG."""
    ordered = (
        cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == COLOR_DIMENSIONS else picture
    )
    written, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert written, "PNG encoding of a uint8 array cannot fail"
    return encoded.tobytes()
