"""Plot the errors: Bland-Altman, and error by band of head circumference.

The plots are drawn from rows and summaries and need no display.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.accuracy_summary import ImageResult, to_bin_label
from evaluation.metrics import to_bin_members

DOTS_PER_INCH = 150
SIZE_INCHES = (8.0, 5.0)
JITTER_BINS = 0.16
COLOURS = [colormaps["viridis"](share) for share in np.linspace(0, 0.9, 6)]


def plot_bland_altman(
    rows: Sequence[ImageResult],
    summary: Mapping[str, Any],
    bins: Sequence[Mapping[str, Any]],
    path: Path,
) -> None:
    """Write a Bland-Altman plot of the circumferences, with bias and limits, as PNG."""
    figure = Figure(SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    answered = [row for row in rows if row.error_mm is not None]
    for colour, band, members in zip(COLOURS, bins, _to_members(answered), strict=True):
        chosen = [answered[i] for i in members]
        if chosen:
            means = [row.true_hc_mm + row.error_mm / 2 for row in chosen]
            errors = [row.error_mm for row in chosen]
            label = f"{to_bin_label(band)} mm (n = {len(chosen)})"
            axes.scatter(means, errors, s=18, color=colour, alpha=0.8, label=label)
    _draw_limits(axes, summary["figures"])
    axes.set_xlabel("mean of measured and annotated head circumference, mm")
    axes.set_ylabel("measured minus annotated, mm")
    axes.set_title(f"Agreement with HC18's annotation, {len(answered)} images")
    if answered:
        figure.legend(title="annotated HC", loc="outside right upper", fontsize=8, title_fontsize=8)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_limits(axes: Axes, figures: Mapping[str, Any]) -> None:
    lines = {
        "bias": ("bias_mm", "-"),
        "+1.96 SD": ("limit_of_agreement_high_mm", "--"),
        "-1.96 SD": ("limit_of_agreement_low_mm", "--"),
    }
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    for label, (name, style) in lines.items():
        value = figures[name]["value"]
        if value is not None:
            axes.axhline(value, color="0.25", linestyle=style, linewidth=1)
            axes.annotate(
                f"{label}: {value:+.2f} mm",
                xy=(0.995, value),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )


def plot_errors_by_bin(
    rows: Sequence[ImageResult], bins: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Write a box plot of the signed errors by band of circumference, as PNG."""
    figure = Figure(SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    answered = [row for row in rows if row.error_mm is not None]
    jitter = np.random.default_rng(0).uniform(-JITTER_BINS, JITTER_BINS, len(answered))
    labels = []
    for at, (band, members) in enumerate(zip(bins, _to_members(answered), strict=True)):
        errors = [answered[i].error_mm for i in members]
        labels.append(f"{to_bin_label(band)}\nn = {len(errors)}")
        if errors:
            axes.boxplot(
                errors, positions=[at], widths=0.5, showfliers=False, medianprops={"color": "0.2"}
            )
            axes.scatter(at + jitter[members], errors, s=12, color=COLOURS[at], alpha=0.7)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(bins)), labels)
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.set_xlabel("annotated head circumference, mm")
    axes.set_ylabel("measured minus annotated, mm")
    axes.set_title("Error by size of the head (box: quartiles; whiskers: 1.5 times their range)")
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _to_members(rows: Sequence[ImageResult]) -> list[np.ndarray]:
    return to_bin_members([row.true_hc_mm for row in rows])
