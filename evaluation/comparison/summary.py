"""Summarise the measured networks: figures with intervals, paired tests, power, robustness.

All functions are pure functions of rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations, compress
from typing import Any

import numpy as np

from evaluation.comparison.curves import describe_curves, to_calibration_error
from evaluation.comparison.rows import ComparedRow, DegradedRow, Measured, PlaneRow
from evaluation.comparison.statistics import (
    PairedTest,
    compare_all,
    describe_power,
    to_differences,
)
from evaluation.metrics import estimate, summarise_errors
from training.data.planes import HEAD, KINDS

Getter = Callable[[ComparedRow], float | None]
GOOD_PER_CENT = 3.0
PIXEL_COUNTS = ("true_positive", "false_positive", "false_negative", "true_negative")


def _to_px(name: str) -> Getter:
    def get(row: ComparedRow) -> float | None:
        value_mm = getattr(row, name)
        return None if value_mm is None else value_mm / row.pixel_size_mm

    return get


def _to_plain(name: str, factor: float = 1.0) -> Getter:
    def get(row: ComparedRow) -> float | None:
        value = getattr(row, name)
        return None if value is None else factor * value

    return get


def _to_per_cent(row: ComparedRow) -> float | None:
    return None if row.error_mm is None else 100 * abs(row.error_mm) / row.true_hc_mm


def _to_good(row: ComparedRow) -> float | None:
    """Return 100 if the error is at most 3 %, otherwise 0; an image without an answer is not."""
    per_cent = _to_per_cent(row)
    return 100.0 * (per_cent is not None and per_cent <= GOOD_PER_CENT)


FIGURES: dict[str, tuple[str, Getter]] = {
    "dice": ("Dice, % (0 without an answer)", _to_plain("mask_dice", 100)),
    "iou": ("IoU, %", _to_plain("mask_iou", 100)),
    "precision": ("precision, %", _to_plain("mask_precision", 100)),
    "recall": ("recall, %", _to_plain("mask_recall", 100)),
    "f1": ("F1, %", _to_plain("mask_dice", 100)),
    "ellipse_dice": (
        "Dice of the ellipse, % (0 without an answer)",
        _to_plain("ellipse_dice", 100),
    ),
    "hausdorff_px": ("Hausdorff distance, px", _to_px("mask_hausdorff_mm")),
    "hausdorff_mm": ("Hausdorff distance, mm", _to_plain("mask_hausdorff_mm")),
    "hausdorff_95_px": ("95 % Hausdorff distance, px", _to_px("mask_hausdorff_95_mm")),
    "hausdorff_95_mm": ("95 % Hausdorff distance, mm", _to_plain("mask_hausdorff_95_mm")),
    "assd_px": (
        "average symmetric surface distance, px",
        _to_px("mask_average_surface_distance_mm"),
    ),
    "assd_mm": (
        "average symmetric surface distance, mm",
        _to_plain("mask_average_surface_distance_mm"),
    ),
    "absolute_error_mm": (
        "HC absolute error, mm",
        lambda row: None if row.error_mm is None else abs(row.error_mm),
    ),
    "error_mm": ("HC signed error, mm", _to_plain("error_mm")),
    "absolute_error_percent": ("HC absolute error, % of HC", _to_per_cent),
    "within_3_percent": ("share of images within 3 %, %", _to_good),
    "auc_roc": ("area under the ROC curve", _to_plain("auc_roc")),
    "auc_pr": ("area under the precision-recall curve", _to_plain("auc_pr")),
}
"""Title and value of each figure of an image. F1 of two masks is their Dice."""
TESTED = ("absolute_error_mm", "dice", "hausdorff_mm", "assd_mm")
COARSE_MAPS = ("Swin U-Net",)
"""Networks with fewer places at the bottleneck, whose maps are more spread out for that alone."""
CONCENTRATION = ("head_share", "edge_share", "head_area_share", "edge_area_share")


def to_values(rows: Sequence[ComparedRow], figure: str) -> list[float | None]:
    """Return a figure of each image."""
    _, get = FIGURES[figure]
    return [get(row) for row in rows]


def to_figure(values: Sequence[float | None], exams: Sequence[int]) -> dict[str, Any]:
    """Return mean, standard deviation over the images, and the interval over exams."""
    known = [value for value in values if value is not None]
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return asdict(estimate(values, exams)) | {"standard_deviation": deviation}


def count_unanswered(measured: Measured) -> int:
    """Return the number of images without an answer."""
    return sum(row.measured_hc_mm is None for row in measured.rows)


def summarise_network(measured: Measured) -> dict[str, Any]:
    """Return all figures of one network."""
    rows, exams = measured.rows, [row.exam for row in measured.rows]
    figures = {name: to_figure(to_values(rows, name), exams) for name in FIGURES}
    indices = np.arange(len(rows), dtype=np.float64)
    error = estimate(
        indices, exams, lambda some: to_calibration_error(measured.counts[some.astype(int)].sum(0))
    )
    return {
        "name": measured.name,
        "title": measured.title,
        "version": measured.version,
        "facts": dict(measured.facts),
        "figures": figures,
        "errors": {
            name: asdict(each)
            for name, each in summarise_errors([row.error_mm for row in rows], exams).items()
        },
        "without_answer": count_unanswered(measured),
        "not_acceptable": sum(not row.acceptable for row in rows),
        "pixels": {
            name: sum(getattr(row, f"mask_{name}_px") for row in rows) for name in PIXEL_COUNTS
        },
        "calibration": asdict(error),
        "curves": describe_curves(measured.counts.sum(axis=0)),
        "concentration": {
            name: to_figure([getattr(row, name) for row in rows], exams) for name in CONCENTRATION
        },
        "degraded": summarise_degraded(measured.degraded),
        "planes": summarise_planes(measured.planes),
    }


def summarise_degraded(rows: Sequence[DegradedRow]) -> dict[str, Any]:
    """Return the errors and overlaps of each kind of degradation."""
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        some = [row for row in rows if row.kind == kind]
        exams = [row.exam for row in some]
        errors = [
            None if row.measured_hc_mm is None else abs(row.measured_hc_mm - row.true_hc_mm)
            for row in some
        ]
        accepted = [
            error for row, error in zip(some, errors, strict=True) if row.acceptable and error
        ]
        kinds[kind] = {
            "images": len(some),
            "without_answer": sum(error is None for error in errors),
            "absolute_error_mm": to_figure(errors, exams),
            "dice": to_figure([100 * row.ellipse_dice for row in some], exams),
            "acceptable": sum(row.acceptable for row in some),
            "worst_acceptable_mm": max(accepted, default=None),
        }
    return kinds


def summarise_planes(rows: Sequence[PlaneRow]) -> dict[str, Any]:
    """Return how many planes of each kind got an answer, and the agreement on annotated heads."""
    kinds: dict[str, Any] = {}
    for kind in KINDS:
        some = [row for row in rows if row.kind == kind]
        kinds[kind] = {
            "planes": len(some),
            "found": sum(row.is_found for row in some),
            "acceptable": sum(row.acceptable for row in some),
        }
    heads = [row for row in rows if row.kind == HEAD and row.ellipse_dice is not None]
    groups = {name: number for number, name in enumerate(dict.fromkeys(r.group for r in heads))}
    owners = [groups[row.group] for row in heads]
    ratios = [row.circumference_ratio for row in heads]
    known = [ratio for ratio in ratios if ratio is not None]
    kinds["annotated_heads"] = {
        "heads": len(heads),
        "dice": to_figure([100 * (row.ellipse_dice or 0) for row in heads], owners),
        "circumference_ratio": to_figure(ratios, owners),
        "median_ratio": float(np.median(known)) if known else None,
    }
    return kinds


def to_exams(networks: Sequence[Measured]) -> list[int]:
    """Return the exam of each image; raises ValueError if the networks have different images."""
    images = [[(row.name, row.exam) for row in each.rows] for each in networks]
    if any(each != images[0] for each in images):
        raise ValueError("The networks were not measured on the same images. Measure them again.")
    return [exam for _, exam in images[0]]


def compare_networks(networks: Sequence[Measured]) -> dict[str, Any]:
    """Test all pairs of networks for each tested figure; all need the same images."""
    tested, exams = dict[str, Any](), to_exams(networks)
    for figure in TESTED:
        values = {each.title: to_values(each.rows, figure) for each in networks}
        tests = compare_all(values, exams)
        pairs = [(test.first, test.second) for test in tests]
        deviations = [
            float(np.std(to_differences(values[one], values[other], exams)[0], ddof=1))
            for one, other in pairs
        ]
        tested[figure] = {
            "tests": [asdict(test) | {"significant": test.is_significant} for test in tests],
            "left_out": [list(each) for each in combinations(values, 2) if each not in pairs],
            "power": describe_power(tests, deviations) if tests else None,
        }
    return tested


def compare_concentrations(networks: Sequence[Measured]) -> list[dict[str, Any]]:
    """Test all pairs of networks for the share of their Grad-CAM maps at the head's edge.

    Networks with coarser maps than the others are left out.
    """
    values = {
        each.title: [row.edge_share for row in each.rows]
        for each in networks
        if each.title not in COARSE_MAPS
    }
    explained = {title: each for title, each in values.items() if any(v is not None for v in each)}
    if len(explained) < 2:  # noqa: PLR2004 - a pair
        return []
    tests: list[PairedTest] = compare_all(explained, to_exams(networks))
    return [asdict(test) | {"significant": test.is_significant} for test in tests]


def summarise_answered(networks: Sequence[Measured]) -> dict[str, Any]:
    """Return the mean absolute errors on the images that all networks answered.

    A network that answered fewer than half of the images is left out.
    """
    exams = to_exams(networks)
    every = {each.title: to_values(each.rows, "absolute_error_mm") for each in networks}
    values = {
        title: some
        for title, some in every.items()
        if 2 * sum(value is not None for value in some) >= len(some)
    }
    answered = [None not in each for each in zip(*values.values(), strict=True)]
    kept = list(compress(exams, answered))
    return {
        "images": sum(answered),
        "absolute_error_mm": {
            title: to_figure(list(compress(some, answered)), kept) for title, some in values.items()
        },
    }


def to_sign_agreement(
    seeds: Mapping[str, Sequence[Measured]], first: str, second: str, figure: str
) -> bool | None:
    """Return whether the mean difference has one sign for all pairs of seeds; None for one seed."""
    if min(len(seeds[first]), len(seeds[second])) < 2:  # noqa: PLR2004 - two seeds make a pair
        return None
    signs = set()
    for one in seeds[first]:
        for other in seeds[second]:
            both = [to_values(each.rows, figure) for each in (one, other)]
            signs.add(float(np.sign(to_differences(*both, to_exams([one, other]))[0].mean())))
    return len(signs) == 1


def to_part(networks: Sequence[Measured]) -> str:
    """Return the part of HC18 on which all networks were measured; raises as `to_report`."""
    parts = {str(each.facts["data"]["part"]) for each in networks}
    if len(parts) != 1:
        raise ValueError(f"The networks were measured on {' and '.join(sorted(parts))}. Give one.")
    return parts.pop()


def to_ordered_groups(
    networks: Sequence[Measured], order: Sequence[str]
) -> dict[str, list[Measured]]:
    """Return the protocol's seeds of each architecture, in the order of the tables."""
    found = group_by_architecture([each for each in networks if each.is_in_protocol])
    return {title: found[title] for title in order if title in found}


