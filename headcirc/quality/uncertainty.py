"""Compute uncertainty features of one result, and combine them into scores.

The features come from probabilities and grey values on short lines across the ellipse. Both are
read on the network's grid, so that no feature depends on the size of the frame. They need no
further inference. Their weights come from the manifest. This module changes no measurement.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray, GridMapping, HeadMask
from headcirc.model.site import SiteFacts
from headcirc.model.uncertainty_model import UncertaintyModel

LINES = 96
"""Number of lines across the ellipse, at equal steps of its parametric angle."""
LINE_POINTS = 33
REACH_SHARE = 0.2
"""Length of a line on each side of the ellipse, as a share of the head's mean radius."""
SURE_PROBABILITY = 0.8
"""A line is clear if the head's side exceeds this probability and the other side is below 1 minus
it. A change of any constant in this module changes the features, so the uncertainty models must be
fitted again."""
DARK_SHARE = 0.35
"""A line is in shadow if its echo is below this share of the outline's bright echoes."""
BRIGHT_PERCENTILE, WORST_PERCENTILE = 75, 95

EDGE_FEATURES = ("unseen share", "lost share", "worst displacement", "flatness", "unsure mask")
"""Features of the probabilities, for the scores."""
ECHO_FEATURES = ("lack of contrast", "dark share")
"""Features of the grey values, which only explain a result: another device has other grey values,
and is not measured worse for that."""
FEATURES = EDGE_FEATURES + ECHO_FEATURES
"""Larger values mean a less certain measurement."""

