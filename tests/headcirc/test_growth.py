"""Published tables and worked examples are the known answers; see the tests' docstrings."""

import math

import pytest

from headcirc.errors import InvalidGestationalAgeError
from headcirc.growth import (
    ABOVE_AGE_RANGE,
    ABOVE_RANGE,
    BELOW_AGE_RANGE,
    BELOW_RANGE,
    BEYOND_DOCUMENTED_AGE,
    BIPARIETAL_DIAMETER,
    CENTILES,
    HEAD_CIRCUMFERENCE,
    OCCIPITOFRONTAL_DIAMETER,
    date_by_hadlock_1984,
    date_by_intergrowth_2016,
    find_age_code,
    is_extreme,
    require_gestational_age,
    to_age_text,
    to_centile,
    to_value_mm,
    to_z_score,
)

TABLE_MM = 0.1
"""The tables are rounded to a tenth of a millimetre."""
HADLOCK_WEEKS = {
    68: 12.726,
    100: 14.660,
    150: 18.073,
    175: 20.018,
    200: 22.160,
    250: 27.148,
    300: 33.260,
    350: 40.723,
    360: 42.397,
}
INTERGROWTH_DAYS = {
    100: 99.32,
    150: 127.27,
    175: 141.55,
    200: 156.49,
    250: 189.80,
    300: 230.69,
    330: 260.81,
}
HC_TABLE = {
    14: (81.1, 86.7, 92.3, 97.9, 103.5, 109.0, 114.6, 87.4, 90.7, 97.9, 105.0, 108.4),
    20: (150.2, 157.6, 165.0, 172.5, 179.9, 187.4, 194.8, 158.5, 163.0, 172.5, 182.0, 186.5),
    24: (194.2, 202.5, 210.8, 219.1, 227.4, 235.7, 244.0, 203.5, 208.5, 219.1, 229.7, 234.7),
    28: (233.5, 242.5, 251.4, 260.4, 269.3, 278.2, 287.2, 243.6, 248.9, 260.4, 271.8, 277.2),
    32: (265.5, 275.1, 284.7, 294.4, 304.0, 313.6, 323.2, 276.3, 282.1, 294.4, 306.7, 312.5),
    36: (287.1, 297.9, 308.6, 319.4, 330.2, 340.9, 351.7, 299.2, 305.6, 319.4, 333.2, 339.6),
    40: (295.2, 308.1, 321.0, 333.9, 346.9, 359.8, 372.7, 309.6, 317.4, 333.9, 350.5, 358.3),
}
"""Published rows of the INTERGROWTH-21st standard: HC at -3 to +3 SD, and centiles of CENTILES."""
MEDIANS = {
    BIPARIETAL_DIAMETER: {14: 29.6, 20: 48.4, 24: 61.4, 30: 78.9, 36: 91.2, 40: 94.9},
    OCCIPITOFRONTAL_DIAMETER: {14: 33.8, 20: 60.7, 24: 77.3, 30: 98.0, 36: 111.6, 40: 115.8},
}
WORKED_Z = [
    (20, 157.6, -2.000, 2.28),
    (20, 180.0, 1.011, 84.39),
    (28, 260.4, 0.005, None),
    (30, 296.9, 2.002, 97.73),
    (36, 299.2, -1.877, 3.03),
    (40, 309.6, -1.884, 2.98),
]


# --- gestational age from the circumference -----------------------------------------------------


@pytest.mark.parametrize(("hc_mm", "weeks"), HADLOCK_WEEKS.items())
def test_hadlock_1984_gives_the_published_age(hc_mm, weeks):
    """8.96 + 0.540 HC + 0.0003 HC^3, HC in cm: not the polynomial with a square term."""
    assert date_by_hadlock_1984(hc_mm).days / 7 == pytest.approx(weeks, abs=0.0006)


