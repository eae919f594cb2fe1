"""Measure a received file, and build the reports that the destinations want."""

import io
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydicom import dcmread

from headcirc.answers import AnalysisFacts, to_analysis_facts
from headcirc.client import ClientError, HeadcircClient, ProblemError
from headcirc.dicom_source import DicomSource
from headcirc.errors import (
    InputError,
    InvalidFrameError,
    NoHeadFoundError,
    PixelSizeMissingError,
    UnreliableResultError,
    UnusableHeaderError,
)
from headcirc.gateway.frames import ReceivedFile, open_received
from headcirc.gateway.queue import Report
from headcirc.overlay import Picture
from headcirc.readers import decode_frame
from headcirc.readers.dicom.file import to_report_header
from headcirc.reports.dicom.finding import Finding
from headcirc.reports.dicom.report_file import to_report_file

if TYPE_CHECKING:
    from headcirc.pipeline import Pipeline

Answer = TypeVar("Answer")
logger = logging.getLogger("headcirc.gateway")
NOT_THIS_TIME = 400
"""Problems from this status on, and below 500, say that the file itself cannot be measured."""
SERVER_FAULT = 500
MAY_PASS = (401, 404, 429)
"""... but for these: a key, an expired result and a full queue can change."""
EXPECTED = (
    NoHeadFoundError,
    PixelSizeMissingError,
    UnreliableResultError,
    InvalidFrameError,
)
"""A report that there cannot be about this picture; the others are made."""


class LaterError(Exception):
    """It cannot be measured now; the message is a code."""


class NeverError(Exception):
    """It can never be measured; the message is a code."""


@dataclass(frozen=True)
class Measured:
    """A frame that was measured.

    Attributes
    ----------
    answer : AnalysisFacts
    read_mask : callable
        Returns the mask, (rows, columns) bool; only with a head.
    draw_overlay : callable
        Returns the captioned overlay.
    """

    answer: AnalysisFacts
    read_mask: Callable[[], NDArray[np.bool_]]
    draw_overlay: Callable[[], Picture]


class Measurer(Protocol):
    """Measures the bytes of a DICOM file of one frame."""

    def measure(self, content: bytes) -> Measured:
        """Return what was found.

        Raises
        ------
        InputError, LaterError, NeverError
        """


class LocalMeasurer:
    """Measures with a model that is loaded here."""

    def __init__(self, pipeline: "Pipeline") -> None:
        self._pipeline = pipeline

    def measure(self, content: bytes) -> Measured:
        """See `Measurer`."""
        analysis = self._pipeline.analyze(content)

        def read_mask() -> NDArray[np.bool_]:
            assert analysis.head is not None, "only asked for with a head"
            return analysis.head.mask.pixels

        return Measured(
            to_analysis_facts(analysis, self._pipeline),
            read_mask,
            analysis.draw_overlay,
        )


class RemoteMeasurer:
    """Lets a service measure; the service must keep results for a while."""

    def __init__(self, client: HeadcircClient) -> None:
        self._client = client

    def measure(self, content: bytes) -> Measured:
        """See `Measurer`."""
        answer = self._ask(lambda: self._client.analyze(content))
        if not answer.model.sha256 or answer.image.dicom is None:
            raise LaterError("service-too-old")
        return Measured(
            answer,
            lambda: self._read_mask(answer.id),
            lambda: self._read_overlay(answer.id),
        )

    def _ask(self, ask: Callable[[], Answer]) -> Answer:
        """Return an answer of the service, or say whether it is worth asking again."""
        try:
            return ask()
        except ProblemError as problem:
            is_final = NOT_THIS_TIME <= problem.status < SERVER_FAULT
            if is_final and problem.status not in MAY_PASS:
                raise NeverError(problem.code) from None
            raise LaterError(problem.code) from None
        except ClientError as error:
            logger.warning("the service does not answer: %s", type(error).__name__)
            raise LaterError("service-unreachable") from None

    def _read_mask(self, analysis_id: str) -> NDArray[np.bool_]:
        content = self._ask(lambda: self._client.read_mask(analysis_id))
        return decode_frame(content).pixels > 0

    def _read_overlay(self, analysis_id: str) -> Picture:
        content = self._ask(lambda: self._client.read_overlay(analysis_id))
        with PillowImage.open(io.BytesIO(content)) as picture:
            return np.asarray(
                picture if picture.mode == "RGB" else picture.convert("RGB"), np.uint8
            )


