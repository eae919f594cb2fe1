"""Date a head by its circumference, and compare it with the growth of others of the same age.

Both are published equations. Dating needs the circumference alone. A z-score or centile needs the
gestational age from elsewhere, such as the last menstrual period or an early scan: with the age
that the circumference itself gives, every head would be average. Out of an equation's range there
is a code and no number. This module needs the standard library only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from headcirc.errors import InvalidGestationalAgeError

DAYS_PER_WEEK = 7
BELOW_RANGE, ABOVE_RANGE = "head-circumference-below-range", "head-circumference-above-range"
BELOW_AGE_RANGE, ABOVE_AGE_RANGE = "gestational-age-below-range", "gestational-age-above-range"
BEYOND_DOCUMENTED_AGE = "beyond-documented-age"
"""The age is given, but the equation's use is documented for younger fetuses only."""

AGE_FROM_REQUEST, AGE_FROM_DICOM = "request", "dicom"
"""Where a gestational age is from: the caller, or the DICOM file."""
MOST_AGE_DIFFERENCE_DAYS = 1
"""Between the caller's age and that of the file: a day that one of them counts otherwise."""
STANDARD = "intergrowth21_2014"
"""Name of the growth standard in answers."""
PLAUSIBLE_DAYS = (1, 330)
"""What a caller may state; 330 days are 47 weeks."""
STANDARD_DAYS = (98, 280)
"""14 weeks 0 days to 40 weeks 0 days: where the INTERGROWTH-21st growth standard holds."""
HADLOCK_RANGE_MM = (68.0, 360.0)
"""Circumferences of the published table."""
HADLOCK_TWO_SD_WEEKS = (
    (144.0, 1.19, True),
    (219.0, 1.48, True),
    (280.0, 2.06, True),
    (325.0, 2.98, True),
    (360.0, 3.20, False),
)
"""Two standard deviations up to a circumference in mm, and whether sources agree. Between the last
row of a band and the first row of the next one, the wider band holds."""
INTERGROWTH_DOCUMENTED_DAYS = 181
"""25 weeks 6 days, the last age for which use of the dating equation is documented."""
MOST_Z_SCORE = 5.0
"""Beyond it WHO's software for its child growth standards flags a head circumference as an error of
the measurement or the age (package `anthro`), and below it fetal microcephaly is regarded as
certain (SMFM). So it is a reason to look at both, never a proof that one is wrong."""
CENTILES = {each: NormalDist().inv_cdf(each / 100) for each in (3, 10, 50, 90, 97)}
"""Z-scores of the centiles that a growth chart shows."""


# --- gestational age from the circumference -----------------------------------------------------


@dataclass(frozen=True)
class Dating:
    """A gestational age by one equation.

    Attributes
    ----------
    days : float or None
        None out of the equation's range.
    two_sd_days : float or None
        Two standard deviations of the equation's error; None where none is published.
    is_two_sd_verified : bool or None
        False where sources disagree about `two_sd_days`.
    code : str or None
        Why there is no age, or what to know about it.
    """

    days: float | None
    two_sd_days: float | None = None
    is_two_sd_verified: bool | None = None
    code: str | None = None


def date_by_hadlock_1984(head_circumference_mm: float) -> Dating:
    """Return the gestational age by Hadlock 1984, from 68 to 360 mm.

    References
    ----------
    Hadlock et al. 1984, Radiology 152:497-501. The published table of the equation gives the two
    standard deviations.
    """
    lowest_mm, highest_mm = HADLOCK_RANGE_MM
    if head_circumference_mm < lowest_mm:
        return Dating(None, code=BELOW_RANGE)
    if head_circumference_mm > highest_mm:
        return Dating(None, code=ABOVE_RANGE)
    hc_cm = head_circumference_mm / 10
    weeks = 8.96 + 0.540 * hc_cm + 0.0003 * hc_cm**3
    two_sd_weeks, is_verified = next(
        (weeks, is_verified)
        for up_to_mm, weeks, is_verified in HADLOCK_TWO_SD_WEEKS
        if head_circumference_mm <= up_to_mm
    )
    return Dating(DAYS_PER_WEEK * weeks, DAYS_PER_WEEK * two_sd_weeks, is_verified)


def date_by_intergrowth_2016(head_circumference_mm: float) -> Dating:
    """Return the gestational age by INTERGROWTH-21st 2016, from 14 to 40 weeks.

    The prediction interval of the equation is not published in a form that could be used here.

    References
    ----------
    Papageorghiou et al. 2016, doi:10.1002/uog.15894 (HC of 250 mm: 189.8 days).
    """
    first_day, last_day = STANDARD_DAYS
    # Limited, because the exponential of an impossible circumference overflows.
    hc_mm = min(max(head_circumference_mm, 1.0), 1000.0)
    days = math.exp(0.05970 * math.log(hc_mm) ** 2 + 6.409e-9 * hc_mm**3 + 3.3258)
    if days < first_day:
        return Dating(None, code=BELOW_RANGE)
    if days > last_day:
        return Dating(None, code=ABOVE_RANGE)
    return Dating(days, code=BEYOND_DOCUMENTED_AGE if days > INTERGROWTH_DOCUMENTED_DAYS else None)


# --- the growth standard ------------------------------------------------------------------------


@dataclass(frozen=True)
class GrowthStandard:
    """Mean and standard deviation of one measure, in mm, by the age in exact weeks.

    References
    ----------
    INTERGROWTH-21st: Papageorghiou et al. 2014, doi:10.1016/S0140-6736(14)61490-2. Measures are
    outer to outer. The logarithm is natural.
    """

    to_mean_mm: Callable[[float], float]
    to_sd_mm: Callable[[float], float]


