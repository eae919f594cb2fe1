"""Draw the frame with the mask's edge, ellipse and axes, or with a saliency map over it.

This stage measures nothing and changes no measurement.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]
SUBPIXEL_BITS = 4
"""Fractional bits of the coordinates passed to OpenCV: it draws to 1/16 of a pixel."""

COLOR_DIMENSIONS = 3
MASK_EDGE_RGB = (255, 176, 0)
ELLIPSE_RGB = (0, 214, 255)
AXIS_RGB = (120, 235, 255)
UNRELIABLE_ELLIPSE_RGB = (255, 60, 160)
UNRELIABLE_AXIS_RGB = (255, 150, 205)
CORRECTED_RGB, CORRECTED_AXIS_RGB = (124, 240, 110), (190, 250, 180)
DASH_POINTS, PERIOD_POINTS = 6, 10
"""Dash length and period of a dashed outline, in points; a whole outline has 360."""
WHITE_RGB, BLACK_RGB = (255, 255, 255), (0, 0, 0)


def draw_overlay(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_] | None,
    ellipse: Ellipse | None,
    *,
    acceptable: bool = True,
    replaced: Ellipse | None = None,
    is_corrected: bool = False,
) -> Picture:
    """Draw the mask's edge, the ellipse and its axes over the frame.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    mask : (rows, columns) bool, frame grid, or None
    ellipse : Ellipse or None
        In frame pixels.
    acceptable : bool
        False draws the ellipse dashed and in a warning colour.
    replaced : Ellipse or None
        The automatic ellipse, where a person has drawn another one: a thin dashed outline.
    is_corrected : bool
        A person drew `ellipse`: it is solid and has a colour of its own.

    Returns
    -------
    (rows, columns, 3) uint8, RGB
        The frame alone, in grey, when nothing was found.
    """
    picture = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    thickness_px = _to_thickness_px(pixels.shape)
    if mask is not None:
        # The edge is twice as thick as the ellipse, so that both stay visible where they agree.
        # Under a dashed ellipse it is half as thick, so that it does not fill the gaps.
        edge_px = 2 * thickness_px + 1 if acceptable and not is_corrected else thickness_px
        _draw_edge(picture, mask, (MASK_EDGE_RGB, edge_px))
    if is_corrected and replaced is not None:
        color = ELLIPSE_RGB if acceptable else UNRELIABLE_ELLIPSE_RGB
        _draw_lines(picture, _to_dashes(_to_outline(replaced)), color, thickness_px)
    if ellipse is not None and is_corrected:
        _draw_lines(picture, [_to_outline(ellipse)], CORRECTED_RGB, 2 * thickness_px)
        _draw_lines(picture, _to_axis_lines(ellipse), CORRECTED_AXIS_RGB, thickness_px)
    elif ellipse is not None:
        _draw_ellipse(picture, ellipse, thickness_px, acceptable=acceptable)
    return np.asarray(picture, np.uint8)


def _to_thickness_px(shape: tuple[int, ...]) -> int:
    """Return a line width that stays visible at any picture size."""
    return max(1, round(min(shape) / 300))


def _draw_edge(picture: Picture, mask: NDArray[np.bool_], *strokes: tuple[Color, int]) -> None:
    """Draw a mask's edge in place, once for each colour and thickness in order."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for color, thickness_px in strokes:
        cv2.drawContours(picture, outlines, -1, color, thickness_px)


def _draw_ellipse(
    picture: Picture, ellipse: Ellipse, thickness_px: int, *, acceptable: bool
) -> None:
    """Draw the outline and the axes of the automatic ellipse in place."""
    outline = _to_outline(ellipse)
    if acceptable:
        _draw_lines(picture, [outline], ELLIPSE_RGB, thickness_px)
        _draw_lines(picture, _to_axis_lines(ellipse), AXIS_RGB, thickness_px)
    else:
        _draw_lines(picture, _to_dashes(outline), UNRELIABLE_ELLIPSE_RGB, 2 * thickness_px)
        _draw_lines(picture, _to_axis_lines(ellipse), UNRELIABLE_AXIS_RGB, thickness_px)


