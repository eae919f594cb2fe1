"""Draw a Bland-Altman plot as SVG: difference of two methods against their mean.

It is drawn as text, so that no plotting library is needed. Every browser shows it.

References
----------
Bland, Altman 1986, doi:10.1016/S0140-6736(86)90837-8.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from headcirc.agreement.estimates import Estimate
from headcirc.agreement.rows import ComparedImage

WIDTH, HEIGHT = 800, 500
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 40, 60
"""Margins in SVG units."""
TICKS = 6
ACCEPTED, REFUSED = "#0b6e99", "#c2397b"
STYLE = "font-family: sans-serif; font-size: 13px; fill: #222"
LINES = {
    "bias_mm": ("bias", ""),
    "limit_of_agreement_high_mm": ("+1.96 SD", "6 4"),
    "limit_of_agreement_low_mm": ("-1.96 SD", "6 4"),
}
"""Name of the estimate to its label and dashes."""


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to SVG units.

    Attributes
    ----------
    low, high : float
        Values at the ends.
    begin, end : float
        SVG units at these ends.
    """

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        """Return the SVG unit of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def to_ticks(self) -> list[float]:
        """Return round values inside the ends."""
        step = _to_round_step((self.high - self.low) / TICKS)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [index * step for index in range(first, last + 1)]


def _to_round_step(raw: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at least `raw`."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= raw * (1 - 1e-9))


def draw_bland_altman(
    rows: Sequence[ComparedImage], errors: Mapping[str, Estimate], *, title: str
) -> str:
    """Return the plot as an SVG document.

    Parameters
    ----------
    rows : sequence of ComparedImage
        Images without a measurement are left out.
    errors : mapping
        Bias and limits of agreement, with their intervals; see `summary.STATISTICS`.
    title : str
    """
    points = [
        (row.reference_mm + row.error_mm / 2, row.error_mm, row.acceptable)
        for row in rows
        if row.error_mm is not None
    ]
    across, up = _to_axes(points, errors)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<g style="{STYLE}">',
        _to_text(LEFT, TOP - 16, title, anchor="start"),
        *_draw_axes(across, up),
        *_draw_lines(errors, up),
        *_draw_points(points, across, up),
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"


def _to_axes(
    points: Sequence[tuple[float, float, bool]], errors: Mapping[str, Estimate]
) -> tuple[Axis, Axis]:
    means = [mean for mean, _, _ in points] or [0.0, 1.0]
    ends = [each for name in LINES for each in _to_bounds(errors[name])]
    heights = [error for _, error, _ in points] + ends + [0.0]
    across_low, across_high = _widen(min(means), max(means))
    up_low, up_high = _widen(min(heights), max(heights))
    return (
        Axis(across_low, across_high, LEFT, WIDTH - RIGHT),
        Axis(up_low, up_high, HEIGHT - BOTTOM, TOP),
    )


def _to_bounds(found: Estimate) -> list[float]:
    return [each for each in (found.value, found.low, found.high) if each is not None]


def _widen(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _draw_axes(across: Axis, up: Axis) -> Iterator[str]:
    yield (
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - RIGHT - LEFT}" '
        f'height="{HEIGHT - BOTTOM - TOP}" fill="none" stroke="#888"/>'
    )
    for value in across.to_ticks():
        x = across.place(value)
        yield f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#888"/>'
        yield _to_text(x, HEIGHT - BOTTOM + 20, f"{value:g}")
    for value in up.to_ticks():
        y = up.place(value)
        yield f'<path d="M{LEFT} {y:.1f}h-5" stroke="#888"/>'
        yield _to_text(LEFT - 10, y + 4, f"{value:g}", anchor="end")
    zero = up.place(0.0)
    yield f'<path d="M{LEFT} {zero:.1f}H{WIDTH - RIGHT}" stroke="#ccc"/>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield _to_text(middle, HEIGHT - 18, "mean of measured and reference head circumference, mm")
    yield (
        f'<g transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)">'
        + _to_text(0, 0, "measured minus reference, mm")
        + "</g>"
    )


def _draw_lines(errors: Mapping[str, Estimate], up: Axis) -> Iterator[str]:
    """Yield bias and limits, each with a band for its interval."""
    for name, (label, dashes) in LINES.items():
        found = errors[name]
        if found.value is None:
            continue
        width = WIDTH - RIGHT - LEFT
        if found.low is not None and found.high is not None:
            top, bottom = up.place(found.high), up.place(found.low)
            yield (
                f'<rect x="{LEFT}" y="{top:.1f}" width="{width}" height="{bottom - top:.1f}" '
                'fill="#222" fill-opacity="0.08"/>'
            )
        y = up.place(found.value)
        yield (
            f'<path d="M{LEFT} {y:.1f}h{width}" stroke="#222" '
            f'stroke-dasharray="{dashes or "none"}"/>'
        )
        text = f"{label} {found.value:+.1f} mm"
        yield _to_text(WIDTH - RIGHT + 8, y + 4, text, anchor="start")


def _draw_points(
    points: Sequence[tuple[float, float, bool]], across: Axis, up: Axis
) -> Iterator[str]:
    for mean, error, is_accepted in points:
        x, y = across.place(mean), up.place(error)
        if is_accepted:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{ACCEPTED}" fill-opacity="0.7"/>'
        else:
            yield f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8" stroke="{REFUSED}"/>'
    x, y = WIDTH - RIGHT + 14, TOP + 8
    yield f'<circle cx="{x}" cy="{y}" r="4" fill="{ACCEPTED}" fill-opacity="0.7"/>'
    yield _to_text(x + 10, y + 4, "acceptable", anchor="start")
    yield f'<path d="M{x - 4} {y + 16}l8 8m0 -8l-8 8" stroke="{REFUSED}"/>'
    yield _to_text(x + 10, y + 24, "not acceptable", anchor="start")


def _to_text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
