"""Find the marks of a depth scale at a picture's side and the distance between them in pixels.

Scanners draw small marks beside the picture, 5 or 10 mm apart. The distance in pixels is measured
here. What it is in millimetres is not written in the picture: a person states it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.errors import ScaleBarError

FloatPicture = NDArray[np.float32]

SIDE_SHARE = 0.12
"""Width of the searched strip at either side, as a share of the picture's columns."""
MINIMUM_STRIP_PX = 24
MINIMUM_SPACING_PX = 12.0
"""Closer marks are a ruler of millimetres, or the blocks of a JPEG."""
MAXIMUM_SPACING_SHARE = 0.25
"""Largest distance between marks, as a share of the rows: below five marks nothing repeats."""
MINIMUM_MARKS = 5
BACKGROUND_ROWS_AT_640 = 6
"""Half height of the window whose median is a pixel's background, in a picture of 640 rows."""
MARK_CONTRAST = 20.0
"""Grey levels between a mark and its background; speckle seldom reaches it, faint marks do."""
MAXIMUM_CONTRAST = 32.0
"""Larger contrasts count as this one, so that faint and bright marks weigh the same."""
TRIED_CANDIDATES = 24
"""Pairs of column and distance that are tried at a side, those with the highest correlation."""
LOG10_TRIALS = 4.6
"""Tried columns, distances and offsets of both sides, each a chance to find marks in noise."""
MINIMUM_CHANCE, MAXIMUM_CHANCE = 0.02, 0.9
MINIMUM_CONFIDENCE = 0.95
LONG_MARK_MM = 50.0
"""Distance between long marks on the scanners that were looked at (GE Voluson)."""
OFTEN_LONG, SELDOM_LONG = 5, 10
"""Every fifth or every tenth mark is long: marks are 10 or 5 mm apart."""
LONG_WIDTH_RATIO = 1.6
OUTLIER_PX = 1.5


@dataclass(frozen=True)
class ScaleBar:
    """The marks of a depth scale.

    Attributes
    ----------
    spacing_px : float
        Distance between neighbouring marks, down the picture.
    column_px : float
        Where the marks are.
    marks_px : tuple of float
        Rows of the marks that were seen, from top to bottom; some between them may be hidden.
    confidence : float
        In [0, 1]: 1 minus how many such scales would be found by chance in a picture of this kind.
        Pixels are taken as independent, so it is a score, not a probability.
    suggested_mark_mm : float or None
        Distance in mm if the long marks are `LONG_MARK_MM` apart; None where no rhythm of long
        marks is seen. It is a suggestion: a person confirms it.
    """

    spacing_px: float
    column_px: float
    marks_px: tuple[float, ...]
    confidence: float
    suggested_mark_mm: float | None = None


@dataclass(frozen=True)
class _Comb:
    """A regular row of positions in one column, and how surprising the marks on it are."""

    spacing_px: float
    offset_px: float
    column: int
    evidence: float
    """-log10 of the chance that so many positions of this comb hold a mark."""


def find_scale_bar(pixels: NDArray[np.uint8]) -> ScaleBar | None:
    """Return the depth scale at the left or right side of a picture, or None if unsure.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid

    Returns
    -------
    ScaleBar or None
        None below `MINIMUM_CONFIDENCE`.
    """
    columns = pixels.shape[1]
    width = min(columns, max(MINIMUM_STRIP_PX, round(columns * SIDE_SHARE)))
    best, found = 0.0, None
    for left in (0, columns - width):
        contrast = _to_contrast(pixels[:, left : left + width])
        comb = max(_try_combs(contrast), key=lambda each: each.evidence, default=None)
        if comb is not None and comb.evidence > best:
            best, found = comb.evidence, _measure(contrast, comb, left)
    if found is None or found.confidence < MINIMUM_CONFIDENCE:
        return None
    return found


