"""Add a caption with the result and its limits below a picture, so that they stay together.

The caption is added below the picture, so that coordinates and width do not change.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

RESEARCH_ONLY = "Research use only, not a medical device."
HEADLINE_WARNINGS = ("no-head-found", "pixel-size-missing")
"""Warnings that the headline states already."""

GROUND_RGB = (16, 20, 24)
TEXT_RGB, QUIET_RGB, UNRELIABLE_RGB = (255, 255, 255), (200, 208, 214), (255, 138, 190)
COLUMNS_PER_FONT_PX = 42
"""Picture width over font size; at this size the text is legible when the whole picture is."""
MINIMUM_FONT_PX = 12
LINE_HEIGHT = 1.35
"""Distance between lines over the font size."""


@dataclass(frozen=True, kw_only=True)
class ResultFacts:
    """The facts that a caption states.

    Attributes
    ----------
    acceptable : bool
        Whether the quality checks let a person rely on the result.
    warnings : sequence of str
        Warning codes of the quality checks.
    model : str
        Name and version.
    site : str
        The site's recalibration as a sentence; empty without one.
    pixel_size_mm : (width, height) or None
    head_circumference_px, head_circumference_mm : float or None
    interval : (level, low_mm, high_mm) or None
        Of the automatic circumference.
    corrected : str
        Who drew the ellipse and when, and what was automatic, as sentences; empty where the
        automatic ellipse counts.
    """

    acceptable: bool
    warnings: Sequence[str]
    model: str
    site: str = ""
    pixel_size_mm: tuple[float, float] | None = None
    head_circumference_px: float | None = None
    head_circumference_mm: float | None = None
    interval: tuple[float, float, float] | None = None
    corrected: str = ""


def add_caption(
    picture: NDArray[np.uint8], facts: ResultFacts, title: str = ""
) -> NDArray[np.uint8]:
    """Return a picture with a caption below it.

    Parameters
    ----------
    picture : (rows, columns, 3) uint8, RGB
    facts : ResultFacts
    title : str
        What the picture shows; empty for the measurement overlay.

    Returns
    -------
    (rows + caption rows, columns, 3) uint8, RGB
        The first `rows` rows are the picture; the text is wrapped to the width.
    """
    rows, columns = picture.shape[:2]
    font_px = max(MINIMUM_FONT_PX, round(min(columns, 2 * rows) / COLUMNS_PER_FONT_PX))
    font = ImageFont.load_default(font_px)
    margin_px = min(font_px // 2, columns // 16)
    headline_rgb = TEXT_RGB if facts.acceptable or facts.corrected else UNRELIABLE_RGB
    texts = [(to_headline(facts), headline_rgb), (" ".join([title, to_details(facts)]), QUIET_RGB)]
    lines = [
        (line, color)
        for text, color in texts
        for line in wrap_text(text, columns - 2 * margin_px, font.getlength)
    ]
    line_px = round(LINE_HEIGHT * font_px)
    strip = Image.new("RGB", (columns, len(lines) * line_px + font_px), GROUND_RGB)
    pen = ImageDraw.Draw(strip)
    for number, (line, color) in enumerate(lines):
        pen.text((margin_px, font_px // 2 + number * line_px), line, color, font)
    return np.vstack((picture, np.asarray(strip, np.uint8)))


def to_headline(facts: ResultFacts) -> str:
    """Return the measured value, or the reason why there is no reliable value."""
    value_mm, value_px = facts.head_circumference_mm, facts.head_circumference_px
    if value_px is None:
        return "No head was found."
    number, unknown = f"{value_px:.1f} px", " Not in mm: the pixel size is unknown."
    if value_mm is not None:
        number, unknown = f"{value_mm:.1f} mm", ""
    if facts.corrected:
        return f"HC {number}, corrected by a person.{unknown}"
    if not facts.acceptable:
        return f"Do not rely on this result: HC {number} is unreliable.{unknown}"
    if value_mm is None:
        return f"HC {number}.{unknown}"
    if facts.interval is None:
        return f"HC {value_mm:.1f} mm."
    level, low_mm, high_mm = facts.interval
    return f"HC {value_mm:.1f} mm ({level * 100:.0f} % interval: {low_mm:.1f} to {high_mm:.1f} mm)."


def to_details(facts: ResultFacts) -> str:
    """Return correction, warnings, known pixel size, model, recalibration and research notice."""
    codes = [code for code in facts.warnings if code not in HEADLINE_WARNINGS]
    kind = "Warnings of the automatic measurement" if facts.corrected else "Warnings"
    sentences = [facts.corrected] if facts.corrected else []
    sentences += [f"{kind}: {', '.join(codes).replace('-', ' ')}."] if codes else []
    if facts.pixel_size_mm is not None:
        sides = " x ".join(dict.fromkeys(f"{side_mm:.4g}" for side_mm in facts.pixel_size_mm))
        sentences.append(f"Pixel size {sides} mm.")
    sentences.append(f"Model {facts.model}.")
    return " ".join([*sentences, *filter(None, (facts.site,)), RESEARCH_ONLY])


def wrap_text(text: str, width_px: float, measure_px: Callable[[str], float]) -> Iterator[str]:
    """Yield lines that fit the width; a word that is wider than a line is broken."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if measure_px(longer) <= width_px:
            line = longer
            continue
        if line:
            yield line
        line = word
        while len(line) > 1 and measure_px(line) > width_px:
            end = 1  # counted up: a line is short, and the rest of the word may be long
            while measure_px(line[: end + 1]) <= width_px:
                end += 1
            yield line[:end]
            line = line[end:]
    yield line
