"""One picture with its truth and its answer: a case, and how a picture becomes one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.degradations import Picture
from headcirc.geometry import CalibratedRegion, Frame, PixelSpacing
from headcirc.network_input import to_network_input
from headcirc.pipeline import Analysis, Pipeline, Prepared
from headcirc.quality.uncertainty import Interval
from training.data.hc18 import HC18Image

CLEAN, MARKS, OTHER_DEVICE = "clean", "marks", "other device"
MUST_BE_ACCEPTED = (CLEAN, MARKS, OTHER_DEVICE)
"""Kinds of picture that are no degradation: HC18's images, the same with text and callipers burned
in, and heads of other devices."""
LARGE_ERROR_SHARE = 0.05
"""Share of the circumference: 9 mm of a head of 180 mm, 3 mm of one of 60 mm."""


@dataclass(frozen=True)
class Case:
    """One picture with its truth and its answer; the answer's fields may be None.

    `exam` is the exam of an HC18 image, or the patient or country of another device's head.
    """

    name: str
    exam: int | str
    kind: str
    severity: float
    true_mm: float
    measured_mm: float | None
    interval: Interval | None
    features: dict[str, float] | None
    acceptable: bool
    warnings: tuple[str, ...]

    @property
    def error_mm(self) -> float:
        """Return measured minus true; the case must have an answer."""
        assert self.measured_mm is not None, "a case without an answer has no error"
        return self.measured_mm - self.true_mm

    @property
    def error_share(self) -> float:
        """Return the absolute error over the true circumference; the case must have an answer."""
        return abs(self.error_mm) / self.true_mm

    @property
    def is_clean(self) -> bool:
        """Return whether the picture is one of HC18's, unchanged."""
        return self.kind == CLEAN

    @property
    def is_degraded(self) -> bool:
        """Return whether the picture is worse than those that a refusal would be a fault for."""
        return self.kind not in MUST_BE_ACCEPTED

    @property
    def is_large(self) -> bool:
        """Return whether the case has an answer with an error above `LARGE_ERROR_SHARE`."""
        return self.measured_mm is not None and self.error_share > LARGE_ERROR_SHARE


def analyze_pixels(pipeline: Pipeline, pixels: Picture, spacing: PixelSpacing) -> Analysis:
    """Analyze a decoded picture."""
    prepared = prepare_pixels(pipeline, pixels, spacing)
    (prediction,) = pipeline.infer(prepared.network_input)
    return pipeline.finish(prepared, prediction)


def prepare_pixels(pipeline: Pipeline, pixels: Picture, spacing: PixelSpacing) -> Prepared:
    """Prepare a decoded picture for the network."""
    rows, columns = pixels.shape
    region = CalibratedRegion(0, 0, columns - 1, rows - 1, spacing, source="request")
    network_input, mapping = to_network_input(pixels, pipeline.manifest.input)
    return Prepared(Frame(pixels, (region,)), network_input, mapping, {})


def to_case(image: HC18Image, kind: str, severity: float, analysis: Analysis) -> Case:
    """Return the case of an analysis and its true image."""
    head = analysis.head
    measured = None if head is None else head.measurement
    return Case(
        name=image.name,
        exam=image.exam,
        kind=kind,
        severity=severity,
        true_mm=image.head_circumference_mm,
        measured_mm=None if measured is None else measured.head_circumference_mm,
        interval=None if head is None else head.interval,
        features=None if head is None else head.uncertainty.features,
        acceptable=analysis.quality.acceptable,
        warnings=analysis.quality.warnings,
    )


def to_answered(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with an answer in millimetres."""
    return [case for case in cases if case.measured_mm is not None]


def to_errors_mm(cases: Sequence[Case]) -> np.ndarray:
    """Return the signed errors; all cases must have an answer."""
    return np.array([case.error_mm for case in cases])