def group_by_architecture(networks: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Return all seeds of each architecture, the first seed first."""
    groups: dict[str, list[Measured]] = {}
    for each in sorted(networks, key=lambda each: each.version):
        groups.setdefault(each.title, []).append(each)
    return groups


def to_seed_table(groups: Mapping[str, Sequence[Measured]]) -> dict[str, Any]:
    """Return the mean of each tested figure for each seed."""
    return {
        title: {
            each.version: {
                figure: estimate(
                    to_values(each.rows, figure), [row.exam for row in each.rows], resamples=0
                ).value
                for figure in TESTED
            }
            for each in seeds
        }
        for title, seeds in groups.items()
    }


def to_report(networks: Sequence[Measured], order: Sequence[str]) -> dict[str, Any]:
    """Return the content of `comparison.json`.

    Parameters
    ----------
    networks : sequence of Measured
        All networks and seeds, measured on the same part.
    order : sequence of str
        Titles of the architectures, in the order of the tables.

    Raises
    ------
    ValueError
        The networks were measured on different parts.
    """
    part = to_part(networks)
    groups = to_ordered_groups(networks, order)
    first = [seeds[0] for seeds in groups.values()]
    tested = compare_networks(first) if len(first) > 1 else {}
    for figure, each in tested.items():
        for test in each["tests"]:
            agreement = to_sign_agreement(groups, test["first"], test["second"], figure)
            test["seeds_agree"] = agreement
    return {
        "command": "python -m evaluation.comparison report",
        "part": part,
        "networks": [summarise_network(each) for each in first],
        "answered_by_all": summarise_answered(first),
        "tested": tested,
        "concentration_tests": compare_concentrations(first),
        "seeds": to_seed_table(groups),
    }


def to_choice(networks: Sequence[Measured], order: Sequence[str]) -> dict[str, Any]:
    """Return what a choice of the architecture is made on: errors and tests of one part.

    The first seed of each architecture counts. Parameters and errors are those of `to_report`.
    """
    first = [seeds[0] for seeds in to_ordered_groups(networks, order).values()]
    figures = {
        each.title: {
            name: to_figure(to_values(each.rows, name), [row.exam for row in each.rows])
            for name in TESTED
        }
        for each in first
    }
    return {
        "part": to_part(networks),
        "images": len(first[0].rows),
        "exams": len({row.exam for row in first[0].rows}),
        "figures": figures,
        "without_answer": {each.title: count_unanswered(each) for each in first},
        "tested": compare_networks(first) if len(first) > 1 else {},
    }
