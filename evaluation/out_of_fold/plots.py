"""Plot which out-of-fold answers are accepted, how wrong they are, and what refusals cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.accuracy_plots import DOTS_PER_INCH, SIZE_INCHES
from evaluation.accuracy_summary import ImageResult
from evaluation.out_of_fold.summary import LARGE_SHARE
from evaluation.out_of_fold.verdicts import (
    CAUGHT,
    LARGEST_CLEAN_REFUSED_SHARE,
    LOWEST_CAUGHT_SHARE,
)

NAMED = 5
"""Number of the worst accepted and of the best refused answers that are named."""
VERDICTS = ((True, "accepted", "#2a6fb0", "o"), (False, "refused", "#c2410c", "x"))
"""Whether an answer is acceptable, with its name, colour and marker."""


def plot_verdicts(rows: Sequence[ImageResult], path: Path) -> None:
    """Plot each answer's error in per cent against the true circumference, as PNG.

    The worst accepted and the best refused answers have the names of their images.
    """
    figure = Figure(SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    answered = [row for row in rows if row.error_mm is not None]
    for acceptable, name, color, marker in VERDICTS:
        chosen = [row for row in answered if row.acceptable == acceptable]
        label = f"{name} (n = {len(chosen)})"
        sizes_mm = [row.true_hc_mm for row in chosen]
        errors = [to_error_percent(row) for row in chosen]
        axes.scatter(sizes_mm, errors, s=16, alpha=0.7, color=color, marker=marker, label=label)
    _name(axes, find_worst_accepted(answered), color="#1e3a5f")
    _name(axes, find_best_refused(answered), color="#7c2d12")
    for limit in (-100 * LARGE_SHARE, 0, 100 * LARGE_SHARE):
        axes.axhline(limit, color="0.75", linewidth=0.8, zorder=0)
    axes.set_xlabel("annotated head circumference, mm")
    axes.set_ylabel("measured minus annotated, % of HC")
    axes.set_title(f"Accepted and refused answers, {len(answered)} HC18 images, out of fold")
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=DOTS_PER_INCH)


def to_error_percent(row: ImageResult) -> float:
    """Return the signed error in per cent; the row must have an answer."""
    assert row.error_mm is not None, "a row without an answer has no error"
    return 100 * row.error_mm / row.true_hc_mm


def find_worst_accepted(rows: Sequence[ImageResult]) -> list[ImageResult]:
    """Return the accepted answers with the largest errors, the largest first."""
    accepted = [row for row in rows if row.acceptable]
    return sorted(accepted, key=lambda row: -abs(to_error_percent(row)))[:NAMED]


def find_best_refused(rows: Sequence[ImageResult]) -> list[ImageResult]:
    """Return the refused answers with the smallest errors, the smallest first."""
    refused = [row for row in rows if not row.acceptable]
    return sorted(refused, key=lambda row: abs(to_error_percent(row)))[:NAMED]


def _name(axes: Axes, rows: Sequence[ImageResult], *, color: str) -> None:
    for row in rows:
        axes.annotate(
            row.name.removesuffix(".png"),
            (row.true_hc_mm, to_error_percent(row)),
            xytext=(5, -2),
            textcoords="offset points",
            fontsize=6,
            color=color,
        )


def plot_refusal_cost(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the refused large errors against the refused clean images, with targets, as PNG.

    The rows are those of `evaluation.out_of_fold.fit.judge_refusals`.
    """
    figure = Figure(SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    refused = [100 * row["clean_refused"]["share"] for row in rows]
    for key, label in CAUGHT.items():
        axes.plot(refused, [100 * row[key]["share"] for row in rows], marker="o", label=label)
    target = [0, 100 * LARGEST_CLEAN_REFUSED_SHARE], 100 * LOWEST_CAUGHT_SHARE, 100
    axes.fill_between(*target, color="0.85", linewidth=0, zorder=0, label="target")
    axes.set_xlabel("clean images refused, %")
    axes.set_ylabel("large errors refused, %")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 102)
    axes.set_title("Cost of refusals, each fold judged by limits that were fitted without it")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=DOTS_PER_INCH)
