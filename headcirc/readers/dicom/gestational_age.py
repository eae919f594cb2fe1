"""Read the gestational age that a DICOM file states, on the day of its picture.

Two places are well defined: Last Menstrual Date of the patient's study, and coded items of the
acquisition context. An age that an ultrasound measurement gives is never read, because it may be
that of this same head. So Gestational Age (LN 18185-9) and EDD (LN 11778-8), which do not say where
they come from, and all dates and ages "by ultrasound" are left out. Free text and private
attributes are left out, too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from pydicom.dataset import Dataset

from headcirc.readers.dicom.file import DICOM_DAMAGE, read_value

TERM_DAYS = 280
"""From the last menstrual period to the expected date of delivery (EDD)."""
OVULATION_DAYS = 14
"""From the last menstrual period to ovulation and conception."""
MOST_DIFFERENCE_DAYS = 1
"""Between two places of one file: a day counted in another time zone."""
LOINC = "LN"
AGES = ("11885-1", "11886-9")
"""Gestational age by last menstrual period, and by ovulation date (CID 12018, 12019)."""
DAYS_BEFORE_DATE = {
    "8665-2": 0,  # last menstrual period
    "11779-6": TERM_DAYS,  # EDD by last menstrual period
    "11780-4": TERM_DAYS,  # EDD by ovulation date
    "11976-8": OVULATION_DAYS,  # ovulation date
    "33067-0": OVULATION_DAYS,  # conception date
}
"""Coded dates (CID 12003), and how many days before each the last menstrual period began."""
DAYS_PER_UNIT = {"d": 1, "wk": 7}
"""Units of an age (UCUM)."""
DATE = re.compile(
    r"(?P<year>[0-9]{4})(?P<point>\.?)(?P<month>[0-9]{2})(?P=point)(?P<day>[0-9]{2})"
    r"(?:(?:[0-9]{2}){1,3}(?:\.[0-9]{1,6})?)?(?:[+-][0-9]{4})?"
)
"""A date, or a date with a time; before 1993 dates were written with points."""
PICTURE_DATES = ("AcquisitionDate", "AcquisitionDateTime", "StudyDate")
"""The day of the picture, the best first; a date of its contents may be that of a later change."""


@dataclass(frozen=True)
class FileAge:
    """The gestational age that a file states.

    Attributes
    ----------
    days : int or None
        On the day of the picture, of any size; None if the file states none, or none that can be
        read.
    is_unusable : bool
        It states a damaged one, or two that differ.
    """

    days: int | None = None
    is_unusable: bool = False


def read_gestational_age(header: Dataset) -> FileAge:
    """Return the gestational age that a header states; a damaged attribute is no error."""
    try:
        ages = [*_read_acquisition_context(header), *_read_last_menstrual_date(header)]
    except DICOM_DAMAGE:
        return FileAge(is_unusable=True)
    if not ages:
        return FileAge()
    if max(ages) - min(ages) > MOST_DIFFERENCE_DAYS:
        return FileAge(is_unusable=True)
    return FileAge(ages[0])


def _read_last_menstrual_date(header: Dataset) -> Iterator[int]:
    began = _read_date(header, "LastMenstrualDate")
    if began is not None:
        yield (_require_picture_date(header) - began).days


def _read_acquisition_context(header: Dataset) -> Iterator[int]:
    """Yield the age of each coded item that states one (PS3.3, C.7.6.14)."""
    for item in read_value(header, "AcquisitionContextSequence") or ():
        concept = _read_code(item, "ConceptNameCodeSequence")
        if concept is None or concept[0] != LOINC:
            continue
        if concept[1] in AGES:
            yield _to_days(item)
        elif concept[1] in DAYS_BEFORE_DATE:
            day = _read_date(item, "Date")
            if day is None:
                raise ValueError("A coded date has no value.")
            began = day - timedelta(DAYS_BEFORE_DATE[concept[1]])
            yield (_require_picture_date(header) - began).days


def _to_days(item: Dataset) -> int:
    unit = _read_code(item, "MeasurementUnitsCodeSequence")
    value = read_value(item, "NumericValue")
    if unit is None or unit[1] not in DAYS_PER_UNIT or value is None:
        raise ValueError("A gestational age has no value, or not in days or weeks.")
    days = float(value) * DAYS_PER_UNIT[unit[1]]  # a TypeError for several values
    return round(days)  # weeks have one decimal: 20w3d is written as 20.4


def _read_code(dataset: Dataset, keyword: str) -> tuple[str, str] | None:
    """Return scheme and value of a code, or None."""
    items = read_value(dataset, keyword)
    if not items:
        return None
    keywords = ("CodingSchemeDesignator", "CodeValue")
    scheme, value = (str(read_value(items[0], each)) for each in keywords)
    return scheme, value


def _read_date(dataset: Dataset, keyword: str) -> date | None:
    """Return the day of a date, or of a date with a time; None where it is missing or empty."""
    value = read_value(dataset, keyword)
    if value is None:
        return None
    written = DATE.fullmatch(str(value).strip())
    if written is None:
        raise ValueError("A date is cut off, is a range, or is written in another way.")
    return date(*(int(written[part]) for part in ("year", "month", "day")))


def _require_picture_date(header: Dataset) -> date:
    for keyword in PICTURE_DATES:
        day = _read_date(header, keyword)
        if day is not None:
            return day
    raise ValueError("The day of the picture is not stated.")
