"""The SVG and the pixels of one drawing: the same shapes at the same places."""

from xml.etree import ElementTree

import numpy as np
import pytest

from headcirc.reports.drawing import (
    SVG_NAMESPACE,
    Area,
    Disc,
    Drawing,
    Line,
    Text,
    to_picture,
    to_svg,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
DRAWING = Drawing(
    width_px=60,
    height_px=40,
    title="A <title> & more",
    description="What it shows",
    ground=WHITE,
    shapes=[
        Area([(10, 10), (30, 10), (30, 30), (10, 30)], RED),
        Line([(40, 5), (40, 35)], GREEN, 4),
        Disc((50, 20), 5, BLUE, RED, 2),
        Text((2, 38), "a < b", 10, BLUE),
    ],
)


def test_pixels_are_where_the_svg_has_the_shapes():
    """An edge at x = 10 lies between the pixels 9 and 10, as in SVG."""
    picture = to_picture(DRAWING)
    assert picture.shape == (40, 60, 3)
    assert (picture[20, 11:29] == RED).all()
    assert (picture[20, [7, 8, 31, 32]] == WHITE).all()
    assert (picture[20, 39:41] == GREEN).all()
    assert (picture[20, [35, 36]] == WHITE).all()
    assert (picture[20, 50] == BLUE).all()
    assert (picture[20, 55] == RED).all()
    area = (np.abs(picture.astype(int) - RED).sum(axis=2) < 200)[:, :35].sum()
    assert area == pytest.approx(400, abs=45)


def test_svg_is_a_document_without_anything_to_run_or_load():
    """Text and title are escaped; only shapes and text are in it."""
    root = ElementTree.fromstring(to_svg(DRAWING))
    tags = {each.tag.removeprefix(f"{{{SVG_NAMESPACE}}}") for each in root.iter()}
    assert tags == {"svg", "title", "desc", "rect", "polygon", "polyline", "circle", "text"}
    assert root.find(f"{{{SVG_NAMESPACE}}}title").text == "A <title> & more"
    assert root.find(f"{{{SVG_NAMESPACE}}}text").text == "a < b"
    names = {name for each in root.iter() for name in each.attrib}
    assert not {each for each in names if each.startswith("on") or "href" in each}
    assert "style" not in names


def test_control_characters_do_not_break_the_document():
    """XML cannot hold them, escaped or not."""
    drawing = Drawing(9, 9, "t", "d\x00", WHITE, [Text((0, 9), "a\x1bb\x00", 9, RED)])
    root = ElementTree.fromstring(to_svg(drawing))
    assert root.find(f"{{{SVG_NAMESPACE}}}text").text == "a?b?"
