from xml.etree import ElementTree

import pytest

from headcirc.cine.summary import summarise_track
from headcirc.reports.drawing import Area, Disc, Line, to_picture, to_svg
from headcirc.reports.track_plot import (
    CODES,
    MIDDLE,
    MOST_INTERVALS,
    UNRELIABLE,
    draw_track,
    to_counts,
    to_headline,
    to_ticks,
)
from tests.headcirc.cine.test_summary import to_damaged, to_frame, to_track


def draw(frames, **facts):
    summary = summarise_track(frames, **facts)
    return draw_track(frames, summary), summary


def list_discs(drawing, **wanted):
    discs = [each for each in drawing.shapes if isinstance(each, Disc)]
    return [d for d in discs if all(getattr(d, name) == value for name, value in wanted.items())]


def test_every_frame_is_a_point_and_the_best_one_has_a_ring():
    """Filled, hollow and pink points say which frames count."""
    frames = [
        *to_track([180.0, 181.0, 182.0, 181.5]),
        to_frame(4, 240.0),
        to_frame(5, 150.0, acceptable=False),
        to_damaged(6),
    ]
    drawing, summary = draw(frames)
    assert len(list_discs(drawing, color=MIDDLE)) == summary.frames_agreeing == 4
    assert len(list_discs(drawing, outline=UNRELIABLE)) == 1
    (ring,) = list_discs(drawing, radius_px=7)
    points = {disc.center for disc in list_discs(drawing, radius_px=3)}
    assert len(points) == 6
    assert ring.center in points


def test_the_band_is_the_interval_and_holds_the_line():
    drawing, summary = draw(to_track([180.0] * 5))
    (band,) = [each for each in drawing.shapes if isinstance(each, Area)]
    low, high = band.points[0][1], band.points[2][1]
    (line,) = [each for each in drawing.shapes if isinstance(each, Line) and each.width_px == 2]
    assert high < line.points[0][1] < low
    assert "HC 180.0 mm (90 % interval: 177.0 to 183.0 mm)" in drawing.description
    assert to_counts(summary).startswith("5 of 5 acceptable frames agree")


@pytest.mark.parametrize(
    "frames",
    [
        to_track([180.0, 181.0]),
        to_track([None] * 4),
        to_track([None] * 4, has_head=False),
        [to_damaged(0)],
        to_track([180.0]),
        to_track([180.0 + index for index in range(MOST_INTERVALS + 1)]),
    ],
)
def test_any_track_can_be_drawn(frames):
    """With and without a number, as pixels and as SVG; the reason is in the text."""
    drawing, summary = draw(frames)
    picture = to_picture(drawing)
    assert picture.shape == (drawing.height_px, drawing.width_px, 3)
    ElementTree.fromstring(to_svg(drawing))
    if summary.code is not None:
        assert CODES[summary.code] in to_headline(summary)


def test_a_track_that_was_cut_off_says_so():
    _, summary = draw(to_track([180.0] * 5), announced=50)
    assert "cut off" in to_counts(summary)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 8, [0, 1, 2, 3, 4, 5, 6, 7, 8]), (171, 189, [175, 180, 185]), (0, 0, [0])],
)
def test_ticks_are_round_numbers(low, high, ticks):
    assert to_ticks(low, high) == ticks