@pytest.mark.parametrize(
    ("hc_mm", "two_sd_weeks", "is_verified"),
    [
        (68, 1.19, True),
        (144, 1.19, True),
        (151, 1.48, True),
        (219, 1.48, True),
        (224, 2.06, True),
        (280, 2.06, True),
        (284, 2.98, True),
        (325, 2.98, True),
        (328, 3.20, False),
        (360, 3.20, False),
    ],
)
def test_hadlock_1984_has_the_table_s_two_standard_deviations(hc_mm, two_sd_weeks, is_verified):
    """The ends of each band; sources disagree about the last one."""
    found = date_by_hadlock_1984(hc_mm)
    assert found.two_sd_days == pytest.approx(7 * two_sd_weeks)
    assert found.is_two_sd_verified is is_verified


@pytest.mark.parametrize(("hc_mm", "wider_weeks"), [(147, 1.48), (221, 2.06), (282, 2.98)])
def test_circumference_between_two_bands_has_the_wider_one(hc_mm, wider_weeks):
    """The table has no row there, so the larger figure is the safe one."""
    assert date_by_hadlock_1984(hc_mm).two_sd_days == pytest.approx(7 * wider_weeks)


def test_band_between_the_last_two_is_not_verified_either():
    assert date_by_hadlock_1984(326).is_two_sd_verified is False


@pytest.mark.parametrize(("hc_mm", "days"), INTERGROWTH_DAYS.items())
def test_intergrowth_2016_gives_the_published_age(hc_mm, days):
    """250 mm is the paper's own example: 189.8 days."""
    found = date_by_intergrowth_2016(hc_mm)
    assert found.days == pytest.approx(days, abs=0.006)
    assert (found.two_sd_days, found.is_two_sd_verified) == (None, None)


@pytest.mark.parametrize(
    ("date", "hc_mm", "code"),
    [
        (date_by_hadlock_1984, 67.9, BELOW_RANGE),
        (date_by_hadlock_1984, 360.1, ABOVE_RANGE),
        (date_by_intergrowth_2016, 97.0, BELOW_RANGE),
        (date_by_intergrowth_2016, 350.0, ABOVE_RANGE),
        (date_by_intergrowth_2016, 5000.0, ABOVE_RANGE),
        (date_by_intergrowth_2016, 0.5, BELOW_RANGE),
    ],
)
def test_out_of_range_is_an_answer_with_a_code(date, hc_mm, code):
    """No age is extrapolated, and nothing is raised."""
    found = date(hc_mm)
    assert (found.days, found.two_sd_days, found.code) == (None, None, code)


def test_ends_of_the_ranges_are_in_range():
    assert date_by_hadlock_1984(68.0).code is None
    assert date_by_hadlock_1984(360.0).code is None
    assert date_by_intergrowth_2016(100.0).code is None


def test_intergrowth_2016_says_where_its_documented_use_ends():
    """After 25 weeks and 6 days the age is given, with a code."""
    assert date_by_intergrowth_2016(237.0).code is None
    later = date_by_intergrowth_2016(240.0)
    assert later.days > 181
    assert later.code == BEYOND_DOCUMENTED_AGE


@pytest.mark.parametrize("date", [date_by_hadlock_1984, date_by_intergrowth_2016])
def test_age_rises_with_the_circumference(date):
    """So that the ends of an interval stay in order."""
    days = [date(hc_mm).days for hc_mm in range(100, 346)]
    assert days == sorted(days)
    assert len({*days}) == len(days)


@pytest.mark.parametrize("hc_mm", range(100, 346, 5))
def test_methods_agree_within_half_a_week(hc_mm):
    by_hadlock, by_intergrowth = date_by_hadlock_1984(hc_mm), date_by_intergrowth_2016(hc_mm)
    assert by_hadlock.days == pytest.approx(by_intergrowth.days, abs=3.5)


# --- the growth standard ------------------------------------------------------------------------


@pytest.mark.parametrize(("week", "row"), HC_TABLE.items())
def test_head_circumference_equals_the_published_table(week, row):
    """Seven standard deviations and five centiles of each row, to 0.1 mm."""
    for z, expected_mm in zip(range(-3, 4), row[:7], strict=True):
        found_mm = to_value_mm(HEAD_CIRCUMFERENCE, 7 * week, z)
        assert found_mm == pytest.approx(expected_mm, abs=TABLE_MM)
    for z, expected_mm in zip(CENTILES.values(), row[7:], strict=True):
        found_mm = to_value_mm(HEAD_CIRCUMFERENCE, 7 * week, z)
        assert found_mm == pytest.approx(expected_mm, abs=TABLE_MM)


