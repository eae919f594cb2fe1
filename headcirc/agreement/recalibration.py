"""Make a site file: the correction of the circumference and the width of intervals for one site.

The exams are divided by chance into two halves. The first half chooses the correction: none, an
offset, or a factor. The second half, which the correction does not know, gives the width of the
intervals by split-conformal prediction, so that they hold for new exams of the same kind.

References
----------
Split-conformal prediction: Papadopoulos 2002, doi:10.1007/3-540-36755-1_29; Lei 2018,
doi:10.1080/01621459.2017.1307116.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headcirc import __version__
from headcirc.agreement.estimates import FloatArray, to_conformal_quantile
from headcirc.agreement.rows import ComparedImage
from headcirc.batch.files import UsageError
from headcirc.model.site import (
    INTERVAL_FACTORS,
    LARGEST_OFFSET_MM,
    SCALES,
    SITE_SCHEMA_VERSION,
)

LEAST_EXAMS = 30
SEED = 20_261_129
SIGNIFICANCE = 0.05
NONE, OFFSET, SCALE = "none", "offset", "scale"
GUARANTEE = (
    "If a new exam is exchangeable with these {exams} exams (same site, devices, operators and way "
    "to measure, chosen without regard to the result), the interval of an acceptable answer "
    "contains this site's own measurement with a probability of at least {level:.0%}, on average "
    "over such samples of exams (split-conformal prediction; the correction was chosen from "
    "{correction_exams} other exams). It promises nothing for a single kind of picture, for "
    "answers that are not acceptable, or after the devices or the way to measure have changed."
)


@dataclass(frozen=True)
class Correction:
    """A corrected circumference is `scale` times the measured one plus `offset_mm`."""

    kind: str
    offset_mm: float = 0.0
    scale: float = 1.0

    def apply(self, measured_mm: FloatArray) -> FloatArray:
        """Return the corrected circumferences in mm."""
        return np.asarray(self.scale * measured_mm + self.offset_mm)


@dataclass(frozen=True)
class Recalibration:
    """A site's correction and intervals, with what they were made from.

    Attributes
    ----------
    correction : Correction
    interval_factor, level : float
    correction_exams, interval_exams : int
        Number of exams of the two halves.
    residual_before_mm, residual_after_mm : float
        Median absolute difference on the second half, without and with the correction.
    farthest : tuple of str
        Images of the second half with the largest differences, farthest first.
    model : dict
        Name, version, SHA-256 and precision.
    """

    correction: Correction
    interval_factor: float
    level: float
    correction_exams: int
    interval_exams: int
    residual_before_mm: float
    residual_after_mm: float
    farthest: tuple[str, ...]
    model: dict[str, str]

    @property
    def guarantee(self) -> str:
        """Return what the intervals promise."""
        return GUARANTEE.format(
            exams=self.interval_exams, level=self.level, correction_exams=self.correction_exams
        )

    def to_facts(self, date: str) -> dict[str, Any]:
        """Return the content of the site file; see `headcirc.model.site`."""
        return {
            "schema_version": SITE_SCHEMA_VERSION,
            "model": self.model,
            "correction": self.correction.kind,
            "offset_mm": round(self.correction.offset_mm, 3),
            "scale": round(self.correction.scale, 5),
            "interval_factor": round(self.interval_factor, 4),
            "level": self.level,
            "cases": self.correction_exams + self.interval_exams,
            "correction_exams": self.correction_exams,
            "interval_exams": self.interval_exams,
            "median_absolute_difference_mm": {
                "before": round(self.residual_before_mm, 3),
                "after": round(self.residual_after_mm, 3),
            },
            "date": date,
            "headcirc": __version__,
            "guarantee": self.guarantee,
        }


def recalibrate(rows: Sequence[ComparedImage]) -> Recalibration:
    """Choose the correction and the width of the intervals.

    Parameters
    ----------
    rows : sequence of ComparedImage
        Of one model without a site file. Only acceptable answers with an interval are used.

    Raises
    ------
    UsageError
        There are fewer than 30 usable exams, the rows are of several models or of one with a site
        file, or the differences are so large that a unit or a pixel size must be wrong.
    """
    usable = _to_usable(rows)
    first, second = _divide(usable)
    correction = choose_correction(
        _to_exam_means(first, lambda row: row.head_circumference_mm),
        _to_exam_means(first, lambda row: row.reference_mm),
    )
    _require_plausible(correction)
    level = usable[0].level
    assert level is not None, "usable rows have intervals"
    measured_mm = np.array([row.head_circumference_mm for row in second], np.float64)
    reference_mm = np.array([row.reference_mm for row in second])
    half_mm = np.array([row.head_circumference_high_mm for row in second]) - measured_mm
    differences_mm = np.abs(reference_mm - correction.apply(measured_mm))
    exams = [row.exam for row in second]
    factor = to_conformal_quantile(differences_mm / half_mm, exams, level)
    least, most = INTERVAL_FACTORS
    order = np.argsort(-differences_mm)[:3]
    return Recalibration(
        correction=correction,
        interval_factor=min(max(factor, least), most),
        level=level,
        correction_exams=len({row.exam for row in first}),
        interval_exams=len({*exams}),
        residual_before_mm=float(np.median(np.abs(reference_mm - measured_mm))),
        residual_after_mm=float(np.median(differences_mm)),
        farthest=tuple(second[index].image for index in order),
        model={
            "name": usable[0].model_name,
            "version": usable[0].model_version,
            "sha256": usable[0].model_sha256,
            "precision": usable[0].model_precision,
        },
    )


def _to_usable(rows: Sequence[ComparedImage]) -> list[ComparedImage]:
    """Return the acceptable answers with an interval, checked.

    Raises
    ------
    UsageError
    """
    if any(row.site_sha256 for row in rows):
        raise UsageError(
            "The images were measured with a site file. Evaluate them without --site-file, and "
            "recalibrate from those rows."
        )
    models = {(row.model_name, row.model_version, row.model_sha256) for row in rows}
    if len(models) > 1:
        raise UsageError(
            f"The rows are of {len(models)} models; a site file belongs to one. Evaluate again."
        )
    usable = [row for row in rows if row.acceptable and row.is_in_interval is not None]
    exams = {row.exam for row in usable}
    if len(exams) < LEAST_EXAMS:
        raise UsageError(
            f"{len(exams)} exams have an acceptable answer with an interval; at least "
            f"{LEAST_EXAMS} are needed, 50 are better. Measure more, and evaluate again."
        )
    return usable


def _divide(
    rows: Sequence[ComparedImage],
) -> tuple[list[ComparedImage], list[ComparedImage]]:
    """Divide the images into halves by exam, by chance, without regard to any result."""
    exams = sorted({row.exam for row in rows})
    order = np.random.default_rng(SEED).permutation(len(exams))
    chosen = {exams[index] for index in order[: len(exams) // 2]}
    first = [row for row in rows if row.exam in chosen]
    return first, [row for row in rows if row.exam not in chosen]


def _to_exam_means(
    rows: Sequence[ComparedImage], read: Callable[[ComparedImage], float | None]
) -> FloatArray:
    """Return one value for each exam, so that all exams have the same weight."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = read(row)
        assert value is not None, "usable rows are measured"
        values.setdefault(row.exam, []).append(value)
    return np.array([np.mean(values[exam]) for exam in sorted(values)])


