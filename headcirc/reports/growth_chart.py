"""Draw the head circumference over the gestational age, with the centiles of the growth standard.

The age is the one that the caller stated. What lies outside the chart is said below it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headcirc.answers import AnalysisFacts, GrowthFigure, to_counted
from headcirc.caption import to_details, to_headline
from headcirc.errors import (
    GestationalAgeMissingError,
    InputError,
    NoHeadFoundError,
    PixelSizeMissingError,
)
from headcirc.growth import (
    CENTILES,
    DAYS_PER_WEEK,
    HEAD_CIRCUMFERENCE,
    STANDARD_DAYS,
    describe_age_source,
    require_gestational_age,
    to_age_text,
    to_value_mm,
)
from headcirc.reports.chart import (
    BAND,
    GRID,
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
from headcirc.reports.result_facts import to_result_facts

RIGHT_PX, TOP_PX, BOTTOM_PX = 830, 96, 552
"""Sides of the plot."""
LOWEST_MM, HIGHEST_MM, STEP_MM = 50, 400, 50
STEP_WEEKS = 2
CAP_PX, RADIUS_PX = 7, 4
LABEL_GAP_PX = 14
"""Least distance between the labels of two curves."""
MOST_EARLIER = 20
HIGHEST_STATED_MM = 1000.0

OUTER_BAND: Color = (231, 239, 247)
CURVE: Color = (110, 148, 190)
RELIABLE: Color = TEXT
TITLE = "Head circumference over gestational age"


@dataclass(frozen=True)
class EarlierPoint:
    """A circumference of the same fetus at an earlier age."""

    gestational_age_days: int
    head_circumference_mm: float


def to_earlier_point(text: str) -> EarlierPoint:
    """Read an earlier point, written as days and millimetres: `140:172.5`.

    Raises
    ------
    InputError
    """
    days, _, value_mm = text.partition(":")
    try:
        age_days = require_gestational_age(float(days))
        point = EarlierPoint(age_days or 0, float(value_mm))
    except (ValueError, OverflowError, InputError) as error:
        raise _to_refusal() from error
    if not 0 < point.head_circumference_mm <= HIGHEST_STATED_MM:
        raise _to_refusal()
    return point


def _to_refusal() -> InputError:
    return InputError(
        "An earlier point must be the gestational age in days and the head circumference in mm, "
        "such as 140:172.5."
    )


def draw_growth_chart(answer: AnalysisFacts, earlier: Sequence[EarlierPoint] = ()) -> Drawing:
    """Return the chart of one result.

    Parameters
    ----------
    answer : AnalysisFacts
        With the gestational age that the caller stated; the version that counts is drawn.
    earlier : sequence of EarlierPoint
        Measured before; at most `MOST_EARLIER`.

    Raises
    ------
    NoHeadFoundError, PixelSizeMissingError, GestationalAgeMissingError
        The answer has nothing to draw.
    InputError
        An earlier point is later than this one, or there are too many.
    """
    answer = to_counted(answer)
    current = require_point(answer)
    points = sorted(earlier, key=lambda each: each.gestational_age_days)
    if len(points) > MOST_EARLIER:
        raise InputError(f"{len(points)} earlier points were given; give {MOST_EARLIER} at most.")
    if points and points[-1].gestational_age_days > current.gestational_age_days:
        raise InputError(
            "An earlier point has a later gestational age than this measurement; leave it out."
        )
    notes = [*_to_notes(answer, current, points)]
    lines = [*lay_out(notes, BOTTOM_PX)]
    return Drawing(
        width_px=WIDTH_PX,
        height_px=round(lines[-1].at[1]) + MARGIN_PX,
        title=TITLE,
        description=" ".join(text for text, *_ in notes),
        ground=GROUND,
        shapes=[*_draw_standard(), *_draw_points(answer, current, points), *lines],
    )


def require_point(answer: AnalysisFacts) -> EarlierPoint:
    """Return the age and the circumference of an answer.

    Raises
    ------
    NoHeadFoundError, PixelSizeMissingError, GestationalAgeMissingError
    """
    if answer.head is None:
        raise NoHeadFoundError("No head was found, so there is nothing to draw into a chart.")
    if answer.head.head_circumference_mm is None:
        raise PixelSizeMissingError("The pixel size is unknown; a chart needs millimetres.")
    if answer.growth is None:
        raise GestationalAgeMissingError(
            "No gestational age was stated; a chart needs it. Measure again and state "
            "gestational_age_days, by last menstrual period or an early scan."
        )
    return EarlierPoint(answer.growth.gestational_age_days, answer.head.head_circumference_mm)


# --- the standard -----------------------------------------------------------------------------


def _to_x(days: float) -> float:
    first_day, last_day = STANDARD_DAYS
    return LEFT_PX + (days - first_day) / (last_day - first_day) * (RIGHT_PX - LEFT_PX)


def _to_y(value_mm: float) -> float:
    share = (value_mm - LOWEST_MM) / (HIGHEST_MM - LOWEST_MM)
    return BOTTOM_PX - share * (BOTTOM_PX - TOP_PX)


def _to_curve(z_score: float) -> list[Point]:
    first_day, last_day = STANDARD_DAYS
    return [
        (_to_x(days), _to_y(to_value_mm(HEAD_CIRCUMFERENCE, days, z_score)))
        for days in range(first_day, last_day + 1, DAYS_PER_WEEK)
    ]


def _draw_standard() -> Iterator[Shape]:
    curves = {centile: _to_curve(z_score) for centile, z_score in CENTILES.items()}
    yield Area([*curves[3], *reversed(curves[97])], OUTER_BAND)
    yield Area([*curves[10], *reversed(curves[90])], BAND)
    yield from _draw_axes()
    for centile, curve in curves.items():
        is_median = centile == 50  # noqa: PLR2004 - the centile in the middle
        yield Line(curve, MIDDLE if is_median else CURVE, 2 if is_median else 1)
    yield from _label_curves({centile: curve[-1] for centile, curve in curves.items()})
    yield from draw_names(
        TITLE,
        x_name="Gestational age in weeks, as stated",
        unit="mm",
        top_px=TOP_PX,
        right_px=RIGHT_PX,
        bottom_px=BOTTOM_PX,
    )
    subtitle = "Centiles 3, 10, 50, 90 and 97 of the INTERGROWTH-21st growth standard (2014)"
    yield Text((MARGIN_PX, 56), subtitle, LABEL_SIZE_PX, QUIET)


def _label_curves(ends: dict[int, Point]) -> Iterator[Text]:
    """Yield a label beside the end of each curve, moved apart where curves end close together."""
    heights = [y for _, y in ends.values()]
    middle = len(heights) // 2
    for i in range(middle - 1, -1, -1):
        heights[i] = max(heights[i], heights[i + 1] + LABEL_GAP_PX)
    for i in range(middle + 1, len(heights)):
        heights[i] = min(heights[i], heights[i - 1] - LABEL_GAP_PX)
    for (centile, (x, _)), y in zip(ends.items(), heights, strict=True):
        yield Text((x + 8, y + NOTE_SIZE_PX / 3), f"{centile}", NOTE_SIZE_PX, MIDDLE)
    above = (WIDTH_PX - 8, min(heights) - LABEL_GAP_PX)
    yield Text(above, "centile", NOTE_SIZE_PX, MIDDLE, "end")


def _draw_axes() -> Iterator[Shape]:
    for value_mm in range(LOWEST_MM, HIGHEST_MM + 1, STEP_MM):
        y = _to_y(value_mm)
        yield from draw_level(y, f"{value_mm}", RIGHT_PX)
    first_week, last_week = (days // DAYS_PER_WEEK for days in STANDARD_DAYS)
    for week in range(first_week, last_week + 1, STEP_WEEKS):
        x = _to_x(DAYS_PER_WEEK * week)
        yield Line([(x, TOP_PX), (x, BOTTOM_PX)], GRID)
        yield Text((x, BOTTOM_PX + 20), f"{week}", LABEL_SIZE_PX, QUIET, "middle")


# --- the points -------------------------------------------------------------------------------


def is_inside(point: EarlierPoint) -> bool:
    """Return whether a point lies within the axes."""
    first_day, last_day = STANDARD_DAYS
    return (
        first_day <= point.gestational_age_days <= last_day
        and LOWEST_MM <= point.head_circumference_mm <= HIGHEST_MM
    )


def is_relied_on(answer: AnalysisFacts) -> bool:
    """Return whether no check of the automatic ellipse failed, or a person drew another one."""
    return answer.quality.acceptable or answer.correction is not None


def _to_place(point: EarlierPoint) -> Point:
    return _to_x(point.gestational_age_days), _to_y(point.head_circumference_mm)


def _draw_points(
    answer: AnalysisFacts, current: EarlierPoint, earlier: Sequence[EarlierPoint]
) -> Iterator[Shape]:
    before = [_to_place(each) for each in earlier if is_inside(each)]
    now = _to_place(current) if is_inside(current) else None
    is_reliable = is_relied_on(answer)
    path = [*before, now] if now is not None and is_reliable else before
    if len(path) > 1:
        yield Line(path, RELIABLE)
    for place in before:
        yield Disc(place, RADIUS_PX, GROUND, RELIABLE)
    if now is None:
        return
    assert answer.head is not None
    interval = answer.head.head_circumference_interval_mm
    # Nobody knows how far off a number is that is not to be relied on.
    if interval is not None and is_reliable:
        yield from _draw_interval(now[0], interval.low, interval.high)
    if is_reliable:
        yield Disc(now, RADIUS_PX, RELIABLE, RELIABLE)
    else:
        yield Disc(now, RADIUS_PX + 1, GROUND, UNRELIABLE)


def _draw_interval(x: float, low_mm: float, high_mm: float) -> Iterator[Line]:
    ends = [_to_y(min(max(each, LOWEST_MM), HIGHEST_MM)) for each in (low_mm, high_mm)]
    yield Line([(x, y) for y in ends], RELIABLE, 2)
    for y in ends:
        yield Line([(x - CAP_PX, y), (x + CAP_PX, y)], RELIABLE, 2)


# --- the text below ---------------------------------------------------------------------------


def _to_notes(
    answer: AnalysisFacts, current: EarlierPoint, earlier: Sequence[EarlierPoint]
) -> Iterator[Note]:
    facts = to_result_facts(answer)
    is_reliable = is_relied_on(answer)
    yield to_headline(facts), HEADLINE_SIZE_PX, TEXT if is_reliable else UNRELIABLE
    assert answer.growth is not None
    age = to_age_text(current.gestational_age_days)
    figure = answer.growth.head_circumference
    if figure is None:
        first, last = (to_age_text(each) for each in STANDARD_DAYS)
        outside = f"The age of {age} is outside the growth standard ({first} to {last})."
        yield f"{outside} No point is drawn.", LABEL_SIZE_PX, UNRELIABLE
    elif is_reliable:
        yield f"At {age}: {to_figure_text(figure)}", LABEL_SIZE_PX, TEXT
    if figure is not None and not is_inside(current):
        outside = "The circumference is outside the chart. No point is drawn."
        yield outside, LABEL_SIZE_PX, UNRELIABLE
    missing = sum(not is_inside(each) for each in earlier)
    if missing:
        yield f"Earlier measurements outside the chart: {missing}.", NOTE_SIZE_PX, QUIET
    origin = describe_age_source(answer.growth.gestational_age_source)
    source = f"The gestational age is {origin}; it is not derived from this picture."
    yield f"{source} {to_details(facts)}", NOTE_SIZE_PX, QUIET


def to_figure_text(figure: GrowthFigure) -> str:
    """Return a z-score and a centile with their intervals, in words."""
    text = f"z-score {figure.z_score:+.2f}, centile {_to_centile_text(figure.centile)}"
    z, centile = figure.z_score_interval, figure.centile_interval
    if z is None or centile is None or None in (z.low, z.high, centile.low, centile.high):
        return f"{text}."
    return (
        f"{text} ({z.level * 100:.0f} % interval: {z.low:+.2f} to {z.high:+.2f}, "
        f"centile {_to_centile_text(centile.low)} to {_to_centile_text(centile.high)})."
    )


def _to_centile_text(centile: float | None) -> str:
    assert centile is not None
    if centile < 0.1:  # noqa: PLR2004 - what one decimal can say
        return "below 0.1"
    return "above 99.9" if centile > 99.9 else f"{centile:.1f}"  # noqa: PLR2004
