"""Draw the track of a cine: the circumference of each frame, and the summary across them."""

import math
from collections.abc import Iterator, Sequence

from headcirc.cine.answers import CineFrame, CineSummary
from headcirc.cine.summary import agrees
from headcirc.reports.chart import (
    BAND,
    GROUND,
    HEADLINE_SIZE_PX,
    LABEL_SIZE_PX,
    LEFT_PX,
    MARGIN_PX,
    MIDDLE,
    NOTE_SIZE_PX,
    QUIET,
    TEXT,
    UNRELIABLE,
    WIDTH_PX,
    Note,
    draw_level,
    draw_names,
    lay_out,
)
from headcirc.reports.drawing import (
    Area,
    Color,
    Disc,
    Drawing,
    Line,
    Point,
    Shape,
    Text,
)

RIGHT_PX, TOP_PX, BOTTOM_PX = 870, 76, 440
"""Sides of the plot."""
RADIUS_PX, BEST_RADIUS_PX = 3, 7
MOST_INTERVALS = 400
"""Frames above this number are drawn without their intervals, which would cover one another."""
PADDING_SHARE = 0.08
MOST_LABELS = 8
STEPS = (1, 2, 5)

INTERVAL: Color = (170, 180, 190)
TITLE = "Head circumference of each frame"
CODES = {
    "unreadable-image": "No frame can be read.",
    "no-head-found": "No head was found in any frame.",
    "no-acceptable-frame": "No frame is acceptable.",
    "pixel-size-missing": "No pixel size is known, so there are no millimetres.",
    "too-few-frames": "Too few frames are acceptable for a common circumference.",
    "frames-disagree": "Too few frames agree for a common circumference.",
}


class _Axes:
    """Where a frame and a value are on the plot.

    Parameters
    ----------
    frames : sequence of CineFrame
    values : sequence of float
        The lowest and the highest one are inside.
    """

    def __init__(self, frames: Sequence[CineFrame], values: Sequence[float]) -> None:
        self.last = max((each.frame for each in frames), default=0)
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        padding = PADDING_SHARE * max(high - low, 0.02 * high, 1.0)
        self.low, self.high = low - padding, high + padding

    def to_x(self, frame: int) -> float:
        return LEFT_PX + (frame + 0.5) / (self.last + 1) * (RIGHT_PX - LEFT_PX)

    def to_y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return BOTTOM_PX - min(max(share, 0.0), 1.0) * (BOTTOM_PX - TOP_PX)

    def to_place(self, frame: int, value: float) -> Point:
        return self.to_x(frame), self.to_y(value)


def draw_track(frames: Sequence[CineFrame], summary: CineSummary) -> Drawing:
    """Draw the frames of a cine and their summary.

    Without millimetres the circumference is drawn in pixels. Filled points agree with the summary,
    hollow ones are acceptable and do not, pink ones are not acceptable.

    Returns
    -------
    Drawing
        `drawing.to_picture` makes pixels of it, and `drawing.to_svg` a document.
    """
    in_mm = any(each.head_circumference_mm is not None for each in frames)
    points = [(each, _to_value(each, in_mm=in_mm)) for each in frames]
    known = [(each, value) for each, value in points if value is not None]
    ends = [] if summary.head_circumference_interval_mm is None else _to_ends(summary)
    axes = _Axes(frames, [value for _, value in known] + ends)
    notes = list(_to_notes(summary))
    lines = list(lay_out(notes, BOTTOM_PX))
    return Drawing(
        width_px=WIDTH_PX,
        height_px=round(lines[-1].at[1]) + MARGIN_PX,
        title=TITLE,
        description=" ".join(text for text, *_ in notes),
        ground=GROUND,
        shapes=[
            *_draw_summary(axes, summary),
            *_draw_axes(axes, unit="mm" if in_mm else "px"),
            *_draw_points(axes, known, summary),
            *lines,
        ],
    )


def _to_value(frame: CineFrame, *, in_mm: bool) -> float | None:
    if in_mm or frame.head is None:
        return frame.head_circumference_mm
    return frame.head.head_circumference_px


def _to_ends(summary: CineSummary) -> list[float]:
    interval = summary.head_circumference_interval_mm
    assert interval is not None, "only asked for with an interval"
    return [interval.low, interval.high]


