"""Take from an answer what a caption states."""

from dataclasses import asdict

from headcirc.answers import AnalysisFacts, Head, to_counted
from headcirc.caption import ResultFacts
from headcirc.model.site import describe_site


def to_result_facts(answer: AnalysisFacts) -> ResultFacts:
    """Return what a caption says of an answer; its numbers are those of the version that counts."""
    head, image = to_counted(answer).head, answer.image
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
        corrected=describe_correction(answer),
    )


def describe_correction(answer: AnalysisFacts) -> str:
    """Return who corrected and what the automatic measurement was; empty without a correction."""
    correction = answer.correction
    if correction is None:
        return ""
    sentences = [f"Corrected by {correction.by}, {correction.at}.", _describe_found(answer.head)]
    if correction.exceeds_half_width:
        sentences.append(
            f"The difference of {correction.difference_mm:+.1f} mm is more than half the width of "
            "the automatic interval."
        )
    return " ".join(sentences)


def _describe_found(head: Head | None) -> str:
    if head is None:
        return "Automatic: no head was found."
    if head.head_circumference_mm is None:
        return f"Automatic: HC {head.head_circumference_px:.1f} px."
    text = f"Automatic: HC {head.head_circumference_mm:.1f} mm"
    interval = head.head_circumference_interval_mm
    if interval is None:
        return f"{text}."
    level = f"{interval.level * 100:.0f} % interval"
    return f"{text} ({level}: {interval.low:.1f} to {interval.high:.1f} mm)."
