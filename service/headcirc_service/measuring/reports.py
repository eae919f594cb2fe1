"""Build a DICOM report about a file that was measured."""

from headcirc.dicom_source import DicomSource
from headcirc.errors import UnsupportedMediaTypeError
from headcirc.readers.dicom import recognises
from headcirc_service.measuring.measurer import Question
from headcirc_service.results.stored_analysis import StoredAnalysis


def require_dicom(question: Question) -> None:
    """Refuse a file that no report can refer to, before it is measured.

    Raises
    ------
    UnsupportedMediaTypeError
    """
    if not recognises(question.content):
        raise UnsupportedMediaTypeError(
            "The file is not DICOM; a report repeats the patient, the study and the picture's "
            "identifier, which only a DICOM file has."
        )


def make_report(kind: str, question: Question, stored: StoredAnalysis) -> bytes:
    """Return one kind of report as the bytes of a DICOM file; runs in a thread.

    Parameters
    ----------
    kind : str
        One of `headcirc.reports.dicom.report_file.KINDS`.
    question : Question
    stored : StoredAnalysis
        The answer to the question; it holds nothing of the header.
    """
    from headcirc.reports.dicom.finding import Finding
    from headcirc.reports.dicom.report_file import to_report_file

    finding = Finding(source=_read_source(question.content, stored), answer=stored.body)
    return to_report_file(kind, finding, mask=stored.mask, draw_overlay=stored.draw_overlay)


def _read_source(content: bytes, stored: StoredAnalysis) -> DicomSource:
    """Read the header again: a kept answer has none, because a header identifies a patient."""
    from headcirc.readers.dicom.file import open_file, refusing_damaged_dicom, to_report_header

    place = stored.body.image.dicom
    assert place is not None, "`require_dicom` has checked it"
    header = open_file(content).header
    with refusing_damaged_dicom():
        return DicomSource(
            to_report_header(header), place.frame, place.frames, place.left_px, place.top_px
        )