def _draw_summary(axes: _Axes, summary: CineSummary) -> Iterator[Shape]:
    if summary.head_circumference_interval_mm is not None:
        low, high = (axes.to_y(each) for each in _to_ends(summary))
        corners = [(LEFT_PX, low), (RIGHT_PX, low), (RIGHT_PX, high), (LEFT_PX, high)]
        yield Area([(float(x), y) for x, y in corners], BAND)
    if summary.head_circumference_mm is not None:
        y = axes.to_y(summary.head_circumference_mm)
        yield Line([(LEFT_PX, y), (RIGHT_PX, y)], MIDDLE, 2)


def _draw_axes(axes: _Axes, *, unit: str) -> Iterator[Shape]:
    for value in to_ticks(axes.low, axes.high):
        y = axes.to_y(value)
        yield from draw_level(y, f"{value:g}", RIGHT_PX)
    for value in to_ticks(0, axes.last):
        if value == int(value):
            x = axes.to_x(int(value))
            yield Text((x, BOTTOM_PX + 20), f"{value:g}", LABEL_SIZE_PX, QUIET, "middle")
    yield Line([(LEFT_PX, BOTTOM_PX), (RIGHT_PX, BOTTOM_PX)], QUIET)
    yield from draw_names(
        TITLE, x_name="Frame", unit=unit, top_px=TOP_PX, right_px=RIGHT_PX, bottom_px=BOTTOM_PX
    )


def to_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high, at equal distances, a few at most."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / MOST_LABELS))
    step = next(each * power for each in (*STEPS, 10) if span / (each * power) <= MOST_LABELS)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 9) for number in range(first, last + 1)]


def _draw_points(
    axes: _Axes, known: Sequence[tuple[CineFrame, float]], summary: CineSummary
) -> Iterator[Shape]:
    if len(known) <= MOST_INTERVALS:
        for frame, _ in known:
            if frame.interval is not None and frame.is_acceptable:
                ends = (frame.interval.low, frame.interval.high)
                yield Line([axes.to_place(frame.frame, each) for each in ends], INTERVAL)
    best = summary.best
    for frame, value in known:
        if best is not None and frame.frame == best.frame:
            yield Disc(axes.to_place(frame.frame, value), BEST_RADIUS_PX, GROUND, TEXT)
    for frame, value in known:
        place, middle_mm = axes.to_place(frame.frame, value), summary.head_circumference_mm
        if not frame.is_acceptable:
            yield Disc(place, RADIUS_PX, GROUND, UNRELIABLE, 1)
        elif middle_mm is not None and agrees(frame, middle_mm):
            yield Disc(place, RADIUS_PX, MIDDLE, MIDDLE, 1)
        else:
            yield Disc(place, RADIUS_PX, GROUND, MIDDLE, 1)


def _to_notes(summary: CineSummary) -> Iterator[Note]:
    is_number = summary.head_circumference_mm is not None
    yield to_headline(summary), HEADLINE_SIZE_PX, TEXT if is_number else UNRELIABLE
    yield to_counts(summary), LABEL_SIZE_PX, TEXT
    if summary.best is not None:
        yield to_best_text(summary), LABEL_SIZE_PX, TEXT
    legend = (
        "Band and line: the summary. Filled: agrees with it. Hollow: acceptable, does not agree. "
        "Pink: not acceptable. Large ring: the best frame. Research use only."
    )
    yield legend, NOTE_SIZE_PX, QUIET


def to_headline(summary: CineSummary) -> str:
    """Return the circumference with its interval, or why there is none, in words."""
    value_mm, interval = summary.head_circumference_mm, summary.head_circumference_interval_mm
    if value_mm is None:
        return f"No common circumference. {CODES.get(summary.code or '', '')}".strip()
    if interval is None:
        return f"HC {value_mm:.1f} mm"
    level = f"{interval.level * 100:.0f} % interval"
    return f"HC {value_mm:.1f} mm ({level}: {interval.low:.1f} to {interval.high:.1f} mm)"


def to_counts(summary: CineSummary) -> str:
    """Return how many frames agree, in words."""
    text = (
        f"{summary.frames_agreeing} of {summary.frames_measured} acceptable frames agree; "
        f"{summary.frames} frames were read, {summary.frames_with_head} show a head"
    )
    if summary.frames_unreadable:
        text += f", {summary.frames_unreadable} cannot be read"
    cut = " The file was cut off." if summary.warnings else ""
    return f"{text}.{cut}"


def to_best_text(summary: CineSummary) -> str:
    """Return which frame is the best one and why, in words."""
    best = summary.best
    assert best is not None, "only asked for with a best frame"
    value = (
        "" if best.head_circumference_mm is None else f", HC {best.head_circumference_mm:.1f} mm"
    )
    return f"Best frame: {best.frame}{value}. {best.detail}"
