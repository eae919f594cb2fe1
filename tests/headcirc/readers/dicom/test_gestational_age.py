import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from headcirc.readers.decode import decode_frame
from tests.support.dicom_files import make_code, make_dicom, make_number

PIXELS = np.zeros((40, 60), np.uint8)
STUDY = {"StudyDate": "20260611"}


def make_date(concept: str, day: str) -> Dataset:
    item = Dataset()
    item.ValueType, item.ConceptNameCodeSequence, item.Date = "DATE", make_code(concept), day
    return item


def read(*context: Dataset, **attributes: object) -> tuple[int | None, bool]:
    """Return the age in days that a file states, and whether it states an unusable one."""
    if context:
        attributes["AcquisitionContextSequence"] = Sequence(context)
    source = decode_frame(make_dicom(PIXELS, **attributes)).source
    return source.gestational_age_days, source.has_unusable_gestational_age


def test_file_without_an_age_has_none():
    assert read(**STUDY) == (None, False)
    assert read(**STUDY, LastMenstrualDate="") == (None, False)
    assert read(**STUDY, PatientAge="031Y", PregnancyStatus=3) == (None, False)


def test_age_is_counted_from_the_last_menstrual_date_to_the_day_of_the_picture():
    """20w3d are 143 days; the acquisition's day comes before that of the study."""
    assert read(**STUDY, LastMenstrualDate="20260119") == (143, False)
    facts = {"LastMenstrualDate": "20260119"}
    assert read(**STUDY, **facts, AcquisitionDate="20260612") == (144, False)
    assert read(**STUDY, **facts, AcquisitionDateTime="20260612093000.0+0200") == (144, False)
    assert read(**STUDY, **facts, ContentDate="20260701", SeriesDate="20260702") == (143, False)


@pytest.mark.parametrize(
    ("item", "days"),
    [
        (make_number("11885-1", "143"), 143),
        (make_number("11885-1", "20.4", "wk"), 143),
        (make_number("11886-9", "20", "wk"), 140),
        (make_date("8665-2", "20260119"), 143),
        (make_date("11779-6", "20261026"), 143),
        (make_date("11780-4", "20261026"), 143),
        (make_date("11976-8", "20260202"), 143),
        (make_date("33067-0", "20260202"), 143),
    ],
    ids=lambda value: (
        value if isinstance(value, int) else value.ConceptNameCodeSequence[0].CodeValue
    ),
)
def test_coded_age_or_date_of_the_acquisition_context_is_read(item, days):
    assert read(item, **STUDY) == (days, False)


@pytest.mark.parametrize("concept", ["18185-9", "11888-5", "11884-4", "11932-1"])
def test_age_that_a_measurement_may_have_given_is_not_read(concept):
    """With the age of this same head, every head would be average."""
    assert read(make_number(concept, "143"), **STUDY) == (None, False)
    for date in ("11778-8", "11781-2"):
        assert read(make_date(date, "20261026"), **STUDY) == (None, False)


def test_same_code_of_another_scheme_is_not_read():
    item = make_number("11885-1", "143")
    item.ConceptNameCodeSequence = make_code("11885-1", "99PRIVATE")
    assert read(item, **STUDY) == (None, False)


def test_age_without_the_day_of_the_picture_is_unusable():
    assert read(LastMenstrualDate="20260119") == (None, True)


def test_age_of_no_pregnancy_is_left_to_whoever_uses_it():
    assert read(**STUDY, LastMenstrualDate="20260701") == (-20, False)
    assert read(**STUDY, LastMenstrualDate="20250119") == (508, False)


@pytest.mark.parametrize(
    "item",
    [
        make_number("11885-1", "143", "mm"),
        make_number("11885-1", None),
        make_number("11885-1", ["143", "160"]),
        make_date("8665-2", ""),
    ],
    ids=["unit", "no number", "two numbers", "no date"],
)
def test_coded_item_without_a_usable_value_is_unusable(item):
    assert read(item, **STUDY) == (None, True)


def test_two_places_must_agree():
    """A day of difference is the counting; more is a contradiction, and neither is used."""
    facts = STUDY | {"LastMenstrualDate": "20260119"}
    assert read(make_number("11885-1", "142"), **facts) == (142, False)
    assert read(make_number("11885-1", "140"), **facts) == (None, True)


@pytest.mark.parametrize(
    "day",
    ["2026011", "2026.1.19", "20260119-20260120", "20260119AB", "2026.0119", "19/01/2026"],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_date_that_is_not_whole_is_unusable(day):
    """A missing digit would move the date by weeks."""
    assert read(**STUDY, LastMenstrualDate=day) == (None, True)


def test_date_with_points_is_read():
    """As the standard before DICOM wrote it."""
    assert read(**STUDY, LastMenstrualDate="2026.01.19") == (143, False)


def test_damaged_date_costs_no_measurement():
    """The file is read, and its age is unusable."""
    content = make_dicom(PIXELS, **STUDY, LastMenstrualDate="20260119")
    source = decode_frame(content.replace(b"20260119", b"2026XX19")).source
    assert (source.gestational_age_days, source.has_unusable_gestational_age) == (None, True)
