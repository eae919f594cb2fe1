"""Convert the reports of `evaluation.out_of_fold` to Markdown tables.

All functions are pure. A report is the content of `out_of_fold.json`; what `fit` found is that of
`out_of_fold_uncertainty.json`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.metrics import WORST
from evaluation.out_of_fold.scores import CLEAN_REFUSED_SHARE
from evaluation.out_of_fold.summary import SMALLEST_BAND
from evaluation.out_of_fold.verdicts import CAUGHT
from training.data.planes import HEAD, KINDS

Report = Mapping[str, Any]
FIGURES = {
    "mean_absolute_error_mm": ("HC mean absolute error, mm", 1),
    "median_absolute_error_mm": ("HC median absolute error, mm", 1),
    "bias_mm": ("HC signed error, mm", 1),
    "limit_of_agreement_low_mm": ("lower 95 % limit of agreement, mm", 1),
    "limit_of_agreement_high_mm": ("upper 95 % limit of agreement, mm", 1),
    "absolute_error_95th_percentile_mm": ("95th percentile of the absolute error, mm", 1),
    "ellipse_dice": ("Dice of the ellipse, %", 100),
    "mask_dice": ("Dice of the mask, %", 100),
    "mask_hausdorff_95_mm": ("95 % Hausdorff distance, mm", 1),
    "mask_average_surface_distance_mm": ("average symmetric surface distance, mm", 1),
}
"""The title of each figure, and the factor that converts it to the title's unit."""
BIN_FIGURES = ("mean_absolute_error_mm", "median_absolute_error_mm", "bias_mm")
PLURALS = {"head": "heads", "abdomen": "abdomens", "femur": "femurs", "thorax": "thoraxes"}
ITEMS = {"images": "HC18 images", "planes": "planes of other devices"}
SHARES = {
    "within_3_percent": "errors within 3 % of HC",
    "over_5_percent": "errors over 5 % of HC",
    "over_10_percent": "errors over 10 % of HC",
}
TARGETS = {
    "hc18_answered": "HC18 images with an answer",
    "hc18_acceptable": "HC18 images with an acceptable answer",
    "acceptable_mean_absolute_error_mm": "acceptable answers: mean absolute error",
    "acceptable_within_3_percent": "acceptable answers: errors within 3 % of HC",
    "acceptable_over_5_percent": "acceptable answers: errors over 5 % of HC",
    "acceptable_over_10_percent": "acceptable answers: errors over 10 % of HC",
    "answered_ellipse_dice": "all answers: Dice of the ellipse",
    "answered_mean_absolute_error_mm": "all answers: mean absolute error",
    "answered_absolute_bias_mm": "all answers: signed error, without its sign",
    "other_heads_acceptable": "heads of other devices that are acceptable",
    "other_planes_acceptable": "abdomens, femurs and thoraxes that are acceptable",
    "other_planes_found": "abdomens, femurs and thoraxes with an outline",
    "degraded_large_errors_refused": "errors over 5 % of HC on degraded pictures that are refused",
    "interval_coverage": "90 % intervals that hold",
    "lowest_interval_coverage_of_a_band": "the same in the worst band of 50 heads and more",
}
"""The title of each figure of `evaluation.out_of_fold.summary.TARGETS`."""


def to_fold_names(folds: Sequence[int]) -> str:
    """Return the folds' numbers as words of a sentence, for example `folds 0, 1 and 2`."""
    *others, last = map(str, folds)
    return f"folds {', '.join(others)} and {last}" if others else f"fold {last}"


def to_scope(report: Report, *items: str) -> str:
    """Return a sentence on the folds that were measured, and on those that were not.

    `items` are keys of `ITEMS`.
    """
    data, available = report["data"], report["data"]["available"]
    counts = " and ".join(f"{data[each]:,} of {available[each]:,} {ITEMS[each]}" for each in items)
    if len(data["folds"]) == available["folds"]:
        return f"All {available['folds']} folds were measured: {counts}."
    is_one = len(data["folds"]) == 1
    named = to_fold_names(data["folds"]).capitalize() + (" alone" if is_one else "")
    return (
        f"{named} of {available['folds']} {'was' if is_one else 'were'} measured: {counts}. **The "
        "images and planes of the other folds were not measured.**"
    )


def to_origin(report: Report) -> str:
    """Return the command and the date of a report, in brackets."""
    return f"(`{report['command']}`, {report['date'][:10]})"


def to_provenance(report: Report, *, shipped: str) -> str:
    """Return a sentence on which networks were measured, on what, when and where.

    Parameters
    ----------
    report : mapping
    shipped : str
        Name and version of the shipped model.
    """
    served = report["served"]
    return (
        f"{to_scope(report, *ITEMS)} Each measured picture went over HTTP to the network of its "
        f"fold, which never saw its exam, patient or country: {len(served)} networks "
        f"`{served[0]['name']}`, {served[0]['precision']}, {served[0]['backend']}, on "
        f"{report['machine']['cpu']} {to_origin(report)}. {shipped} ships. It learned from "
        "the images and planes of **all** folds, so none is left to measure it on."
    )


