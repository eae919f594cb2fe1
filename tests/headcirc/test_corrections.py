"""A person's ellipse: what is accepted, and that its figures are the library's."""

import math
from dataclasses import replace

import pytest

from headcirc.answers import (
    CORRECTED,
    HeadEllipse,
    Interval,
    to_analysis_facts,
    to_counted,
    to_row,
)
from headcirc.corrections import DrawnEllipse, require_drawn, to_corrected, to_drawn
from headcirc.errors import InputError, InvalidEllipseError
from headcirc.geometry import Ellipse, PixelSpacing
from headcirc.measurement import measure_head
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

SPACING = PixelSpacing(row_mm=0.2, column_mm=0.1)
DRAWN = DrawnEllipse(
    ellipse=HeadEllipse(410.0, 262.0, 215.0, 160.0, 33.0),
    by="R. Tester",
    at="2026-01-02T03:04:05Z",
    note="caput",
)


@pytest.fixture(scope="module")
def answer():
    pipeline = to_synthetic_pipeline()
    analysis = pipeline.analyze(
        to_file(draw_head()), pixel_spacing=SPACING, gestational_age_days=140
    )
    return to_analysis_facts(analysis, pipeline, analysis_id="a")


def test_figures_are_those_of_the_library_with_the_same_pixel_size(answer):
    """Pixels are twice as high as wide, and the ellipse is turned."""
    corrected = to_corrected(answer, DRAWN)
    each = DRAWN.ellipse
    shape = Ellipse(410.0, 262.0, each.semi_major_px, each.semi_minor_px, math.radians(33))
    expected = measure_head(shape, SPACING)
    head = corrected.correction.head
    assert head.head_circumference_mm == expected.head_circumference_mm
    assert head.biparietal_diameter_mm == expected.biparietal_diameter_mm
    assert head.occipitofrontal_diameter_mm == expected.occipitofrontal_diameter_mm
    assert head.head_circumference_interval_mm is None
    assert corrected.head == answer.head, "the automatic part stays"
    assert corrected.method == CORRECTED


def test_version_that_counts_has_its_own_age_and_growth(answer):
    corrected = to_corrected(answer, DRAWN)
    counted = to_counted(corrected)
    assert counted.head == corrected.correction.head
    assert counted.growth.head_circumference.z_score != answer.growth.head_circumference.z_score
    assert counted.growth.head_circumference.z_score_interval is None
    assert counted.growth.gestational_age_days == 140
    assert corrected.growth == answer.growth
    assert to_counted(answer) is answer


@pytest.mark.parametrize(("half_mm", "exceeds"), [(1000.0, False), (0.001, True)])
def test_difference_is_compared_with_half_the_interval(answer, half_mm, exceeds):
    found_mm = answer.head.head_circumference_mm
    interval = Interval(0.9, found_mm - half_mm, found_mm + half_mm)
    head = replace(answer.head, head_circumference_interval_mm=interval)
    correction = to_corrected(replace(answer, head=head), DRAWN).correction
    expected_mm = correction.head.head_circumference_mm - found_mm
    assert correction.difference_mm == pytest.approx(expected_mm)
    assert correction.exceeds_half_width is exceeds


def test_nothing_is_compared_where_nothing_was_found(answer):
    """A head that the network missed can be drawn; its size is that of the picture's pixels."""
    correction = to_corrected(replace(answer, head=None), DRAWN).correction
    assert correction.head.head_circumference_mm is not None
    assert (correction.difference_mm, correction.exceeds_half_width) == (None, None)


def test_without_a_pixel_size_there_are_pixels_only(answer):
    image = replace(answer.image, pixel_size_x_mm=None, pixel_size_y_mm=None)
    correction = to_corrected(replace(answer, image=image), DRAWN).correction
    assert correction.head.head_circumference_mm is None
    assert correction.head.head_circumference_px > 1000
    assert (correction.gestational_age, correction.difference_mm) == (None, None)


def test_what_was_drawn_is_found_again_in_the_correction(answer):
    assert to_drawn(to_corrected(answer, DRAWN).correction) == DRAWN


def test_second_correction_replaces_the_first(answer):
    other = replace(DRAWN, by="B", note=None)
    assert to_corrected(to_corrected(answer, DRAWN), other) == to_corrected(answer, other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"center_x_px": math.nan}, "finite"),
        ({"angle_deg": math.inf}, "finite"),
        ({"center_x_px": -1.0}, "outside"),
        ({"center_y_px": 540.0}, "outside"),
        ({"semi_minor_px": 0.0}, "at least 5"),
        ({"semi_minor_px": -160.0}, "at least 5"),
        ({"semi_minor_px": 50.0}, "0.25 times"),
        ({"semi_minor_px": 216.0}, "exchange"),
        ({"semi_major_px": 966.0, "semi_minor_px": 400.0}, "diagonal"),
    ],
    ids=str,
)
def test_ellipse_that_cannot_be_a_head_is_refused(answer, changes, said):
    drawn = replace(DRAWN, ellipse=replace(DRAWN.ellipse, **changes))
    with pytest.raises(InvalidEllipseError, match=said):
        require_drawn(drawn, answer.image)


@pytest.mark.parametrize(("stated", "kept"), [(-147.0, 33.0), (180.0, 0.0), (-1e-16, 0.0)])
def test_angle_is_brought_into_half_a_turn(answer, stated, kept):
    drawn = replace(DRAWN, ellipse=replace(DRAWN.ellipse, angle_deg=stated))
    assert require_drawn(drawn, answer.image).ellipse.angle_deg == pytest.approx(kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"by": ""},
        {"by": "  "},
        {"by": "x" * 64},
        {"by": "a\nb"},
        {"by": "Doe^Jane"},
        {"note": "x" * 501},
        {"note": "a\x1bb"},
    ],
    ids=str,
)
def test_texts_beyond_their_limits_are_refused(answer, changes):
    with pytest.raises(InputError, match=r"^(by|note) has"):
        require_drawn(replace(DRAWN, **changes), answer.image)


def test_spaces_around_texts_are_dropped_and_an_empty_note_is_none(answer):
    kept = require_drawn(replace(DRAWN, by=" RT ", note="  "), answer.image)
    assert (kept.by, kept.note) == ("RT", None)


def test_row_has_both_versions_side_by_side(answer):
    corrected = to_corrected(answer, DRAWN)
    row, correction = to_row(corrected), corrected.correction
    assert row.method == "corrected"
    assert row.head_circumference_mm == answer.head.head_circumference_mm
    assert row.corrected_head_circumference_mm == correction.head.head_circumference_mm
    assert row.correction_difference_mm == correction.difference_mm
    assert (row.corrected_by, row.correction_note) == ("R. Tester", "caput")
    assert to_row(answer).corrected_head_circumference_mm is None
    assert to_row(answer).method == "automatic"