def test_centiles_are_those_of_the_table():
    """The 90th is 1.2816 standard deviations, not 0.675 (which is the 75th)."""
    assert [*CENTILES] == [3, 10, 50, 90, 97]
    assert CENTILES[90] == pytest.approx(1.2816, abs=1e-4)
    assert CENTILES[3] == pytest.approx(-1.8808, abs=1e-4)
    for centile, z in CENTILES.items():
        assert to_centile(z) == pytest.approx(centile)


@pytest.mark.parametrize("standard", MEDIANS)
def test_medians_of_both_axes_equal_the_published_table(standard):
    for week, expected_mm in MEDIANS[standard].items():
        assert to_value_mm(standard, 7 * week, 0) == pytest.approx(expected_mm, abs=TABLE_MM)


@pytest.mark.parametrize(("week", "hc_mm", "z", "centile"), WORKED_Z)
def test_worked_z_scores(week, hc_mm, z, centile):
    found = to_z_score(HEAD_CIRCUMFERENCE, hc_mm, 7 * week)
    assert found == pytest.approx(z, abs=0.0006)
    if centile is not None:
        assert to_centile(found) == pytest.approx(centile, abs=0.006)


@pytest.mark.parametrize(
    "standard", [HEAD_CIRCUMFERENCE, BIPARIETAL_DIAMETER, OCCIPITOFRONTAL_DIAMETER]
)
def test_z_score_and_value_are_inverse(standard):
    """On each day of the standard, and its spread is positive."""
    for days in range(98, 281):
        value_mm = to_value_mm(standard, days, 1.5)
        assert to_z_score(standard, value_mm, days) == pytest.approx(1.5)
        assert to_value_mm(standard, days, 1) > to_value_mm(standard, days, 0)


@pytest.mark.parametrize(
    ("days", "code"), [(97, BELOW_AGE_RANGE), (98, None), (280, None), (281, ABOVE_AGE_RANGE)]
)
def test_standard_holds_from_14_to_40_weeks(days, code):
    assert find_age_code(days) == code


# --- gestational ages as callers state and read them --------------------------------------------


@pytest.mark.parametrize("days", [1, 140, 140.0, 330])
def test_plausible_ages_are_taken(days):
    assert require_gestational_age(days) == int(days)


def test_no_age_is_none():
    assert require_gestational_age(None) is None


@pytest.mark.parametrize("days", [0, -140, 331, 140.5, math.nan, math.inf, True, "140", "20w0d"])
def test_implausible_ages_are_refused(days):
    """20.4 weeks are not 20.4 days: only whole days are taken, and never text."""
    with pytest.raises(InvalidGestationalAgeError, match="days"):
        require_gestational_age(days)


@pytest.mark.parametrize(
    ("days", "text"),
    [(110.4, "15w5d"), (110.6, "15w6d"), (111.6, "16w0d"), (140, "20w0d"), (146.4, "20w6d")],
)
def test_text_never_has_seven_days(days, text):
    """The days are rounded first and split then: 111.6 days are 16w0d, not 15w7d."""
    assert to_age_text(days) == text


@pytest.mark.parametrize("age_days", [98, 140, 280])
@pytest.mark.parametrize(("z_score", "expected"), [(-5.01, True), (-4.99, False), (5.01, True)])
def test_head_beyond_five_standard_deviations_is_extreme(age_days, z_score, expected):
    head_mm = to_value_mm(HEAD_CIRCUMFERENCE, age_days, z_score)
    assert is_extreme(head_mm, age_days) is expected


def test_age_of_an_earlier_pregnancy_is_noticed_where_the_standard_holds():
    """A mean head at 20 weeks: the errors that `docs/growth.md` states, no smaller."""
    head_mm = to_value_mm(HEAD_CIRCUMFERENCE, 140, 0.0)
    noticed = [days for days in range(98, 281) if is_extreme(head_mm, days)]
    assert noticed == [*range(98, 140 - 19 + 1), *range(140 + 25, 281)]
    assert not is_extreme(head_mm, 97)
    assert not is_extreme(head_mm, 281)
