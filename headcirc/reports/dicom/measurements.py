"""Numbers as DICOM content items, with what is known of their uncertainty."""

from highdicom.sr.coding import CodedConcept
from highdicom.sr.value_types import NumContentItem

from headcirc.answers import AnalysisFacts, Head
from headcirc.reports.dicom import codes
from headcirc.reports.dicom.finding import DECIMALS

Figure = tuple[CodedConcept, float, CodedConcept]
"""Name, value and unit."""


def find_hadlock_days(answer: AnalysisFacts) -> float | None:
    """Return the gestational age by Hadlock 1984, the only equation here that DICOM has a code for.

    None out of the equation's range.
    """
    age = answer.gestational_age
    return None if age is None else age.hadlock_1984.days


def to_number(
    name: CodedConcept, value: float, unit: CodedConcept, relationship: str = "CONTAINS"
) -> NumContentItem:
    """Return a number; it is rounded, because DICOM would write 16 digits."""
    return NumContentItem(name, round(float(value), DECIMALS), unit, relationship_type=relationship)


def to_uncertainty(head: Head) -> list[NumContentItem]:
    """Return how far the interval of the circumference reaches up and down (CID 225).

    Empty where the answer states no interval. The interval's level is in the report's comment,
    because DICOM has no place for it.
    """
    interval, value_mm = head.head_circumference_interval_mm, head.head_circumference_mm
    if interval is None or value_mm is None:
        return []
    reach = (
        (codes.UPPER_UNCERTAINTY, interval.high - value_mm),
        (codes.LOWER_UNCERTAINTY, value_mm - interval.low),
    )
    return [
        to_number(name, value, codes.MILLIMETRE, relationship="HAS PROPERTIES")
        for name, value in reach
    ]


def to_diameters(head: Head) -> list[Figure]:
    """Return the two axes of the ellipse, outer edge to outer edge."""
    assert head.biparietal_diameter_mm is not None, "a head in mm has all figures"
    assert head.occipitofrontal_diameter_mm is not None, "a head in mm has all figures"
    return [
        (codes.OUTER_DIAMETER, head.biparietal_diameter_mm, codes.MILLIMETRE),
        (codes.OCCIPITOFRONTAL_DIAMETER, head.occipitofrontal_diameter_mm, codes.MILLIMETRE),
    ]


def to_cephalic_index(head: Head) -> Figure:
    """Return the cephalic index in per cent, as DICOM and FHIR have it."""
    assert head.cephalic_index is not None, "a head in mm has all figures"
    return codes.CEPHALIC_INDEX, 100 * head.cephalic_index, codes.PERCENT
