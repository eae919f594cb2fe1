"""Copy from a source's header what a report repeats: patient, study, series and image.

A scanner's header often breaks a rule: a type 2 attribute is missing, a time is malformed, a sex is
"U". A report must not repeat that, because archives refuse it. A value that breaks a rule is left
empty; it is never repaired by guessing, because a wrong identifier is worse than none.
"""

import logging
import re
import warnings
from collections.abc import Callable
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import (
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from headcirc.dicom_source import DicomSource
from headcirc.errors import UnusableHeaderError
from headcirc.readers.dicom.file import ignore_warnings

CHARACTER_SET = "ISO_IR 192"
"""UTF-8, which holds every name whatever the source's character set."""
IMAGE_CLASSES = (
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
"""Kinds of images that a report refers to; retired and private ones are unknown to archives."""
REQUIRED_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
MODALITY = "US"
"""Also of secondary captures; it is not written, but highdicom asks for it."""
SHORT_CHARACTERS, LONG_CHARACTERS = 16, 64
MOST_NAME_GROUPS, MOST_NAME_PARTS = 3, 5
"""A name is written alphabetic=ideographic=phonetic, each as family^given^middle^prefix^suffix."""
MOST_INSTANCE_NUMBER = 2**31 - 1
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
"""With the full stops of ACR-NEMA, which old scanners still write."""
TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d)(\.\d{1,6})?)?)?")
OFFSET = re.compile(r"[+-](0\d|1[0-4])([0-5]\d)")
SEXES = ("M", "F", "O")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ufffd]")
"""Control characters, the separator of values, and the mark of what could not be decoded."""


def to_evidence(source: DicomSource) -> Dataset:
    """Return the attributes of the source that a report repeats or refers to.

    Parameters
    ----------
    source : DicomSource

    Returns
    -------
    Dataset
        Every attribute that a report needs, with a value that is valid or empty. Nothing else of
        the source: no private attributes, no pixel data.

    Raises
    ------
    UnusableHeaderError
        An identifier that a report must repeat is missing or invalid, or the object is no image
        that a report can refer to.
    """
    _ignore_warnings()
    header, evidence = source.header, Dataset()
    evidence.SpecificCharacterSet, evidence.Modality = CHARACTER_SET, MODALITY
    for keyword in REQUIRED_UIDS:
        setattr(evidence, keyword, _require_uid(header, keyword))
    if evidence.SOPClassUID not in IMAGE_CLASSES:
        raise UnusableHeaderError(
            "The DICOM file is of a kind that a report cannot refer to; send an ultrasound or "
            "secondary capture image."
        )
    for keyword, clean in CLEANERS.items():
        setattr(evidence, keyword, clean(_read_text(header, keyword)))
    evidence.InstanceNumber = _to_instance_number(_read_text(header, "InstanceNumber"))
    evidence.Rows, evidence.Columns = int(header.Rows), int(header.Columns)
    evidence.NumberOfFrames = source.frames
    if source.frames == 1:
        del evidence.NumberOfFrames
    for keyword in OPTIONAL:
        if not evidence[keyword].value:
            del evidence[keyword]
    return evidence


def to_local_time(created: str, evidence: Dataset) -> datetime:
    """Return the time of an answer (ISO 8601) on the clock that the source's times are given in.

    Without a stated offset this is the clock of this machine, as for other devices in DICOM.
    """
    moment = datetime.fromisoformat(created)
    offset = evidence.get("TimezoneOffsetFromUTC")
    if offset is None:
        return moment.astimezone()
    return moment.astimezone(datetime.strptime(offset, "%z").tzinfo)


def _ignore_warnings() -> None:
    """Keep the warnings of both DICOM libraries out of logs; they quote names and other values."""
    ignore_warnings()
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="highdicom")


def _read_text(header: Dataset, keyword: str) -> str:
    """Return a value as text, empty where it is missing, multiple or cannot be read."""
    try:
        value = header.get(keyword, "")
        return "" if value is None or isinstance(value, MultiValue) else str(value).strip(" \0")
    except Exception:
        # pydicom documents no common base of what it raises on a damaged value, and an empty
        # value is a valid report.
        return ""


def _require_uid(header: Dataset, keyword: str) -> str:
    uid = _read_text(header, keyword)
    if not UID.fullmatch(uid) or len(uid) > LONG_CHARACTERS:
        raise UnusableHeaderError(
            f"The DICOM file's {keyword} is missing or invalid; a report needs it to refer to the "
            "picture. Send the file as the scanner or the archive stores it."
        )
    return uid


def _to_instance_number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    return number if 0 < number <= MOST_INSTANCE_NUMBER else 1


def _to_short(text: str) -> str:
    return "" if len(text) > SHORT_CHARACTERS or UNPRINTABLE.search(text) else text


def _to_long(text: str) -> str:
    return "" if len(text) > LONG_CHARACTERS or UNPRINTABLE.search(text) else text


def _to_name(text: str) -> str:
    groups = text.split("=")
    is_valid = len(groups) <= MOST_NAME_GROUPS and all(
        len(group) <= LONG_CHARACTERS and group.count("^") < MOST_NAME_PARTS for group in groups
    )
    return "" if not is_valid or UNPRINTABLE.search(text) else text


def _to_date(text: str) -> str:
    found = DATE.fullmatch(text)
    date = "".join(found.groups()) if found else ""
    try:
        datetime.strptime(date, "%Y%m%d")
    except ValueError:
        return ""
    return date


def _to_time(text: str) -> str:
    found = TIME.fullmatch(text)
    return "".join(part for part in found.groups() if part) if found else ""


def _to_sex(text: str) -> str:
    return text if text in SEXES else ""


def _to_offset(text: str) -> str:
    return text if OFFSET.fullmatch(text) else ""


CLEANERS: dict[str, Callable[[str], str]] = {
    "PatientName": _to_name,
    "PatientID": _to_long,
    "IssuerOfPatientID": _to_long,
    "PatientBirthDate": _to_date,
    "PatientSex": _to_sex,
    "StudyDate": _to_date,
    "StudyTime": _to_time,
    "StudyID": _to_short,
    "StudyDescription": _to_long,
    "AccessionNumber": _to_short,
    "ReferringPhysicianName": _to_name,
    "TimezoneOffsetFromUTC": _to_offset,
    "Manufacturer": _to_long,
    "ManufacturerModelName": _to_long,
    "BurnedInAnnotation": _to_short,
}
"""Each attribute that is repeated, and how its value is checked."""
OPTIONAL = (
    "IssuerOfPatientID",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
    "Manufacturer",
    "ManufacturerModelName",
    "BurnedInAnnotation",
)
"""Left out where they are empty; the others are of type 2 and stay."""