def _to_outline(ellipse: Ellipse) -> FloatArray:
    """Return (361, 2) points (x, y) of the outline; the last is the first again."""
    turns = np.linspace(0, 2 * np.pi, 361)
    circle = np.column_stack((np.cos(turns), np.sin(turns)))
    return _to_center(ellipse) + circle @ ellipse.to_shape_matrix().T


def _to_dashes(outline: FloatArray) -> list[FloatArray]:
    starts = range(0, len(outline) - 1, PERIOD_POINTS)
    return [outline[start : start + DASH_POINTS] for start in starts]


def _to_axis_lines(ellipse: Ellipse) -> list[FloatArray]:
    center = _to_center(ellipse)
    return [
        np.stack((center - half_axis, center + half_axis))
        for half_axis in ellipse.to_shape_matrix().T
    ]


def _to_center(ellipse: Ellipse) -> FloatArray:
    return np.array([ellipse.center_x_px, ellipse.center_y_px])


def _draw_lines(picture: Picture, lines: list[FloatArray], color: Color, thickness_px: int) -> None:
    """Draw lines of (n, 2) points (x, y) in place, at subpixel positions."""
    for points in lines:
        fixed = np.rint(points * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.polylines(
            picture, [fixed], isClosed=False, color=color, thickness=thickness_px,
            lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS,
        )  # fmt: skip


def draw_saliency(
    pixels: NDArray[np.uint8],
    saliency_map: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    *,
    blend: float = 0.5,
) -> Picture:
    """Draw a map over the frame, with its scale and the mask's edge on top.

    The colour map is viridis. It is perceptually uniform, also in greyscale print and for readers
    with red-green colour blindness.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    saliency_map : (rows, columns) float32 in [0, 1], frame grid
    mask : (rows, columns) bool, frame grid, or None
    blend : float in [0, 1]
        Opacity of the map: 0 shows the frame alone, 1 the map alone. Edge and scale stay.

    Returns
    -------
    (rows, columns, 3) uint8, RGB

    Raises
    ------
    ValueError
        `blend` is not within [0, 1].
    """
    if not 0 <= blend <= 1:
        raise ValueError(f"blend is {blend}; it must be between 0 and 1.")
    grey = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    picture = cv2.addWeighted(grey, 1 - blend, _to_colors(to_map_picture(saliency_map)), blend, 0)
    thickness_px = _to_thickness_px(pixels.shape)
    if mask is not None:
        # White on black is visible on every colour of the map and on every grey.
        _draw_edge(picture, mask, (BLACK_RGB, 2 * thickness_px + 1), (WHITE_RGB, thickness_px))
    _draw_scale(picture, thickness_px)
    return np.asarray(picture, np.uint8)


def _draw_scale(picture: Picture, thickness_px: int) -> None:
    """Draw the colour scale from 0 to 1 in place at the right border, where ultrasound is dark."""
    rows, columns = picture.shape[:2]
    height, width = max(1, rows // 2), max(1, columns // 40)
    top, left = (rows - height) // 2, max(0, columns - 3 * width)
    ramp = np.linspace(255, 0, height).round().astype(np.uint8)[:, None]
    bar = _to_colors(np.repeat(ramp, min(width, columns - left), axis=1))
    picture[top : top + height, left : left + width] = bar
    corner = (left + width, top + height - 1)
    cv2.rectangle(picture, (left - 1, top - 1), corner, WHITE_RGB, thickness_px)
    scale = rows / 800
    for text, bottom in (("1", top - rows // 60), ("0", top + height + rows // 25)):
        for color, stroke_px in ((BLACK_RGB, 3 * thickness_px), (WHITE_RGB, thickness_px)):
            cv2.putText(
                picture, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, color, stroke_px,
                cv2.LINE_AA,
            )  # fmt: skip


def _to_colors(values: Picture) -> Picture:
    """Return the (rows, columns, 3) RGB colours of (rows, columns) values from 0 to 255."""
    colors = cv2.applyColorMap(values, cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.cvtColor(colors, cv2.COLOR_BGR2RGB))


def to_map_picture(values: NDArray[np.float32]) -> Picture:
    """Return a map or a gate's coefficients, (rows, columns) in [0, 1], as uint8: 255 is 1."""
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


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
