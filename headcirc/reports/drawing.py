"""A picture of lines, areas and text, written as SVG or drawn as pixels.

One description gives both, so that they agree. OpenCV draws the lines, as in overlays, and Pillow
the text, as in captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from headcirc.overlay import SUBPIXEL_BITS, Picture

Color = tuple[int, int, int]
Point = tuple[float, float]
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
FINE = 2
"""Lines are drawn on a grid that is finer by this factor: OpenCV's own have knots at each point."""
FONT_FAMILY = "Helvetica, Arial, sans-serif"
"""Fonts of about the same widths as Pillow's own, in which text is measured."""


@dataclass(frozen=True)
class Line:
    """A line through points, in pixels."""

    points: Sequence[Point]
    color: Color
    width_px: int = 1


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    color: Color


@dataclass(frozen=True)
class Disc:
    """A filled circle with an outline."""

    center: Point
    radius_px: float
    color: Color
    outline: Color
    width_px: int = 2


@dataclass(frozen=True)
class Text:
    """One line of text; `at` is its start, middle or end on the baseline."""

    at: Point
    text: str
    size_px: int
    color: Color
    anchor: Literal["start", "middle", "end"] = "start"


Shape = Line | Area | Disc | Text


@dataclass(frozen=True)
class Drawing:
    """Shapes on a ground, in the order in which they are drawn; text is always on top.

    Attributes
    ----------
    width_px, height_px : int
    title, description : str
        Read out by screen readers.
    ground : (red, green, blue)
    shapes : sequence of Shape
    """

    width_px: int
    height_px: int
    title: str
    description: str
    ground: Color
    shapes: Sequence[Shape]


def measure_text_px(text: str, size_px: int) -> float:
    """Return how wide a line of text is."""
    return _load_font(size_px).getlength(text)


@cache
def _load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


# --- as SVG -----------------------------------------------------------------------------------


def to_svg(drawing: Drawing) -> str:
    """Return a drawing as an SVG document without scripts, styles and links."""
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": SVG_NAMESPACE,
            "viewBox": f"0 0 {drawing.width_px} {drawing.height_px}",
            "width": str(drawing.width_px),
            "height": str(drawing.height_px),
            "role": "img",
            "font-family": FONT_FAMILY,
        },
    )
    ElementTree.SubElement(root, "title").text = drawing.title
    ElementTree.SubElement(root, "desc").text = _to_printable(drawing.description)
    size = {"width": str(drawing.width_px), "height": str(drawing.height_px)}
    ElementTree.SubElement(root, "rect", size | {"fill": _to_hex(drawing.ground)})
    for shape in sorted(drawing.shapes, key=_is_text):
        tag, attributes = _to_element(shape)
        element = ElementTree.SubElement(root, tag, attributes)
        if isinstance(shape, Text):
            element.text = _to_printable(shape.text)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _to_printable(text: str) -> str:
    """Return text without the control characters that XML cannot hold."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _is_text(shape: Shape) -> bool:
    return isinstance(shape, Text)


def _to_element(shape: Shape) -> tuple[str, dict[str, str]]:
    if isinstance(shape, Line):
        stroke = {"stroke": _to_hex(shape.color), "stroke-width": str(shape.width_px)}
        return "polyline", {"points": _to_points(shape.points), "fill": "none"} | stroke
    if isinstance(shape, Area):
        return "polygon", {"points": _to_points(shape.points), "fill": _to_hex(shape.color)}
    x, y = shape.center if isinstance(shape, Disc) else shape.at
    if isinstance(shape, Disc):
        fill = {"fill": _to_hex(shape.color), "stroke": _to_hex(shape.outline)}
        size = {"r": _to_number(shape.radius_px), "stroke-width": str(shape.width_px)}
        return "circle", {"cx": _to_number(x), "cy": _to_number(y)} | size | fill
    style = {"font-size": str(shape.size_px), "fill": _to_hex(shape.color)}
    place = {"x": _to_number(x), "y": _to_number(y), "text-anchor": shape.anchor}
    return "text", place | style


def _to_points(points: Sequence[Point]) -> str:
    return " ".join(f"{_to_number(x)},{_to_number(y)}" for x, y in points)


def _to_number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _to_hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


# --- as pixels --------------------------------------------------------------------------------


def to_picture(drawing: Drawing) -> Picture:
    """Return a drawing as (rows, columns, 3) uint8, RGB."""
    shape = (FINE * drawing.height_px, FINE * drawing.width_px, 3)
    fine = np.full(shape, drawing.ground, np.uint8)
    for each in drawing.shapes:
        if isinstance(each, Line):
            cv2.polylines(
                fine, [_to_fixed(each.points)], isClosed=False, color=each.color,
                thickness=FINE * each.width_px, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS,
            )  # fmt: skip
        elif isinstance(each, Area):
            points = [_to_fixed(each.points)]
            cv2.fillPoly(fine, points, each.color, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
        elif isinstance(each, Disc):
            _draw_disc(fine, each)
    size = (drawing.width_px, drawing.height_px)
    picture = np.asarray(cv2.resize(fine, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _write_text(picture, [each for each in drawing.shapes if isinstance(each, Text)])


def _to_fixed(points: Sequence[Point]) -> NDArray[np.int32]:
    """Return points in OpenCV's fixed-point coordinates on the fine grid.

    Pixel centres lie at integers there, and half a pixel further in SVG.
    """
    return np.asarray(np.rint((FINE * np.array(points) - 0.5) * 2**SUBPIXEL_BITS), np.int32)


def _draw_disc(fine: Picture, disc: Disc) -> None:
    ((x, y),) = _to_fixed([disc.center])
    for radius_px, color in (
        (disc.radius_px + disc.width_px / 2, disc.outline),
        (disc.radius_px - disc.width_px / 2, disc.color),
    ):
        radius = round(FINE * radius_px * 2**SUBPIXEL_BITS)
        cv2.circle(fine, (int(x), int(y)), radius, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def _write_text(picture: Picture, texts: Sequence[Text]) -> Picture:
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for each in texts:
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[each.anchor]
        pen.text(each.at, each.text, each.color, _load_font(each.size_px), anchor)
    return np.asarray(image, np.uint8)