def require_scale_bar(pixels: NDArray[np.uint8], mark_mm: float) -> ScaleBar:
    """Return the depth scale of a picture, or refuse to guess one.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
    mark_mm : float
        Distance between neighbouring marks, stated by a person.

    Raises
    ------
    ScaleBarError
        No scale is found with enough confidence, or its long marks contradict `mark_mm`.
    """
    found = find_scale_bar(pixels)
    if found is None:
        raise ScaleBarError(
            "No depth scale was found at the picture's sides with enough confidence; state the "
            "pixel size instead."
        )
    suggested_mm = found.suggested_mark_mm
    if suggested_mm is not None and not math.isclose(suggested_mm, mark_mm, rel_tol=0.01):
        raise ScaleBarError(
            f"The long marks of the depth scale suggest {suggested_mm:g} mm from mark to mark, and "
            f"{mark_mm:g} mm was stated; state the right distance, or the pixel size."
        )
    return found


def _to_contrast(strip: NDArray[np.uint8]) -> FloatPicture:
    """Return how far each pixel differs from the pixels above and below it, in grey levels.

    On bright tissue some scanners draw dark marks, so the sign does not count.
    """
    rows = strip.shape[0]
    step = max(1, round(BACKGROUND_ROWS_AT_640 * rows / 640 / 3))
    smooth = cv2.blur(strip.astype(np.float32), (3, 1))
    padded = np.pad(smooth, ((3 * step, 3 * step), (0, 0)), "edge")
    window = [padded[start : start + rows] for start in range(0, 6 * step + 1, step)]
    return np.asarray(np.abs(smooth - np.median(np.stack(window), axis=0)), np.float32)


def _try_combs(contrast: FloatPicture) -> Iterator[_Comb]:
    """Yield the best comb of each promising pair of column and distance."""
    # A dark or bright line of three rows: the rows beside a mark count as hits too.
    is_mark = cv2.dilate(contrast, np.ones((3, 1), np.uint8)) > MARK_CONTRAST
    combs = [
        _fit_comb(is_mark[:, column], spacing_px, column)
        for spacing_px, column in _find_periods(contrast)
    ]
    yield from combs
    best = max(combs, key=lambda each: each.evidence, default=None)
    if best is not None and best.spacing_px >= 2 * MINIMUM_SPACING_PX:
        # Every second mark may be so faint that its column was not among the candidates.
        for column in range(max(0, best.column - 2), min(contrast.shape[1], best.column + 3)):
            yield _fit_comb(is_mark[:, column], best.spacing_px / 2, column)


def _find_periods(contrast: FloatPicture) -> list[tuple[float, int]]:
    """Return pairs of distance and column, by the autocorrelation down each column."""
    rows = contrast.shape[0]
    least, most = int(MINIMUM_SPACING_PX), int(rows * MAXIMUM_SPACING_SHARE)
    if most <= least + 1:
        return []
    capped = np.minimum(contrast, MAXIMUM_CONTRAST)
    spectrum = np.fft.rfft(capped - capped.mean(axis=0), 2 * rows, axis=0)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[:rows]
    overlap = (rows / (rows - np.arange(rows)))[:, None]
    correlation = products / np.maximum(products[0], 1.0) * overlap
    inner = correlation[least:most].astype(np.float32)
    # The columns of one mark have about the same peak: the highest stands for all.
    is_peak = inner == cv2.dilate(inner, np.ones((3, 5), np.uint8))
    lags, columns = np.nonzero(is_peak & (inner > 0))
    order = np.argsort(-inner[lags, columns])[:TRIED_CANDIDATES]
    return [(float(lags[each] + least), int(columns[each])) for each in order]


