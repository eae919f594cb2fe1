"""The chart of one result: curves and points are where the numbers say."""

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from headcirc.answers import Interval, Quality, to_analysis_facts, to_growth
from headcirc.errors import (
    GestationalAgeMissingError,
    InputError,
    NoHeadFoundError,
    PixelSizeMissingError,
)
from headcirc.geometry import PixelSpacing
from headcirc.growth import choose_age
from headcirc.reports.drawing import Disc, Line, Text, measure_text_px, to_picture, to_svg
from headcirc.reports.growth_chart import (
    BOTTOM_PX,
    LEFT_PX,
    MOST_EARLIER,
    RELIABLE,
    RIGHT_PX,
    TOP_PX,
    UNRELIABLE,
    WIDTH_PX,
    EarlierPoint,
    draw_growth_chart,
    to_earlier_point,
)
from tests.headcirc.test_growth import HC_TABLE
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

DAYS = 140


@pytest.fixture(scope="module")
def measured():
    pipeline = to_synthetic_pipeline()
    analysis = pipeline.analyze(to_file(draw_head()), pixel_spacing=PixelSpacing(0.14, 0.14))
    return to_analysis_facts(analysis, pipeline, analysis_id="a")


@pytest.fixture
def make_answer(measured):
    """Return a function that makes an answer of a circumference at an age."""

    def make(hc_mm=172.5, *, days=DAYS, half_mm=3.0, warnings=(), is_acceptable=True):
        interval = None if half_mm is None else Interval(0.9, hc_mm - half_mm, hc_mm + half_mm)
        head = replace(
            measured.head,
            head_circumference_mm=hc_mm,
            head_circumference_interval_mm=interval,
        )
        quality = Quality(acceptable=is_acceptable, warnings=warnings)
        return replace(
            measured, head=head, growth=to_growth(head, choose_age(days, None)), quality=quality
        )

    return make


def to_place(days, value_mm):
    """Return where a point belongs, by the numbers at the axes: 14 to 40 weeks, 50 to 400 mm."""
    x = LEFT_PX + (days / 7 - 14) / 26 * (RIGHT_PX - LEFT_PX)
    return x, BOTTOM_PX - (value_mm - 50) / 350 * (BOTTOM_PX - TOP_PX)


def find(drawing, kind, color=None):
    shapes = [each for each in drawing.shapes if isinstance(each, kind)]
    return [each for each in shapes if color is None or each.color == color]


def to_words(drawing):
    return " ".join(each.text for each in find(drawing, Text))


def test_curves_are_those_of_the_published_table(make_answer):
    """Five curves; at each week of the table each is within 0.1 mm, in pixels."""
    drawing = draw_growth_chart(make_answer())
    curves = [each.points for each in find(drawing, Line) if len(each.points) == 27]
    assert len(curves) == 5
    pixel_mm = 350 / (BOTTOM_PX - TOP_PX)
    for week, row in HC_TABLE.items():
        for curve, expected_mm in zip(curves, row[7:], strict=True):
            x, y = curve[week - 14]
            assert (x, y) == pytest.approx(to_place(7 * week, expected_mm), abs=0.1 / pixel_mm)


def test_point_lies_at_its_age_and_size_with_its_interval(make_answer):
    drawing = draw_growth_chart(make_answer(172.5, half_mm=10.0))
    (disc,) = find(drawing, Disc)
    assert disc.center == pytest.approx(to_place(DAYS, 172.5))
    assert disc.color == RELIABLE
    bar, *_ = find(drawing, Line, RELIABLE)
    assert [y for _, y in bar.points] == pytest.approx(
        [to_place(DAYS, each)[1] for each in (162.5, 182.5)]
    )
    assert "HC 172.5 mm (90 % interval: 162.5 to 182.5 mm)." in to_words(drawing)
    assert "At 20w0d: z-score +0.00, centile 50.1" in to_words(drawing)
    assert "Research use only" in to_words(drawing)


def test_point_without_an_interval_has_no_bar(make_answer):
    drawing = draw_growth_chart(make_answer(half_mm=None))
    assert len(find(drawing, Disc)) == 1
    assert find(drawing, Line, RELIABLE) == []


def test_earlier_points_are_joined_in_order_of_age(make_answer):
    """Given in any order; the line ends at the present point."""
    earlier = [EarlierPoint(126, 150.0), EarlierPoint(105, 110.0)]
    drawing = draw_growth_chart(make_answer(), earlier)
    path = next(each for each in find(drawing, Line, RELIABLE) if len(each.points) == 3)
    expected = [to_place(105, 110.0), to_place(126, 150.0), to_place(DAYS, 172.5)]
    for found, place in zip(path.points, expected, strict=True):
        assert found == pytest.approx(place)
    assert len(find(drawing, Disc)) == 3


