"""Build a DICOM report about a file that was measured."""

from headcirc.dicom_source import DicomSource
from headcirc.errors import UnsupportedMediaTypeError
from headcirc.pipeline import Pipeline
from headcirc.readers import decode_frame
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


def make_report(kind: str, question: Question, stored: StoredAnalysis, pipeline: Pipeline) -> bytes:
    """Return one kind of report as the bytes of a DICOM file; runs in a thread.

    Parameters
    ----------
    kind : str
        One of `headcirc.reports.report_file.KINDS`.
    question : Question
    stored : StoredAnalysis
        The answer to the question; it holds nothing of the header.
    pipeline : Pipeline
        Of the model that gave the answer.
    """
    from headcirc.reports.finding import Finding
    from headcirc.reports.report_file import to_report_file

    finding = Finding(
        source=_read_source(question, pipeline.maximum_pixels),
        answer=stored.body,
        model_sha256=pipeline.graph.sha256,
    )
    return to_report_file(kind, finding, mask=stored.mask, draw_overlay=stored.draw_overlay)


def _read_source(question: Question, maximum_pixels: int) -> DicomSource:
    """Read the header again: a kept answer has none, because a header identifies a patient."""
    frame = decode_frame(
        question.content,
        frame_index=question.frame_index,
        maximum_pixels=maximum_pixels,
    )
    assert frame.source is not None, "`require_dicom` has checked it"
    return frame.source
