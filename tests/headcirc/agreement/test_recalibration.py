from dataclasses import replace

import numpy as np
import pytest

from headcirc.agreement.recalibration import choose_correction, recalibrate, to_sign_test_p
from headcirc.batch.files import UsageError
from headcirc.model.site import to_site
from tests.support.compared import SHA256, draw_compared, to_compared_image, to_coverage

SIMULATIONS = 150


def make_site(rows):
    return to_site(recalibrate(rows).to_facts("2026-01-31"), "b" * 64)


@pytest.mark.parametrize("offset_mm", [-6.0, 4.4])
def test_known_offset_is_recovered(offset_mm):
    """From 50 cases to within 1.5 mm: three standard errors of the median of 25."""
    generator = np.random.default_rng(1)
    found = [make_site(draw_compared(50, generator, offset_mm=offset_mm)) for _ in range(20)]
    at_200_mm = [site.correct(200.0) - 200.0 for site in found]
    assert np.median(at_200_mm) == pytest.approx(offset_mm, abs=0.5)
    assert max(abs(each - offset_mm) for each in at_200_mm) < 2.5


def test_known_factor_is_recovered_and_told_from_an_offset():
    """A factor of 1.06 over heads of 80 to 340 mm."""
    generator = np.random.default_rng(2)
    found = [recalibrate(draw_compared(50, generator, scale=1.06)) for _ in range(20)]
    assert sum(each.correction.kind == "scale" for each in found) >= 18
    scales = [each.correction.scale for each in found if each.correction.kind == "scale"]
    assert np.median(scales) == pytest.approx(1.06, abs=0.005)


def test_model_without_bias_is_seldom_corrected():
    """The sign test's 5 %: at most 12 of 100 are corrected."""
    generator = np.random.default_rng(3)
    kinds = [recalibrate(draw_compared(40, generator)).correction.kind for _ in range(100)]
    assert kinds.count("none") >= 88


@pytest.mark.parametrize(
    ("spread", "count", "images_per_exam"), [(0.5, 50, 1), (2.0, 50, 1), (1.0, 30, 1), (1.0, 40, 3)]
)
def test_intervals_hold_on_new_cases(spread, count, images_per_exam):
    """On average over samples of cases, 90 % or slightly more of new cases are covered."""
    generator = np.random.default_rng(4)
    given = {"offset_mm": 4.4, "spread": spread, "images_per_exam": images_per_exam}
    coverages = []
    for _ in range(SIMULATIONS):
        site = make_site(draw_compared(count, generator, **given))
        coverages.append(to_coverage(draw_compared(60, generator, **given), site))
    standard_error = np.std(coverages) / np.sqrt(SIMULATIONS)
    assert np.mean(coverages) >= 0.9 - 2 * standard_error
    assert np.mean(coverages) <= 0.97


def test_single_outlier_does_not_choose_the_correction():
    """A reference that is wrong by 100 mm moves the offset by less than 1 mm."""
    rows = draw_compared(50, np.random.default_rng(5), offset_mm=4.0)
    one_wrong = [replace(rows[0], reference_mm=rows[0].reference_mm + 100), *rows[1:]]
    clean, found = make_site(rows), make_site(one_wrong)
    assert found.correct(200.0) == pytest.approx(clean.correct(200.0), abs=1.0)


def test_farthest_images_are_named():
    """They are of the half that the correction does not know."""
    rows = draw_compared(60, np.random.default_rng(6))
    wrong = [
        replace(row, reference_mm=row.reference_mm + 50) if index % 20 == 0 else row
        for index, row in enumerate(rows)
    ]
    expected = {wrong[index].image for index in (0, 20, 40)}
    assert expected & {*recalibrate(wrong).farthest}


def test_answers_that_are_not_acceptable_are_not_used():
    """Their errors change nothing, and they do not count as cases."""
    rows = draw_compared(35, np.random.default_rng(7))
    refused = [
        to_compared_image(f"r{index}.png", 300, 100.0, acceptable=False) for index in range(10)
    ]
    assert recalibrate([*rows, *refused]) == recalibrate(rows)
    with pytest.raises(UsageError, match="29 exams have an acceptable answer"):
        recalibrate([*rows[:29], *refused])


def test_images_of_one_exam_are_one_case():
    """Ninety images of 29 exams are too few."""
    rows = draw_compared(29, np.random.default_rng(8), images_per_exam=3)
    with pytest.raises(UsageError, match=r"29 exams .* at least 30 are needed"):
        recalibrate(rows)


def test_order_of_the_rows_does_not_matter():
    """The halves are drawn from the names of the exams."""
    rows = draw_compared(40, np.random.default_rng(9), offset_mm=3.0)
    found, turned = make_site(rows), make_site(rows[::-1])
    assert found.correct(200.0) == turned.correct(200.0)
    assert found.interval_factor == turned.interval_factor


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site_sha256": "c" * 64}, "measured with a site file"),
        ({"model_sha256": "c" * 64}, "are of 2 models"),
        ({"reference_mm": 1.0}, None),
    ],
)
def test_rows_of_another_model_or_site_are_refused(change, message):
    rows = draw_compared(40, np.random.default_rng(10))
    changed = [replace(rows[0], **change), *rows[1:]]
    if message is None:
        recalibrate(changed)
        return
    with pytest.raises(UsageError, match=message):
        recalibrate(changed)


@pytest.mark.parametrize("given", [{"offset_mm": 60.0}, {"scale": 0.5}, {"scale": 1.3}])
def test_wrong_unit_is_refused(given):
    """No way to measure gives such a difference."""
    with pytest.raises(UsageError, match="Check units and pixel sizes"):
        recalibrate(draw_compared(40, np.random.default_rng(11), **given))


def test_site_file_states_what_it_was_made_from():
    """Number of exams, date, model and guarantee; the values are those that were chosen."""
    found = recalibrate(draw_compared(41, np.random.default_rng(12), offset_mm=5.0))
    facts = found.to_facts("2026-01-31")
    assert facts["model"]["sha256"] == SHA256
    assert (facts["cases"], facts["date"]) == (41, "2026-01-31")
    assert facts["correction_exams"] + facts["interval_exams"] == 41
    assert "at least 90%" in facts["guarantee"]
    assert "21 exams" in facts["guarantee"]
    assert facts["median_absolute_difference_mm"]["after"] < 5
    assert to_site(facts, "").level == 0.9


def test_sign_test_by_hand():
    """Five of five positive: 2 / 2^5; three of four: 2 * 5 / 16; no difference: 1."""
    assert to_sign_test_p(np.ones(5)) == pytest.approx(2 / 32)
    assert to_sign_test_p(np.array([1.0, 1, 1, -1])) == pytest.approx(10 / 16)
    assert to_sign_test_p(np.zeros(3)) == 1


def test_exact_correction_is_found_without_noise():
    """Exact offset and exact factor."""
    measured_mm = np.linspace(80, 340, 25)
    offset = choose_correction(measured_mm, measured_mm + 3)
    assert (offset.kind, offset.offset_mm) == ("offset", pytest.approx(3))
    scale = choose_correction(measured_mm, measured_mm * 0.97)
    assert (scale.kind, scale.scale) == ("scale", pytest.approx(0.97))