@dataclass(frozen=True)
class MeasuredImage:
    """What a received image gives.

    Attributes
    ----------
    reports : dict
        Kind to report; what there cannot be is left out.
    notes : tuple of str
        Codes of what was left out, such as `no-head-found`.
    """

    reports: dict[str, Report]
    notes: tuple[str, ...]


def measure_image(
    path: Path, measurer: Measurer, *, kinds: Iterable[str], cine_frames: int
) -> MeasuredImage:
    """Measure a received image and build reports about it.

    Parameters
    ----------
    path : Path
    measurer : Measurer
    kinds : iterable of str
        Kinds of reports, as `headcirc.reports` names them.
    cine_frames : int
        How many frames of a cine are measured.

    Raises
    ------
    NeverError
        It cannot be measured, or its header allows no report.
    LaterError, OSError
        The service or the disk fails now.
    """
    try:
        received = open_received(path)
        index, measured = _find_best(received, measurer, cine_frames)
        finding = _to_finding(received, index, measured)
        return _build_reports(finding, measured, kinds)
    except InputError as error:
        raise NeverError(error.code) from None


def _find_best(received: ReceivedFile, measurer: Measurer, most: int) -> tuple[int, Measured]:
    """Measure some frames; return the number of the best one, and what was found in it.

    An acceptable result is better than another one, a head better than none, and of two the one
    with the narrower interval relative to the circumference.
    """
    numbers = choose_frames(received.frames, most)
    measured = ((number, measurer.measure(received.read_frame(number))) for number in numbers)
    return max(measured, key=lambda found: _rank(found[1].answer))


def choose_frames(frames: int, most: int) -> list[int]:
    """Return the numbers of frames to measure: all, or some at equal distances."""
    if frames <= most:
        return list(range(frames))
    return [int((number + 0.5) * frames / most) for number in range(most)]


def _rank(answer: AnalysisFacts) -> tuple[int, float]:
    head = answer.head
    if head is None or head.head_circumference_mm is None:
        return (0 if head is None else 1, 0.0)
    interval = head.head_circumference_interval_mm
    width = float("inf") if interval is None else interval.high - interval.low
    return (3 if answer.quality.acceptable else 2, -width / head.head_circumference_mm)


def _to_finding(received: ReceivedFile, index: int, measured: Measured) -> Finding:
    """Return the finding about a frame of the whole file, not about the frame as a file."""
    place = measured.answer.image.dicom
    assert place is not None, "a DICOM file was measured"
    header = to_report_header(received.read_header())
    source = DicomSource(header, index, received.frames, place.left_px, place.top_px)
    return Finding(source=source, answer=measured.answer)


def _build_reports(finding: Finding, measured: Measured, kinds: Iterable[str]) -> MeasuredImage:
    reports: dict[str, Report] = {}
    notes: list[str] = []
    for kind in kinds:
        try:
            mask = measured.read_mask() if kind == "seg" and finding.answer.head else None
            content = to_report_file(kind, finding, mask=mask, draw_overlay=measured.draw_overlay)
        except UnusableHeaderError as error:
            raise NeverError(error.code) from None
        except EXPECTED as error:
            notes.append(error.code)
            continue
        made = dcmread(io.BytesIO(content), stop_before_pixels=True)
        reports[kind] = Report(kind, str(made.SOPInstanceUID), content)
    return MeasuredImage(reports, tuple(dict.fromkeys(notes)))
