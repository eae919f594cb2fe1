"""From a track to one answer: the weighted median of the frames that can be relied on.

`docs/cine.md` derives the interval. No number is given if too few frames agree, and no frame that
is not acceptable counts. The frames of one cine show the same head with the same device and the
same pixel size, so their errors are not independent: more frames never make the interval narrower
than that of one frame.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from headcirc.answers import Interval
from headcirc.cine.answers import BestFrame, CineFrame, CineSummary

LEAST_AGREEING = 3
"""Frames that must agree: two frames cannot show that one of them is the exception."""
LEAST_AGREEING_SHARE = 0.5
"""Share of the measured frames that must agree."""
AGREEMENT_SHARE = 0.03
"""A frame without an interval agrees within this share of the circumference."""
MAD_TO_SD = 1.4826
"""Standard deviation of normal values over their median absolute deviation."""
CUT_SHARE = 0.98
"""A file gives at least this share of the frames it states; containers round their number."""

NO_FRAME_READ = "unreadable-image"
NO_HEAD_FOUND = "no-head-found"
NO_ACCEPTABLE_FRAME = "no-acceptable-frame"
PIXEL_SIZE_MISSING = "pixel-size-missing"
TOO_FEW_FRAMES = "too-few-frames"
FRAMES_DISAGREE = "frames-disagree"
CINE_CUT_OFF = "cine-cut-off"

NARROWEST_AGREEING = "narrowest-interval-of-agreeing"
NARROWEST_ACCEPTABLE = "narrowest-interval-of-acceptable"
MOST_LIKELY_ACCEPTABLE = "most-likely-plane-of-acceptable"
NOT_ACCEPTABLE = "no-frame-acceptable"
DETAILS = {
    NARROWEST_AGREEING: "Of the acceptable frames that agree with the summary, this one has the "
    "narrowest interval for its size.",
    NARROWEST_ACCEPTABLE: "Of the acceptable frames this one has the narrowest interval for its "
    "size; the frames give no common circumference.",
    MOST_LIKELY_ACCEPTABLE: "Of the acceptable frames this one is most likely a head plane; there "
    "are no intervals to compare.",
    NOT_ACCEPTABLE: "No frame is acceptable; this one is most likely a head plane. Do not rely on "
    "its circumference.",
}


@dataclass(frozen=True)
class _Consensus:
    """The median and what is around it."""

    median_mm: float
    agreeing: Sequence[CineFrame]


def summarise_track(
    frames: Sequence[CineFrame], *, announced: int | None = None, duration_ms: float = 0.0
) -> CineSummary:
    """Summarise the frames of a cine.

    Parameters
    ----------
    frames : sequence of CineFrame
        All that were read, in turn.
    announced : int, optional
        How many frames the file states.
    duration_ms : float
        How long measuring took.
    """
    measured = [each for each in frames if _is_measured(each)]
    consensus = _find_consensus(measured)
    code = _find_code(frames, measured, consensus)
    agreeing = [] if consensus is None else list(consensus.agreeing)
    best = _find_best(frames, agreeing if code is None else [])
    circumference_mm, interval, spread_mm = None, None, None
    if consensus is not None:
        spread_mm = _to_spread_mm(measured, consensus.median_mm)
        if code is None:
            circumference_mm = consensus.median_mm
            interval = _to_interval(consensus, spread_mm)
    is_cut = announced is not None and len(frames) < min(announced - 1, CUT_SHARE * announced)
    return CineSummary(
        frames=len(frames),
        frames_unreadable=sum(each.error is not None for each in frames),
        frames_with_head=sum(each.head is not None for each in frames),
        frames_measured=len(measured),
        frames_agreeing=len(agreeing),
        head_circumference_mm=circumference_mm,
        head_circumference_interval_mm=interval,
        frame_spread_mm=spread_mm,
        code=code,
        warnings=(CINE_CUT_OFF,) if is_cut else (),
        best=best,
        duration_ms=round(duration_ms, 3),
    )


def _is_measured(frame: CineFrame) -> bool:
    return frame.is_acceptable and frame.head_circumference_mm is not None


def _find_code(
    frames: Sequence[CineFrame], measured: Sequence[CineFrame], consensus: _Consensus | None
) -> str | None:
    """Return why there is no number; None where there is one."""
    if consensus is not None:
        agreeing = len(consensus.agreeing)
        if len(measured) < LEAST_AGREEING:
            return TOO_FEW_FRAMES
        is_enough = agreeing >= max(LEAST_AGREEING, LEAST_AGREEING_SHARE * len(measured))
        return None if is_enough else FRAMES_DISAGREE
    if all(each.error is not None for each in frames):
        return NO_FRAME_READ
    if all(each.head is None for each in frames):
        return NO_HEAD_FOUND
    has_acceptable = any(each.is_acceptable for each in frames)
    return PIXEL_SIZE_MISSING if has_acceptable else NO_ACCEPTABLE_FRAME


def _find_consensus(measured: Sequence[CineFrame]) -> _Consensus | None:
    """Return the weighted median of the frames, and the frames that agree with it.

    A frame weighs as one over the square of its interval's half-width.
    """
    if not measured:
        return None
    values = [_require_mm(each) for each in measured]
    halves = [_to_half_mm(each) for each in measured]
    is_known = all(half is not None and half > 0 for half in halves)
    weights = [1 / half**2 if is_known and half else 1.0 for half in halves]
    middle_mm = to_weighted_median(values, weights)
    agreeing = [each for each in measured if agrees(each, middle_mm)]
    return _Consensus(middle_mm, agreeing)


def to_weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the value with half of the weight on each side.

    Where two values share the middle, it is the mean of both.
    """
    pairs = sorted(zip(values, weights, strict=True))
    half, below = sum(weights) / 2, 0.0
    for (value, weight), (following, _) in _list_pairs(pairs):
        below += weight
        if abs(below - half) <= 1e-12 * half:
            return (value + following) / 2
        if below > half:
            return value
    return pairs[-1][0]


