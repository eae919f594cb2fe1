"""Measure a DICOM file with a model that is loaded here, and build reports about it."""

from dataclasses import dataclass

from headcirc.answers import to_analysis_facts
from headcirc.errors import UnsupportedMediaTypeError
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import Analysis, Pipeline
from headcirc.reports.finding import Finding
from headcirc.reports.report_file import to_report_file


@dataclass(frozen=True)
class MeasuredFile:
    """A DICOM file that was measured."""

    finding: Finding
    analysis: Analysis

    def to_report_file(self, kind: str) -> bytes:
        """Return one kind of report; see `report_file.to_report_file`."""
        head = self.analysis.head
        return to_report_file(
            kind,
            self.finding,
            mask=None if head is None else head.mask.pixels,
            draw_overlay=self.analysis.draw_overlay,
        )


def measure_dicom(
    pipeline: Pipeline,
    content: bytes,
    *,
    pixel_spacing: PixelSpacing | None = None,
    frame_index: int | None = None,
) -> MeasuredFile:
    """Measure one frame of a DICOM file.

    Raises
    ------
    UnsupportedMediaTypeError
        The file is not DICOM.
    InputError
        It cannot be measured.
    """
    analysis = pipeline.analyze(content, pixel_spacing=pixel_spacing, frame_index=frame_index)
    source = analysis.frame.source
    if source is None:
        raise UnsupportedMediaTypeError(
            "The file is not DICOM; a report repeats the patient, the study and the picture's "
            "identifier, which only a DICOM file has."
        )
    answer = to_analysis_facts(analysis, pipeline)
    finding = Finding(source=source, answer=answer)
    return MeasuredFile(finding, analysis)
