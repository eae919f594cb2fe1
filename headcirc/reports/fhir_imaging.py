"""Find the identifiers of the DICOM object that was measured, for FHIR's ImagingStudy."""

from dataclasses import asdict

from headcirc.dicom_source import DicomSource
from headcirc.errors import InputError
from headcirc.reports.fhir_elements import UID, ImagingSource

KEYWORDS = {
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "instance_uid": "SOPInstanceUID",
    "sop_class_uid": "SOPClassUID",
}
PARTS = ("series_uid", "instance_uid", "sop_class_uid")
"""What a study may have beside its own identifier."""


def read_imaging_source(source: DicomSource | None) -> ImagingSource | None:
    """Return the identifiers that a DICOM object states; None without those of its study.

    What is damaged or missing is left out, with what depends on it.
    """
    if source is None:
        return None
    study_uid = _read_uid(source, KEYWORDS["study_uid"])
    if study_uid is None:
        return None
    found = {name: _read_uid(source, KEYWORDS[name]) for name in PARTS}
    if None in found.values():  # an instance without its class or its series identifies nothing
        found = {"series_uid": found["series_uid"]}
    return ImagingSource(study_uid=study_uid, **found)


def _read_uid(source: DicomSource, keyword: str) -> str | None:
    """Return a UID; None where it is missing, or no UID."""
    try:
        text = str(source.header.get(keyword, "")).strip("\0 ")
    except (ValueError, TypeError, NotImplementedError, UnicodeError):
        return None
    return text if UID.fullmatch(text) else None


def choose_imaging(
    stated: ImagingSource | None, found: ImagingSource | None
) -> ImagingSource | None:
    """Return the identifiers of the file; without them, those that the caller states.

    Raises
    ------
    InputError
        The caller states another one than the file.
    """
    if found is None or stated is None:
        return found or stated
    known = asdict(found)
    for name, value in asdict(stated).items():
        if value is not None and known[name] is not None and value != known[name]:
            raise InputError(
                f"The stated {name} is not that of the DICOM file that was measured; leave it out: "
                "the file's own identifiers are used."
            )
    return found