def to_figures_table(report: Report) -> str:
    """Return a table of HC18's figures: of all answers and of the acceptable ones."""
    every, accepted = report["hc18"]["all"], report["hc18"]["of_acceptable"]
    answered = report["hc18"]["answered"]
    lines = [
        "| figure (95 % interval, bootstrap over exams) "
        f"| all answers: {answered['count']} of {answered['of']} images "
        f"| acceptable answers: {report['hc18']['acceptable']['count']} |",
        "|---|---|---|",
    ]
    for name, (title, factor) in FIGURES.items():
        cells = [_to_estimate(each["figures"][name], factor) for each in (every, accepted)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for name, title in SHARES.items():
        cells = [to_share_text(each[name]) for each in (every, accepted)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    worst = [f"{each['figures'][WORST]['value']:.1f}" for each in (every, accepted)]
    return "\n".join([*lines, f"| worst, mm | {' | '.join(worst)} |"])


def to_band_table(report: Report) -> str:
    """Return a table with a row for each band of true circumference."""
    lines = [
        "| true HC, mm | images | no answer | mean absolute error, mm | median, mm "
        "| signed error, mm | intervals that hold | mean width, mm |",
        "|---" * 8 + "|",
    ]
    for band, held in zip(report["hc18"]["bins"], report["intervals"]["bins"], strict=True):
        values = [band["errors"][name]["value"] for name in BIN_FIGURES]
        shown = [
            "-" if value is None else f"{value:{form}}"
            for value, form in zip(values, (".2f", ".2f", "+.2f"), strict=True)
        ]
        width = "-" if held["mean_width_mm"] is None else f"{held['mean_width_mm']:.1f}"
        cells = [held["true_hc_mm"], band["images"], band["without_answer"], *shown]
        cells += [to_share_text(held), width]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def to_target_table(report: Report) -> str:
    """Return a table of the targets, with the missed ones in bold."""
    lines = ["| figure | measured | target | |", "|---|---|---|---|"]
    for target in report["targets"]:
        is_length = target["figure"].endswith("_mm")
        relation, _, limit = target["target"].rpartition(" ")
        cells = [TARGETS[target["figure"]], _to_value(target["value"], is_length=is_length)]
        cells.append(f"{relation} {_to_value(float(limit), is_length=is_length)}")
        lines.append(f"| {' | '.join(cells)} | {'met' if target['met'] else '**missed**'} |")
    return "\n".join(lines)


def to_planes_table(report: Report) -> str:
    """Return a table with a row for each kind of plane of other devices."""
    kinds = report["planes"]["kinds"]
    lines = ["| | pictures | found | acceptable | acceptable, % |", "|---|---|---|---|---|"]
    for kind in KINDS:
        found, accepted = kinds[kind]["found"], kinds[kind]["acceptable"]
        share = "-" if accepted["share"] is None else f"{100 * accepted['share']:.1f}"
        lines.append(
            f"| {PLURALS[kind]} | {kinds[kind]['pictures']} | {found['count']} "
            f"| {accepted['count']} | {share} |"
        )
    return "\n".join(lines)


def to_mistakes(report: Report) -> str:
    """Return the list of mistakes that the counts of planes and heads show."""
    others, heads = report["planes"]["other_planes"], report["planes"]["kinds"][HEAD]
    hc18, annotated = report["hc18"], report["planes"]["annotated_heads"]
    return "\n".join(
        (
            "- **A plane without a head can still be accepted**: "
            f"{to_share_text(others['acceptable'])}. Look at the overlay.",
            "- **Some planes without a head still get an outline**: "
            f"{to_share_text(others['found'])}. All except those above are marked as not "
            "acceptable.",
            f"- **Some heads are refused**: {_to_refused(heads['acceptable'])} of other devices, "
            f"and {_to_refused(hc18['acceptable'])} of HC18.",
            f"- **Some accepted answers are wrong by more than 5 %** of HC: "
            f"{to_share_text(hc18['of_acceptable']['over_5_percent'])} of HC18's.",
            *to_annotated_lines(annotated),
        )
    )


def to_annotated_lines(heads: Report) -> list[str]:
    """Return what the annotated ellipses of other devices' heads say about the intervals."""
    if not heads["found"]:
        return []
    return [
        f"- **On other devices intervals hold less often.** {heads['annotated']} heads have an "
        f"annotated ellipse, without a pixel size; {heads['found']} of them were found. After a "
        f"constant factor ({heads['offset']:.3f}, the median of these heads) the circumferences "
        f"differ by {100 * heads['mean_absolute_error_share']:.1f} % on average, and "
        f"{to_share_text(heads['interval_coverage'])} of the 90 % intervals hold. These "
        "annotations vary by about 3 % themselves."
    ]


def to_refusal_table(report: Report) -> str:
    """Return a table of refusals: clean images, those with marks, and each degradation."""
    lines = [
        "| pictures | refused | of errors over 5 % of HC, refused | of the others, refused |",
        "|---|---|---|---|",
    ]
    degraded = report["degraded"]
    rows = degraded["by_kind"] | {"all degraded": degraded["suite"]}
    for kind, counts in rows.items():
        cells = [_to_counts(counts[name]) for name in REFUSALS]
        lines.append(f"| {KIND_TITLES.get(kind, kind)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def to_refusal_cost_table(costs: Sequence[Report]) -> str:
    """Return a table with a row for each share of clean images that the limits may refuse."""
    titles = (
        "clean images that the limits may refuse where they are fitted",
        "clean images refused",
        *(f"{title}, refused" for title in CAUGHT.values()),
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for cost in costs:
        chosen = f"{100 * cost['chosen_share']:g} %"
        if cost["chosen_share"] == CLEAN_REFUSED_SHARE:
            chosen = f"**{chosen}** (ships)"
        cells = [to_share_text(cost[name]) for name in ("clean_refused", *CAUGHT)]
        lines.append(f"| {chosen} | {' | '.join(cells)} |")
    return "\n".join(lines)


def to_small_band_line(report: Report) -> str:
    """Return a sentence on the intervals in the bands that are too small for a target."""
    small = [band for band in report["intervals"]["bins"] if band["of"] < SMALLEST_BAND]
    held, heads = (sum(band[key] for band in small) for key in ("count", "of"))
    if not heads:
        return f"Each band has {SMALLEST_BAND} heads or more."
    return (
        f"{len(small)} bands have fewer than {SMALLEST_BAND} heads and no target. Of their "
        f"{heads} intervals {held} hold ({100 * held / heads:.1f} %)."
    )


def to_phantom_line(phantoms: Report) -> str:
    """Return a sentence on the errors on the drawn phantoms."""
    summary, model = phantoms["summary"], phantoms["model"]
    return (
        f"`{model['name']}` {model['version']} on {summary['n']} drawn phantoms, on which it was "
        f"not trained: mean absolute error {summary['mean_absolute_error_mm']:.1f} mm, signed "
        f"error {summary['signed_error_mm']:+.1f} mm, worst {summary['worst_mm']:.1f} mm, not "
        f"measured {summary['not_measured']} (`python -m evaluation.phantoms`)."
    )


REFUSALS = ("refused", "large_errors_caught", "others_refused")
KIND_TITLES = {
    "clean": "HC18, unchanged",
    "marks": "HC18, with text and callipers",
    "other device": "heads of other devices, measured well",
}


def to_share_text(share: Report) -> str:
    """Return a count, its total, and its share in per cent."""
    if share["share"] is None:
        return "-"
    return f"{share['count']} of {share['of']} ({100 * share['share']:.1f} %)"


def _to_refused(acceptable: Report) -> str:
    refused = acceptable["of"] - acceptable["count"]
    return to_share_text(
        {"count": refused, "of": acceptable["of"], "share": refused / acceptable["of"]}
    )


def _to_counts(share: Report) -> str:
    return f"{share['count']} of {share['of']}"


def _to_estimate(figure: Report, factor: float) -> str:
    if figure["value"] is None:
        return "-"
    value, low, high = (figure[key] * factor for key in ("value", "low", "high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _to_value(value: float | None, *, is_length: bool) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} mm" if is_length else f"{100 * value:.1f} %"


def to_blocks(report: Report, fitted: Report, phantoms: Report, *, shipped: str) -> dict[str, str]:
    """Return the Markdown of each block by its name in the pages.

    Parameters
    ----------
    report, fitted : mapping
        What `measure` and `fit` wrote.
    phantoms : mapping
        The report of `evaluation.phantoms`.
    shipped : str
        Name and version of the shipped model.
    """
    return {
        "accuracy": _join(
            to_provenance(report, shipped=shipped),
            to_figures_table(report),
            "Errors by size of the head (all answers), and how many 90 % intervals hold:",
            to_band_table(report),
            "The project's targets:",
            to_target_table(report),
            to_small_band_line(report),
            to_phantom_line(phantoms),
        ),
        "planes": _join(
            f"{to_scope(report, 'planes')} {to_origin(report)}",
            to_planes_table(report),
            to_mistakes(report),
        ),
        "refusals": _join(
            f"{to_scope(report, *ITEMS)} {to_origin(report)}", to_refusal_table(report)
        ),
        "refusal-cost": _join(
            f"{to_scope(fitted, 'images')} {to_origin(fitted)}",
            to_refusal_cost_table(fitted["refusals"]),
        ),
    }


def _join(*parts: str) -> str:
    return "\n\n".join(parts)