def _list_pairs(
    pairs: Sequence[tuple[float, float]],
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Yield each pair with the following one; the last one with itself."""
    yield from zip(pairs, [*pairs[1:], pairs[-1]], strict=True)


def _require_mm(frame: CineFrame) -> float:
    value_mm = frame.head_circumference_mm
    assert value_mm is not None, "a measured frame has a circumference"
    return value_mm


def _to_half_mm(frame: CineFrame) -> float | None:
    """Return the half-width of a frame's own interval; its lower end may be cut at 0."""
    interval = frame.interval
    return None if interval is None else interval.high - _require_mm(frame)


def agrees(frame: CineFrame, middle_mm: float) -> bool:
    """Return whether a frame's own interval holds the median."""
    half_mm = _to_half_mm(frame)
    allowed_mm = AGREEMENT_SHARE * middle_mm if half_mm is None else half_mm
    return abs(_require_mm(frame) - middle_mm) <= allowed_mm


def _to_spread_mm(measured: Sequence[CineFrame], middle_mm: float) -> float:
    """Return the half-width that holds the nominal share of frames, by their median deviation."""
    level = next((each.interval.level for each in measured if each.interval), 0.9)
    deviation_mm = median(abs(_require_mm(each) - middle_mm) for each in measured)
    return NormalDist().inv_cdf((1 + level) / 2) * MAD_TO_SD * deviation_mm


def _to_interval(consensus: _Consensus, spread_mm: float) -> Interval | None:
    """Return the interval around the median: one frame's half-width and the spread, in quadrature.

    One frame's half-width is the median of the agreeing frames' and at least the best frame's, so
    that the number of frames never narrows it.
    """
    halves = [_to_half_mm(each) for each in consensus.agreeing]
    known = [half for half in halves if half is not None]
    if len(known) < len(halves):
        return None
    best_mm = _to_half_mm(min(consensus.agreeing, key=_to_relative_half))
    assert best_mm is not None, "all frames have an interval"
    one_mm = max(median(known), best_mm)
    half_mm = (one_mm**2 + spread_mm**2) ** 0.5
    interval = consensus.agreeing[0].interval
    assert interval is not None, "all frames have an interval"
    middle_mm = consensus.median_mm
    return Interval(interval.level, max(middle_mm - half_mm, 0.0), middle_mm + half_mm)


def _to_relative_half(frame: CineFrame) -> float:
    half_mm = _to_half_mm(frame)
    return float("inf") if half_mm is None else half_mm / _require_mm(frame)


def _find_best(frames: Sequence[CineFrame], agreeing: Sequence[CineFrame]) -> BestFrame | None:
    """Return the frame to look at; None without any head."""
    acceptable = [each for each in frames if each.is_acceptable]
    with_interval = [each for each in acceptable if each.interval is not None]
    if agreeing and with_interval:
        return _to_best(min(agreeing, key=_to_relative_half), NARROWEST_AGREEING, agreeing)
    if with_interval:
        return _to_best(min(with_interval, key=_to_relative_half), NARROWEST_ACCEPTABLE, agreeing)
    if acceptable:
        chosen = agreeing or acceptable
        return _to_best(max(chosen, key=_to_plane), MOST_LIKELY_ACCEPTABLE, agreeing)
    with_head = [each for each in frames if each.head is not None]
    return _to_best(max(with_head, key=_to_plane), NOT_ACCEPTABLE, ()) if with_head else None


def _to_plane(frame: CineFrame) -> float:
    plane = frame.head_plane_probability
    return -1.0 if plane is None else plane


def _to_best(frame: CineFrame, reason: str, agreeing: Sequence[CineFrame]) -> BestFrame:
    return BestFrame(
        frame=frame.frame,
        time_ms=frame.time_ms,
        head_circumference_mm=frame.head_circumference_mm,
        head_circumference_interval_mm=frame.interval,
        acceptable=frame.is_acceptable,
        agrees=any(each is frame for each in agreeing),
        reason=reason,
        detail=DETAILS[reason],
    )