def choose_correction(measured_mm: FloatArray, reference_mm: FloatArray) -> Correction:
    """Choose no correction, an offset or a factor; medians keep single outliers from deciding.

    There is no correction unless the signs of the differences are one-sided (sign test, 5 %).
    Otherwise, the kind with the smaller leave-one-out mean absolute difference is chosen.

    Parameters
    ----------
    measured_mm, reference_mm : (n,) float64
        One value for each exam.
    """
    differences_mm = reference_mm - measured_mm
    if to_sign_test_p(differences_mm) >= SIGNIFICANCE:
        return Correction(NONE)
    ratios = reference_mm / measured_mm
    others = ~np.eye(len(ratios), dtype=np.bool_)
    offsets_mm = np.array([np.median(differences_mm[each]) for each in others])
    scales = np.array([np.median(ratios[each]) for each in others])
    by_offset_mm = np.abs(differences_mm - offsets_mm).mean()
    by_scale_mm = np.abs(reference_mm - scales * measured_mm).mean()
    if by_scale_mm < by_offset_mm:
        return Correction(SCALE, scale=float(np.median(ratios)))
    return Correction(OFFSET, offset_mm=float(np.median(differences_mm)))


def to_sign_test_p(differences: FloatArray) -> float:
    """Return the two-sided p of the sign test that the median is 0."""
    positive = int(np.count_nonzero(differences > 0))
    signs = int(np.count_nonzero(differences))
    fewer = min(positive, signs - positive)
    tail: float = sum(math.comb(signs, count) for count in range(fewer + 1)) / 2**signs
    return min(2 * tail, 1.0)


def _require_plausible(correction: Correction) -> None:
    low, high = SCALES
    if abs(correction.offset_mm) > LARGEST_OFFSET_MM or not low <= correction.scale <= high:
        raise UsageError(
            f"Your measurements differ from the model's by {correction.offset_mm:+.1f} mm or a "
            f"factor of {correction.scale:.3f}, which no way to measure explains. Check units and "
            "pixel sizes."
        )
