"""Take from an answer what a caption states."""

from dataclasses import asdict

from headcirc.answers import AnalysisFacts
from headcirc.caption import ResultFacts
from headcirc.model.site import describe_site


def to_result_facts(answer: AnalysisFacts) -> ResultFacts:
    """Return what a caption says of an answer."""
    head, image = answer.head, answer.image
    x_mm, y_mm = image.pixel_size_x_mm, image.pixel_size_y_mm
    interval = None if head is None else head.head_circumference_interval_mm
    return ResultFacts(
        acceptable=answer.quality.acceptable,
        warnings=answer.quality.warnings,
        model=f"{answer.model.name} {answer.model.version}",
        site="" if answer.site is None else describe_site(**asdict(answer.site)),
        pixel_size_mm=None if x_mm is None or y_mm is None else (x_mm, y_mm),
        head_circumference_px=None if head is None else head.head_circumference_px,
        head_circumference_mm=None if head is None else head.head_circumference_mm,
        interval=None if interval is None else (interval.level, interval.low, interval.high),
    )