_ANGLES_RAD = np.arange(LINES) * (2 * math.pi / LINES)
_CIRCLE = np.stack((np.cos(_ANGLES_RAD), np.sin(_ANGLES_RAD)))
_OFFSETS = np.linspace(-REACH_SHARE, REACH_SHARE, LINE_POINTS)
_STEP = float(_OFFSETS[1] - _OFFSETS[0])
_END = LINE_POINTS // 3
_MIDDLE = LINE_POINTS // 2
_ECHO = slice(LINE_POINTS // 5, 5 * LINE_POINTS // 8)


@dataclass(frozen=True)
class Uncertainty:
    """The features of one result, and the scores computed from them.

    Attributes
    ----------
    features : dict
        Feature to value, in the order of `FEATURES`.
    expected_error_mm : float or None
        Expected absolute error of the circumference. If the pixel size is unknown, it is the error
        for a head of `uncertainty_model.REFERENCE_MM`. None without an uncertainty model.
    large_error_score : float or None
        Larger means that an error above 5 % of the circumference is more likely. None without an
        uncertainty model.
    """

    features: dict[str, float]
    expected_error_mm: float | None
    large_error_score: float | None


@dataclass(frozen=True)
class Interval:
    """An interval that should contain the annotated circumference; see `docs/uncertainty.md`.

    Attributes
    ----------
    level : float
        Nominal coverage, as a share.
    low_mm, high_mm : float
    """

    level: float
    low_mm: float
    high_mm: float


def measure_uncertainty(
    greys: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    mapping: GridMapping,
    head_mask: HeadMask,
    ellipse: Ellipse,
    *,
    facts: UncertaintyModel | None = None,
    head_circumference_mm: float | None = None,
) -> Uncertainty:
    """Compute the features of a result and the scores from them.

    Parameters
    ----------
    greys, probabilities : (content_rows, content_columns), network grid without padding
        Grey values, uint8, and probabilities, float32.
    mapping : GridMapping
        Where the frame lies on the network's grid.
    head_mask : HeadMask
    ellipse : Ellipse
        The fitted ellipse, in frame pixels.
    facts : UncertaintyModel or None
        From the manifest; without it the scores are None.
    head_circumference_mm : float or None
        None if the pixel size is unknown.

    Returns
    -------
    Uncertainty
    """
    radius_px = math.sqrt(ellipse.semi_axis_major_px * ellipse.semi_axis_minor_px)
    x, y, lengths, is_seen = _to_lines(ellipse, radius_px, mapping)
    seen = lengths * is_seen
    seen_px = float(seen.sum())
    seen /= max(seen_px, 1e-9)
    across = cv2.remap(probabilities, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    echoes = cv2.remap(greys, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    values = (
        1 - seen_px / float(lengths.sum()),
        *_to_edge_features(across, seen),
        1 - head_mask.mean_probability,
        *_to_echo_features(echoes, seen),
    )
    features = dict(zip(FEATURES, values, strict=True))
    if facts is None:
        return Uncertainty(features, None, None)
    expected_error_mm = facts.to_expected_error_mm(features, head_circumference_mm)
    return Uncertainty(features, expected_error_mm, facts.large_error.weigh(features))


def to_interval(
    head_circumference_mm: float | None,
    uncertainty: Uncertainty,
    *,
    facts: UncertaintyModel | None,
    site: SiteFacts | None = None,
) -> Interval | None:
    """Return the interval around a circumference.

    The half-width is `facts.interval.factor` times the expected error, and times the site's factor;
    the lower bound is at least 0. None without a circumference or without an uncertainty model.
    """
    if head_circumference_mm is None or facts is None or uncertainty.expected_error_mm is None:
        return None
    half_mm = facts.interval.factor * uncertainty.expected_error_mm
    level = facts.interval.level
    if site is not None:
        half_mm, level = site.interval_factor * half_mm, site.level
    low_mm = max(head_circumference_mm - half_mm, 0.0)
    return Interval(level, low_mm, head_circumference_mm + half_mm)


def _to_lines(
    ellipse: Ellipse, radius_px: float, mapping: GridMapping
) -> tuple[NDArray[np.float32], NDArray[np.float32], FloatArray, NDArray[np.bool_]]:
    """Return the lines' points, and the length of the outline that each line represents.

    Returns
    -------
    x, y : (LINE_POINTS, LINES), network grid without padding
        The first row lies inside the head.
    lengths : (LINES,)
        In frame pixels.
    is_seen : (LINES,)
        Whether the line crosses the ellipse inside the frame.
    """
    matrix = ellipse.to_shape_matrix()
    center = np.array([[ellipse.center_x_px], [ellipse.center_y_px]])
    edge = center + matrix @ _CIRCLE
    (a, b), (c, d) = matrix.tolist()
    normals = np.array([[d, -c], [-b, a]]) @ _CIRCLE  # the transposed inverse, but for a factor
    lengths = np.hypot(*normals)  # also of the tangents, which are the normals turned
    normals /= lengths
    points = edge[:, None] + normals[:, None] * (_OFFSETS * radius_px)[:, None]
    last = np.array([[mapping.frame_columns], [mapping.frame_rows]]) - 1
    is_seen = ((edge >= 0) & (edge <= last)).all(axis=0)
    x, y = mapping.to_content(points).astype(np.float32)
    return x, y, lengths, is_seen


def _to_edge_features(across: NDArray[np.float32], seen: FloatArray) -> tuple[float, float, float]:
    """Return lost share, worst displacement (a share of the radius) and flatness of the edge."""
    inside, outside = across[:_END].mean(axis=0), across[-_END:].mean(axis=0)
    is_lost = (inside < SURE_PROBABILITY) | (outside > 1 - SURE_PROBABILITY)
    displacement = np.where(seen > 0, across.sum(axis=0) * _STEP - REACH_SHARE - _STEP / 2, 0)
    slope = float(seen @ (across[_MIDDLE - 2] - across[_MIDDLE + 2])) / (4 * _STEP)
    return (
        float(seen @ is_lost),
        _to_percentile(np.abs(displacement), WORST_PERCENTILE),
        -math.log(max(slope, 1.0)),
    )


def _to_echo_features(echoes: NDArray[np.uint8], seen: FloatArray) -> tuple[float, float]:
    """Return lack of contrast and dark share of the skull's echo."""
    wrapped = np.concatenate((echoes[:, -3:], echoes, echoes[:, :3]), axis=1)
    smooth = cv2.blur(wrapped, (7, 3))[:, 3:-3].astype(np.float32)
    peak = smooth[_ECHO].max(axis=0)
    beside = np.maximum(smooth[: _ECHO.start].mean(axis=0), smooth[_ECHO.stop :].mean(axis=0))
    is_dark = peak < DARK_SHARE * _to_percentile(peak, BRIGHT_PERCENTILE)
    return -float(seen @ ((peak - beside) / (peak + 10))), float(seen @ is_dark)


def _to_percentile(values: NDArray[Any], percent: int) -> float:
    """Return a percentile without interpolation; ten times as fast as `np.percentile`."""
    return float(np.sort(values)[(len(values) - 1) * percent // 100])