HEAD_CIRCUMFERENCE = GrowthStandard(
    to_mean_mm=lambda ga: -28.2849 + 1.69267 * ga**2 - 0.397485 * ga**2 * math.log(ga),
    to_sd_mm=lambda ga: (
        1.98735
        + 0.0136772 * ga**3
        - 0.00726264 * ga**3 * math.log(ga)
        + 0.000976253 * ga**3 * math.log(ga) ** 2
    ),
)
BIPARIETAL_DIAMETER = GrowthStandard(
    to_mean_mm=lambda ga: 5.60878 + 0.158369 * ga**2 - 0.00256379 * ga**3,
    to_sd_mm=lambda ga: math.exp(
        0.101242
        + 0.00150557 * ga**3
        - 0.000771535 * ga**3 * math.log(ga)
        + 0.0000999638 * ga**3 * math.log(ga) ** 2
    ),
)
OCCIPITOFRONTAL_DIAMETER = GrowthStandard(
    to_mean_mm=lambda ga: -12.4097 + 0.626342 * ga**2 - 0.148075 * ga**2 * math.log(ga),
    to_sd_mm=lambda ga: math.exp(
        -0.880034
        + 0.0631165 * ga**2
        - 0.0317136 * ga**2 * math.log(ga)
        + 0.00408302 * ga**2 * math.log(ga) ** 2
    ),
)


def to_z_score(standard: GrowthStandard, value_mm: float, age_days: float) -> float:
    """Return how many standard deviations a value lies above the mean of its age.

    Parameters
    ----------
    standard : GrowthStandard
    value_mm : float
    age_days : float
        Within `STANDARD_DAYS`; see `find_age_code`.
    """
    weeks = age_days / DAYS_PER_WEEK
    return (value_mm - standard.to_mean_mm(weeks)) / standard.to_sd_mm(weeks)


def to_value_mm(standard: GrowthStandard, age_days: float, z_score: float) -> float:
    """Return the value of a z-score at an age within `STANDARD_DAYS`."""
    weeks = age_days / DAYS_PER_WEEK
    return standard.to_mean_mm(weeks) + z_score * standard.to_sd_mm(weeks)


def to_centile(z_score: float) -> float:
    """Return the share of fetuses of the same age with a smaller value, in per cent."""
    return 50 * math.erfc(-z_score / math.sqrt(2))


def is_extreme(head_circumference_mm: float, age_days: float) -> bool:
    """Return whether a head is farther from the mean of its age than heads nearly ever are.

    It is false where the growth standard does not hold.
    """
    if find_age_code(age_days) is not None:
        return False
    return abs(to_z_score(HEAD_CIRCUMFERENCE, head_circumference_mm, age_days)) > MOST_Z_SCORE


def find_age_code(age_days: float) -> str | None:
    """Return why the growth standard does not hold at an age, or None if it does."""
    first_day, last_day = STANDARD_DAYS
    if age_days < first_day:
        return BELOW_AGE_RANGE
    return ABOVE_AGE_RANGE if age_days > last_day else None


# --- gestational ages as callers state and read them --------------------------------------------


def require_gestational_age(days: float | None) -> int | None:
    """Return the gestational age that a caller states, or None if nothing is stated.

    Raises
    ------
    InvalidGestationalAgeError
        It is not a whole number of days from 1 to 330.
    """
    if days is None:
        return None
    lowest, highest = PLAUSIBLE_DAYS
    is_number = isinstance(days, int | float) and not isinstance(days, bool)
    if not is_number or not lowest <= days <= highest or days != int(days):
        raise InvalidGestationalAgeError(
            f"The gestational age must be a whole number of days from {lowest} to {highest}, such "
            "as 143 for 20 weeks and 3 days."
        )
    return int(days)


@dataclass(frozen=True)
class KnownAge:
    """A gestational age that is known from elsewhere than the circumference.

    Attributes
    ----------
    days : int
    source : str
        `AGE_FROM_REQUEST` or `AGE_FROM_DICOM`.
    in_file_days : int or None
        As the DICOM file states it; None if it states none.
    """

    days: int
    source: str
    in_file_days: int | None = None

    @property
    def is_in_conflict(self) -> bool:
        """Return whether the caller and the file state different ages."""
        stated = self.days if self.in_file_days is None else self.in_file_days
        return abs(self.days - stated) > MOST_AGE_DIFFERENCE_DAYS


def is_plausible(days: int) -> bool:
    """Return whether a pregnancy can have this age."""
    first_day, last_day = PLAUSIBLE_DAYS
    return first_day <= days <= last_day


def choose_age(stated_days: int | None, in_file_days: int | None) -> KnownAge | None:
    """Return the age that the caller states, otherwise that of the file; None without either."""
    if stated_days is not None:
        return KnownAge(stated_days, AGE_FROM_REQUEST, in_file_days)
    if in_file_days is not None:
        return KnownAge(in_file_days, AGE_FROM_DICOM, in_file_days)
    return None


def describe_age_source(source: str) -> str:
    """Return who states a gestational age, in words."""
    origins = {
        AGE_FROM_REQUEST: "stated by the requester",
        AGE_FROM_DICOM: "stated in the DICOM file",
    }
    return origins.get(source, "stated elsewhere")


def to_age_text(days: float) -> str:
    """Return a gestational age in weeks and days, such as `20w3d`, to the nearest day."""
    weeks, rest = divmod(round(days), DAYS_PER_WEEK)
    return f"{weeks}w{rest}d"