def test_unreliable_result_looks_unreliable(make_answer):
    """Another colour, no interval, no line to it, no centile; the warnings are named."""
    answer = make_answer(is_acceptable=False, warnings=("poor-ellipse-fit",))
    drawing = draw_growth_chart(answer, [EarlierPoint(105, 110.0)])
    before, now = find(drawing, Disc)
    assert (before.outline, now.outline) == (RELIABLE, UNRELIABLE)
    assert find(drawing, Line, RELIABLE) == []
    words = to_words(drawing)
    assert "Do not rely on this result" in words
    assert "Warnings: poor ellipse fit." in words
    assert "z-score" not in words


@pytest.mark.parametrize("days", [97, 281])
def test_age_outside_the_standard_is_said_and_not_drawn(make_answer, days):
    drawing = draw_growth_chart(make_answer(days=days))
    assert find(drawing, Disc) == []
    assert "outside the growth standard (14w0d to 40w0d). No point is drawn." in to_words(drawing)


def test_circumference_outside_the_axes_is_said_and_not_drawn(make_answer):
    drawing = draw_growth_chart(make_answer(420.0, days=270))
    assert find(drawing, Disc) == []
    assert "The circumference is outside the chart. No point is drawn." in to_words(drawing)


def test_earlier_points_outside_the_chart_are_counted(make_answer):
    drawing = draw_growth_chart(make_answer(), [EarlierPoint(90, 75.0), EarlierPoint(100, 20.0)])
    assert len(find(drawing, Disc)) == 1
    assert "Earlier measurements outside the chart: 2." in to_words(drawing)


def test_what_cannot_be_drawn_is_refused(make_answer, measured):
    """No head, no millimetres, no age: each with its own code."""
    answer = make_answer()
    with pytest.raises(NoHeadFoundError):
        draw_growth_chart(replace(answer, head=None))
    with pytest.raises(PixelSizeMissingError):
        draw_growth_chart(replace(answer, head=replace(answer.head, head_circumference_mm=None)))
    with pytest.raises(GestationalAgeMissingError, match="gestational_age_days"):
        draw_growth_chart(measured)


def test_earlier_points_that_are_later_or_too_many_are_refused(make_answer):
    with pytest.raises(InputError, match="later"):
        draw_growth_chart(make_answer(), [EarlierPoint(DAYS + 1, 150.0)])
    draw_growth_chart(make_answer(), [EarlierPoint(DAYS, 150.0)] * MOST_EARLIER)
    with pytest.raises(InputError, match="at most"):
        draw_growth_chart(make_answer(), [EarlierPoint(120, 150.0)] * (MOST_EARLIER + 1))


def test_earlier_point_is_read_from_days_and_millimetres():
    assert to_earlier_point("140:172.5") == EarlierPoint(140, 172.5)


@pytest.mark.parametrize(
    "text",
    ["", "140", "140:", ":172", "140:x", "140.5:172", "0:172", "140:0", "140:-1", "140:nan",
     "140:inf", "nan:172", "inf:172", "140:172:1", "1e400:1", "140:1001"],
)  # fmt: skip
def test_other_texts_are_no_earlier_point(text):
    with pytest.raises(InputError, match=r"140:172\.5"):
        to_earlier_point(text)


def test_text_stays_within_the_chart_in_a_wider_font(make_answer):
    """A viewer's font may be a fifth wider; many warnings make more lines, not longer ones."""
    warnings = ("low-contrast", "shadowed-boundary", "head-touches-border", "narrow-sample-range")
    few = draw_growth_chart(make_answer())
    many = draw_growth_chart(make_answer(warnings=warnings))
    assert many.height_px > few.height_px
    for each in find(many, Text):
        assert each.at[1] < many.height_px
        if each.anchor == "start":
            assert each.at[0] + 1.2 * measure_text_px(each.text, each.size_px) <= WIDTH_PX


def test_svg_and_pixels_hold_the_point(make_answer):
    """The point's colour is at its place in the picture, and its circle in the document."""
    drawing = draw_growth_chart(make_answer())
    picture = to_picture(drawing)
    x, y = to_place(DAYS, 172.5)
    assert tuple(picture[math.floor(y), math.floor(x)]) == RELIABLE
    assert picture.shape == (drawing.height_px, WIDTH_PX, 3)
    (circle,) = ElementTree.fromstring(to_svg(drawing)).findall("{*}circle")
    assert (float(circle.get("cx")), float(circle.get("cy"))) == pytest.approx((x, y), abs=0.01)


def test_chart_is_the_same_each_time(make_answer):
    drawings = [draw_growth_chart(make_answer(), [EarlierPoint(100, 105.0)]) for _ in range(2)]
    assert to_svg(drawings[0]) == to_svg(drawings[1])
    assert (to_picture(drawings[0]) == to_picture(drawings[1])).all()
