"""Summarise out-of-fold answers and compare them with the targets.

All functions are pure. Errors of heads of other devices are shares of the annotated circumference,
because their pixel size is unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.accuracy_summary import ImageResult, summarise, summarise_bins, to_bin_label
from evaluation.metrics import to_bin_members
from evaluation.out_of_fold.case import LARGE_ERROR_SHARE, Case
from evaluation.out_of_fold.measure import HeadResult, PlaneResult
from evaluation.out_of_fold.verdicts import (
    LOWEST_CAUGHT_SHARE,
    refuse,
    summarise_verdicts,
    to_share,
)
from headcirc.agreement.estimates import estimate
from headcirc.model.uncertainty_model import UncertaintyModel
from training.data.planes import HEAD, KINDS

GOOD_SHARE, LARGE_SHARE, GROSS_SHARE = 0.03, LARGE_ERROR_SHARE, 0.10
"""Errors as shares of the circumference."""
SMALLEST_BAND = 50
"""Bands with fewer heads have no target for their coverage."""


@dataclass(frozen=True)
class Target:
    """A limit for a figure, for example `at least 0.94`."""

    figure: str
    relation: str
    limit: float

    def is_met(self, value: float | None) -> bool:
        """Return whether a value meets the limit; None does not."""
        if value is None:
            return False
        return value >= self.limit if self.relation == "at least" else value <= self.limit


TARGETS = (
    Target("hc18_answered", "at least", 0.985),
    Target("hc18_acceptable", "at least", 0.94),
    Target("acceptable_mean_absolute_error_mm", "at most", 1.8),
    Target("acceptable_within_3_percent", "at least", 0.95),
    Target("acceptable_over_5_percent", "at most", 0.007),
    Target("acceptable_over_10_percent", "at most", 0.0),
    Target("answered_ellipse_dice", "at least", 0.979),
    Target("answered_mean_absolute_error_mm", "at most", 1.95),
    Target("answered_absolute_bias_mm", "at most", 0.2),
    Target("other_heads_acceptable", "at least", 0.92),
    Target("other_planes_acceptable", "at most", 0.005),
    Target("other_planes_found", "at most", 0.03),
    Target("degraded_large_errors_refused", "at least", LOWEST_CAUGHT_SHARE),
    Target("interval_coverage", "at least", 0.88),
    Target("interval_coverage", "at most", 0.92),
    Target("lowest_interval_coverage_of_a_band", "at least", 0.84),
)


def summarise_heads(results: Sequence[HeadResult]) -> dict[str, Any]:
    """Return the figures of HC18's heads: of all answers, of the acceptable ones, and by size.

    An image without an answer counts in the shares and bins only.
    """
    rows = [result.figures for result in results]
    answered = [row for row in rows if row.error_mm is not None]
    acceptable = [row for row in answered if row.acceptable]
    return {
        "images": len(rows),
        "exams": len({row.exam for row in rows}),
        "answered": to_share(len(answered), len(rows)),
        "acceptable": to_share(len(acceptable), len(rows)),
        "all": summarise(answered) | count_errors(answered),
        "of_acceptable": summarise(acceptable) | count_errors(acceptable),
        "bins": summarise_bins(rows),
    }


def count_errors(rows: Sequence[ImageResult]) -> dict[str, Any]:
    """Return how many errors of answers lie within 3 %, over 5 % and over 10 % of HC."""
    shares = [abs(row.error_mm) / row.true_hc_mm for row in rows if row.error_mm is not None]
    return {
        "within_3_percent": to_share(sum(each <= GOOD_SHARE for each in shares), len(shares)),
        "over_5_percent": to_share(sum(each > LARGE_SHARE for each in shares), len(shares)),
        "over_10_percent": to_share(sum(each > GROSS_SHARE for each in shares), len(shares)),
    }


def summarise_coverage(results: Sequence[HeadResult]) -> dict[str, Any]:
    """Return the share of HC18's heads within their interval: of all and by size.

    The bounds of the share of all come from a bootstrap over exams.
    """
    known = [result for result in results if result.interval_low_mm is not None]
    covered = np.array([_is_covered(result) for result in known], bool)
    widths_mm = np.array([each.interval_high_mm - each.interval_low_mm for each in known])  # type: ignore[operator]
    bands = []
    for summary, members in zip(
        summarise_bins([each.figures for each in known]),
        to_bin_members([each.figures.true_hc_mm for each in known]),
        strict=True,
    ):
        share = to_share(int(covered[members].sum()), len(members))
        width_mm = float(widths_mm[members].mean()) if len(members) else None
        bands.append({"true_hc_mm": to_bin_label(summary)} | share | {"mean_width_mm": width_mm})
    exams = [each.figures.exam for each in known]
    held = estimate(covered.astype(float), exams)
    return {
        "coverage": to_share(int(covered.sum()), len(known)) | {"low": held.low, "high": held.high},
        "mean_width_mm": float(widths_mm.mean()) if known else None,
        "bins": bands,
    }


def _is_covered(result: HeadResult) -> bool:
    assert result.interval_low_mm is not None
    assert result.interval_high_mm is not None
    return result.interval_low_mm <= result.figures.true_hc_mm <= result.interval_high_mm


def summarise_planes(results: Sequence[PlaneResult]) -> dict[str, Any]:
    """Return how many planes of each kind were found and accepted."""
    kinds = {}
    for kind in KINDS:
        of_kind = [result for result in results if result.kind == kind]
        kinds[kind] = {
            "pictures": len(of_kind),
            "found": to_share(sum(each.is_found for each in of_kind), len(of_kind)),
            "acceptable": to_share(sum(each.acceptable for each in of_kind), len(of_kind)),
        }
    others = [result for result in results if result.kind != HEAD]
    return {
        "kinds": kinds,
        "other_planes": {
            "pictures": len(others),
            "found": to_share(sum(each.is_found for each in others), len(others)),
            "acceptable": to_share(sum(each.acceptable for each in others), len(others)),
        },
        "annotated_heads": summarise_annotated_heads(results),
    }


def summarise_annotated_heads(results: Sequence[PlaneResult]) -> dict[str, Any]:
    """Return the errors of other devices' heads after a constant offset, the median ratio.

    The intervals are moved by the same offset, which is that of these heads. The annotations vary
    by about 3 %, so this is no error of the network alone.
    """
    known = [each for each in results if each.size_ratio is not None]
    annotated = sum(each.is_annotated for each in results)
    ratios = np.array([each.size_ratio for each in known], np.float64)
    if not known:
        return {"annotated": annotated, "found": 0}
    offset = float(np.median(ratios))
    lows, highs = (
        np.array([np.nan if bound is None else bound for bound in bounds], np.float64) / offset
        for bounds in (
            [each.interval_low_ratio for each in known],
            [each.interval_high_ratio for each in known],
        )
    )
    has_interval = np.isfinite(lows)
    covered = int(((lows <= 1) & (highs >= 1))[has_interval].sum())
    return {
        "annotated": annotated,
        "found": len(known),
        "offset": offset,
        "mean_absolute_error_share": float(np.abs(ratios / offset - 1).mean()),
        "ellipse_dice": float(np.mean([each.ellipse_dice for each in known])),
        "interval_coverage": to_share(covered, int(has_interval.sum())),
    }


def summarise_degraded(
    cases: Mapping[int, Sequence[Case]], facts: Mapping[int, UncertaintyModel]
) -> dict[str, Any]:
    """Return the refusals of clean and degraded pictures, each by the model without its fold."""
    judged = [refuse(case, facts[fold]) for fold, each in cases.items() for case in each]
    return summarise_verdicts(judged)


def judge(
    heads: Mapping[str, Any],
    coverage: Mapping[str, Any],
    planes: Mapping[str, Any],
    degraded: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return each target with its value, and whether it is met."""
    every, accepted = heads["all"], heads["of_acceptable"]
    bands = [each["share"] for each in coverage["bins"] if each["of"] >= SMALLEST_BAND]
    bias_mm = _to_value(every, "bias_mm")
    values: dict[str, float | None] = {
        "hc18_answered": heads["answered"]["share"],
        "hc18_acceptable": heads["acceptable"]["share"],
        "acceptable_mean_absolute_error_mm": _to_value(accepted, "mean_absolute_error_mm"),
        "acceptable_within_3_percent": accepted["within_3_percent"]["share"],
        "acceptable_over_5_percent": accepted["over_5_percent"]["share"],
        "acceptable_over_10_percent": accepted["over_10_percent"]["share"],
        "answered_ellipse_dice": _to_value(every, "ellipse_dice"),
        "answered_mean_absolute_error_mm": _to_value(every, "mean_absolute_error_mm"),
        "answered_absolute_bias_mm": None if bias_mm is None else abs(bias_mm),
        "other_heads_acceptable": planes["kinds"][HEAD]["acceptable"]["share"],
        "other_planes_acceptable": planes["other_planes"]["acceptable"]["share"],
        "other_planes_found": planes["other_planes"]["found"]["share"],
        "degraded_large_errors_refused": degraded["suite"]["large_errors_caught"]["share"],
        "interval_coverage": coverage["coverage"]["share"],
        "lowest_interval_coverage_of_a_band": min(bands, default=None),
    }
    return [
        {
            "figure": target.figure,
            "value": values[target.figure],
            "target": f"{target.relation} {target.limit:g}",
            "met": target.is_met(values[target.figure]),
        }
        for target in TARGETS
    ]


def _to_value(summary: Mapping[str, Any], name: str) -> float | None:
    value: float | None = summary["figures"][name]["value"]
    return value
