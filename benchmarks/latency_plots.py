"""Plot the latency report: distributions, accuracy against latency, and batches.

The plots are drawn from the JSON report and need no display.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.engines import KINDS

DOTS_PER_INCH = 150
WIDTH_INCHES = 8.0
LINE_INCHES = 0.34
BUDGET_MS = 23.0
Row = Mapping[str, Any]
COLOURS = {
    (kind.backend, kind.precision): colormaps["tab20"](2 * at % 20 + 2 * at // 20)
    for at, kind in enumerate(KINDS)
}
MARKERS = "osD^vP*X"


def plot_latency(report: Mapping[str, Any], out_dir: Path) -> None:
    """Draw each of the three plots for which the report has data."""
    measured = [row for row in report["engines"] if row["network_ms"]]
    if measured:
        plot_distributions(measured, out_dir / "latency_distribution.png")
    if any(row["accuracy"] for row in measured):
        plot_accuracy(measured, out_dir / "latency_accuracy.png")
    if any(row["batches_ms"] for row in measured):
        plot_batches(measured, out_dir / "latency_batch.png")


def plot_distributions(rows: Sequence[Row], path: Path) -> None:
    """Draw two boxes per engine: the network alone and the whole request."""
    boxes = [
        (f"{row['engine']}, {part}", row[key], shade)
        for row in rows
        for part, key, shade in (("network", "network_ms", "C0"), ("request", "request_ms", "C1"))
        if row[key]
    ]
    figure = Figure((WIDTH_INCHES, 1.4 + LINE_INCHES * len(boxes)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.bxp(
        [_to_box(label, summary) for label, summary, _ in boxes],
        orientation="horizontal",
        showfliers=False,
        patch_artist=True,
        widths=0.6,
        medianprops={"color": "black"},
    )
    for patch, (_, _, shade) in zip(drawn["boxes"], boxes, strict=True):
        patch.set_facecolor(shade)
    axes.plot(
        [box["p99"] for _, box, _ in boxes], range(1, len(boxes) + 1), "kd", ms=4, label="p99"
    )
    axes.invert_yaxis()
    scale_logarithmically(axes, "x")
    _mark_budget(axes)
    axes.set_xlabel("milliseconds (box: quartiles; whiskers: 5 % to 95 %)")
    axes.tick_params(axis="y", labelsize=8)
    figure.suptitle("Latency of one image", fontsize=11)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _to_box(label: str, summary: Mapping[str, float]) -> dict[str, Any]:
    return {
        "label": label,
        "med": summary["p50"],
        "q1": summary["p25"],
        "q3": summary["p75"],
        "whislo": summary["p5"],
        "whishi": summary["p95"],
    }


def scale_logarithmically(axes: Axes, name: str) -> None:
    """Make an axis logarithmic, with labels at 1, 2 and 5."""
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
    axes.grid(axis="both", color="0.9")
    axes.set_axisbelow(True)


def _mark_budget(axes: Axes) -> None:
    axes.axvline(BUDGET_MS, color="0.4", linestyle="--", linewidth=1, label=f"{BUDGET_MS:g} ms")


def plot_accuracy(rows: Sequence[Row], path: Path) -> None:
    """Plot the recorded error with its interval against the network's latency."""
    parts = [row["accuracy"]["part"] for row in rows if row["accuracy"]]
    part = max(set(parts), key=parts.count)  # errors on different images cannot be compared
    known = [row for row in rows if row["accuracy"] and row["accuracy"]["part"] == part]
    models = list(dict.fromkeys(row["model"] for row in known))
    figure = Figure((WIDTH_INCHES, 5.5), layout="constrained")
    axes = figure.subplots()
    for row in known:
        error_mm = row["accuracy"]["mean_absolute_error_mm"]
        low_mm, high_mm = row["accuracy"]["interval_mm"]
        axes.errorbar(
            row["network_ms"]["p50"],
            error_mm,
            [[error_mm - low_mm], [high_mm - error_mm]],
            fmt=MARKERS[models.index(row["model"]) % len(MARKERS)],
            color=COLOURS[row["backend"], row["precision"]],
            label=row["engine"],
            markersize=8,
            capsize=3,
            linewidth=1,
        )
    axes.set_ylim(bottom=0)
    scale_logarithmically(axes, "x")
    _mark_budget(axes)
    axes.set_xlabel("network alone, p50, milliseconds")
    axes.set_ylabel(f"HC mean absolute error ({part.replace('_', ' ')}), mm; 95 % interval")
    axes.set_title(
        "Accuracy against latency (error as recorded at the same precision)", fontsize=11
    )
    figure.legend(loc="outside lower center", ncols=2, fontsize=7)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def plot_batches(rows: Sequence[Row], path: Path) -> None:
    """Plot the time per image against the batch size, one line per engine."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure((WIDTH_INCHES, 5.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        sizes = {int(size): each for size, each in row["batches_ms"].items() if each}
        if sizes:
            axes.plot(
                list(sizes),
                [each / size for size, each in sizes.items()],
                marker=MARKERS[models.index(row["model"]) % len(MARKERS)],
                color=COLOURS[row["backend"], row["precision"]],
                label=row["engine"],
            )
    axes.set_xticks(sorted({int(size) for row in rows for size in row["batches_ms"]}))
    scale_logarithmically(axes, "y")
    axes.set_xlabel("images in a batch")
    axes.set_ylabel("network alone, p50, milliseconds per image")
    axes.set_title("Latency against batch size", fontsize=11)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7)
    figure.savefig(path, dpi=DOTS_PER_INCH)