def _fit_comb(is_mark: NDArray[np.bool_], lag_px: float, column: int) -> _Comb:
    """Return the comb near a distance whose marks are the least likely to be there by chance."""
    rows, marked = len(is_mark), int(is_mark.sum())
    step_px = 0.7 * lag_px / rows  # moves the last mark by less than a row
    best = _Comb(lag_px, 0.0, column, 0.0)
    for spacing_px in np.arange(lag_px - 0.5, lag_px + 0.5 + step_px, step_px):
        offsets = np.arange(int(spacing_px))
        places = np.rint(offsets[:, None] + np.arange(rows // spacing_px + 1) * spacing_px)
        inside = places < rows
        found = is_mark[np.where(inside, places, 0).astype(np.int32)] & inside
        hits, total = found.sum(axis=1), inside.sum(axis=1)
        # How often a place holds a mark in this column, apart from the comb's own marks.
        chance = (marked - 3 * hits) / np.maximum(rows - 3 * total, 1)
        evidence = _to_evidence(hits, total, np.clip(chance, MINIMUM_CHANCE, MAXIMUM_CHANCE))
        evidence[hits < MINIMUM_MARKS] = 0
        first = int(np.argmax(evidence))
        if evidence[first] > best.evidence:
            best = _Comb(float(spacing_px), float(offsets[first]), column, float(evidence[first]))
    return best


def _to_evidence(
    hits: NDArray[np.int_], total: NDArray[np.int_], chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return -log10 of a bound on the chance of at least `hits` marks on `total` places.

    References
    ----------
    Hoeffding 1963, doi:10.1080/01621459.1963.10500830, theorem 1; the number of false alarms that
    it gives is that of Desolneux, Moisan and Morel 2000, doi:10.1023/A:1026593302236.
    """
    share = np.clip(hits / total, 1e-9, 1 - 1e-9)
    divergence = share * np.log(share / chance) + (1 - share) * np.log((1 - share) / (1 - chance))
    return np.where(share > chance, total * divergence / math.log(10), 0.0)


def _measure(contrast: FloatPicture, comb: _Comb, left_px: int) -> ScaleBar:
    """Return the scale of a comb, with the distance fitted to the centres of its marks."""
    rows = contrast.shape[0]
    numbers, marks = [], []
    for number in range(int((rows - 1 - comb.offset_px) // comb.spacing_px) + 1):
        mark_px = _find_mark(contrast[:, comb.column], comb.offset_px + number * comb.spacing_px)
        if mark_px is not None:
            numbers.append(number)
            marks.append(mark_px)
    line = np.polynomial.Polynomial.fit(numbers, marks, 1)
    kept = np.abs(line(np.array(numbers)) - marks) <= OUTLIER_PX
    if kept.sum() >= MINIMUM_MARKS:
        line = np.polynomial.Polynomial.fit(np.array(numbers)[kept], np.array(marks)[kept], 1)
    spacing_px = float(line.convert().coef[1])
    return ScaleBar(
        spacing_px=spacing_px,
        column_px=float(left_px + comb.column),
        marks_px=tuple(marks),
        confidence=1 - min(1.0, 10 ** (LOG10_TRIALS - comb.evidence)),
        suggested_mark_mm=_suggest_mark_mm(
            contrast, comb.column, dict(zip(numbers, marks, strict=True))
        ),
    )


def _find_mark(column: NDArray[np.float32], place_px: float) -> float | None:
    """Return the centre of the mark at a place, as a row with its fraction, or None."""
    first = max(0, round(place_px) - 2)
    near = column[first : round(place_px) + 3]
    if len(near) == 0 or near.max() <= MARK_CONTRAST:
        return None
    peak = first + int(np.argmax(near))
    around = column[max(0, peak - 1) : peak + 2]
    weights = np.maximum(around - 0.3 * column[peak], 0)
    return float(max(0, peak - 1) + (weights * np.arange(len(around))).sum() / weights.sum())


def _suggest_mark_mm(contrast: FloatPicture, column: int, marks: dict[int, float]) -> float | None:
    """Return the distance between marks in mm, from how often a long mark comes, or None."""
    widths = {number: _to_width_px(contrast[round(row)], column) for number, row in marks.items()}
    usual = float(np.median(list(widths.values())))
    long = [number for number, width in widths.items() if width >= LONG_WIDTH_RATIO * usual]
    if not long:
        return None
    for rhythm in (OFTEN_LONG, SELDOM_LONG):
        expected = [number for number in widths if (number - long[0]) % rhythm == 0]
        # One long mark alone is of the seldom rhythm if a usual one stands halfway to the next.
        is_clear = len(expected) > 1 or any(
            (number - long[0]) % rhythm == OFTEN_LONG for number in widths
        )
        if long == expected and is_clear:
            return LONG_MARK_MM / rhythm
    return None


def _to_width_px(row: NDArray[np.float32], column: int) -> int:
    """Return how many pixels beside a column belong to the same mark."""
    is_mark = row > MARK_CONTRAST
    ends = np.flatnonzero(~is_mark)
    right = ends[ends > column]
    left = ends[ends < column]
    first = left[-1] if len(left) else -1
    return int((right[0] if len(right) else len(row)) - first - 1)
