"""Draw the figures of the comparison from the saved rows; no display is needed."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from evaluation.comparison.curves import to_precision_recall, to_roc
from evaluation.comparison.measure import PHANTOMS
from evaluation.comparison.rows import Measured
from evaluation.comparison.summary import FIGURES, PIXEL_COUNTS, to_values
from examples.phantom import draw_phantom, load_parameters

DOTS_PER_INCH = 130
BOXED = ("dice", "hausdorff_mm", "assd_mm")
MAP_STRENGTH = 0.6
Report = Mapping[str, Any]


def draw_figures(
    networks: Sequence[Measured], report: Report, latency: Report | None, out_dir: Path
) -> list[Path]:
    """Write all figures as PNG and return their paths; without times, one figure is left out."""
    figures = {
        "boxes": draw_boxes(networks),
        "hausdorff_assd": draw_scatter(networks),
        "curves": draw_curves(networks),
        "reliability": draw_reliability(report),
        "confusion": draw_confusion(report),
        "grad_cam": draw_maps(networks),
        "concentration": draw_concentration(networks),
    }
    if latency is not None:
        figures["latency"] = draw_latency(report, latency)
    out_dir.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(out_dir / f"{name}.png")
        figure.savefig(paths[-1], dpi=DOTS_PER_INCH)
    return paths


def to_colours(count: int) -> list[Any]:
    """Return a colour for each network."""
    return [colormaps["tab10"](index) for index in range(count)]


def draw_boxes(networks: Sequence[Measured]) -> Figure:
    """Draw box plots of Dice, Hausdorff distance and average surface distance."""
    figure = Figure((11.0, 4.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(BOXED)), BOXED, strict=True):
        values = [[v for v in to_values(each.rows, name) if v is not None] for each in networks]
        axes.boxplot(values, tick_labels=[each.title for each in networks], showmeans=True)
        axes.tick_params(axis="x", rotation=45)
        axes.set_ylabel(FIGURES[name][0])
    figure.suptitle(f"{len(networks[0].rows)} images (box: quartiles; triangle: mean)")
    return figure


def draw_scatter(networks: Sequence[Measured]) -> Figure:
    """Draw the Hausdorff distance against the average surface distance."""
    figure = Figure((7.5, 5.0), layout="constrained")
    axes = figure.subplots()
    for each, colour in zip(networks, to_colours(len(networks)), strict=True):
        both = [to_values(each.rows, name) for name in ("assd_mm", "hausdorff_mm")]
        if any(value is not None for value in both[0]):
            x_mm, y_mm = np.array(both, np.float64)
            axes.scatter(x_mm, y_mm, s=14, color=colour, alpha=0.6, label=each.title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(FIGURES["assd_mm"][0])
    axes.set_ylabel(FIGURES["hausdorff_mm"][0])
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def draw_curves(networks: Sequence[Measured]) -> Figure:
    """Draw ROC and precision-recall curves of the pixels of all images."""
    figure = Figure((11.0, 4.8), layout="constrained")
    roc, recall = figure.subplots(1, 2)
    for each, colour in zip(networks, to_colours(len(networks)), strict=True):
        pooled = each.counts.sum(axis=0)
        roc.plot(*to_roc(pooled), color=colour, label=each.title)
        recall.plot(*to_precision_recall(pooled), color=colour)
    roc.set_xscale("symlog", linthresh=1e-3)
    roc.set(xlabel="false positive rate", ylabel="true positive rate", ylim=(0.8, 1.005))
    recall.set(xlabel="recall", ylabel="precision", xlim=(0.8, 1.005), ylim=(0.8, 1.005))
    figure.suptitle("All pixels of all images; most of them are easy, so only the corner is shown")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def draw_reliability(report: Report) -> Figure:
    """Draw the share of head pixels against the predicted probability."""
    figure = Figure((6.5, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="0.7", linewidth=1)
    networks = report["networks"]
    for each, colour in zip(networks, to_colours(len(networks)), strict=True):
        bins = each["curves"]["reliability"]
        label = f"{each['title']} (ECE {each['calibration']['value']:.4f})"
        points = [[row[name] for row in bins] for name in ("probability", "head_share")]
        axes.plot(*points, marker="o", markersize=3, color=colour, label=label)
    axes.set(xlabel="predicted probability", ylabel="share of head pixels")
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def draw_confusion(report: Report) -> Figure:
    """Draw the confusion matrix of all pixels of each network, as shares."""
    networks = report["networks"]
    figure = Figure((2.6 * len(networks), 3.0), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(networks)))
    for axes, each in zip(panels, networks, strict=True):
        matrix = to_confusion_matrix(each["pixels"])
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        for row in range(2):
            for column in range(2):
                share = matrix[row, column]
                shade = "white" if share > 0.5 else "black"  # noqa: PLR2004 - on dark or light
                axes.text(column, row, f"{100 * share:.2f} %", ha="center", color=shade)
        axes.set_title(each["title"], fontsize=9)
        axes.set_xticks((0, 1), ("head", "other"))
        axes.set_yticks((0, 1), ("head", "other"))
        axes.set_xlabel("predicted")
    panels[0].set_ylabel("annotated")
    return figure


def to_confusion_matrix(pixels: Mapping[str, int]) -> NDArray[np.float64]:
    """Return the shares of all pixels: annotated in rows, predicted in columns, head first."""
    counts = [pixels[name] for name in PIXEL_COUNTS]
    true_positive, false_positive, false_negative, true_negative = counts
    matrix = [[true_positive, false_negative], [false_positive, true_negative]]
    return np.array(matrix, np.float64) / sum(counts)


def draw_maps(networks: Sequence[Measured]) -> Figure:
    """Draw the Grad-CAM maps of the same phantoms for every network."""
    shown = [each for each in networks if each.phantom_maps.size]
    columns = max(1, len(shown))
    figure = Figure((2.4 * columns, 1.8 * len(PHANTOMS) + 0.5), layout="constrained")
    panels = np.atleast_2d(figure.subplots(len(PHANTOMS), columns))
    every = load_parameters()
    for row, index in zip(panels.reshape(len(PHANTOMS), columns), PHANTOMS, strict=True):
        picture = draw_phantom(every[index])
        for axes, each in zip(row, shown, strict=False):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            saliency = each.phantom_maps[PHANTOMS.index(index)] / 255
            axes.imshow(saliency, cmap="inferno", vmin=0, vmax=1, alpha=MAP_STRENGTH * saliency)
            if index == PHANTOMS[0]:
                axes.set_title(each.title, fontsize=9)
        for axes in row:
            axes.set_axis_off()
    figure.suptitle("Grad-CAM at the bottleneck, drawn phantoms")
    return figure


def draw_concentration(networks: Sequence[Measured]) -> Figure:
    """Draw the share of each Grad-CAM map inside the head and at its edge."""
    figure = Figure((9.0, 4.6), layout="constrained")
    named = (("head_share", "in the head"), ("edge_share", "at its edge"))
    for axes, (name, title) in zip(figure.subplots(1, 2), named, strict=True):
        values = [
            [v for v in (getattr(row, name) for row in each.rows) if v is not None]
            for each in networks
        ]
        axes.boxplot(values, tick_labels=[each.title for each in networks], showmeans=True)
        axes.tick_params(axis="x", rotation=45)
        axes.set_ylabel(f"share of the map {title}")
        area = [getattr(row, name.replace("share", "area_share")) for row in networks[0].rows]
        known = [value for value in area if value is not None]
        if known:
            axes.axhline(np.mean(known), color="0.6", linestyle="--", linewidth=1)
    figure.suptitle("Concentration of Grad-CAM (dashed: mean share of the area)")
    return figure


def draw_latency(report: Report, latency: Report) -> Figure:
    """Draw the mean absolute error against the median time of a request, one marker per engine.

    Only engines of the precision in which the errors were measured are drawn.
    """
    figure = Figure((8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    errors = {
        each["name"]: (each["title"], each["figures"]["absolute_error_mm"])
        for each in report["networks"]
        if each["figures"]["absolute_error_mm"]["value"] is not None
    }
    precisions = {each["facts"]["model"]["precision"] for each in report["networks"]}
    rows = [
        row
        for row in latency["engines"]
        if row["request_ms"] and row["model"] in errors and row["precision"] in precisions
    ]
    colours = dict(zip(errors, to_colours(len(errors)), strict=True))
    kinds = list(dict.fromkeys((row["backend"], row["precision"]) for row in rows))
    for kind, marker in zip(kinds, cycle("osD^v<>*"), strict=False):
        for row in (row for row in rows if (row["backend"], row["precision"]) == kind):
            title, figure_mm = errors[row["model"]]
            point = (row["request_ms"]["p50"], figure_mm["value"])
            label = f"{title}, {' '.join(kind)}"
            axes.plot(*point, marker, color=colours[row["model"]], label=label)
    axes.set_title(f"{' and '.join(sorted(precisions))} only, as the errors", fontsize=9)
    if rows:
        figure.legend(loc="outside right upper", fontsize=8)
    axes.set(xlabel="median time of a request, ms", ylabel="HC mean absolute error, mm")
    return figure
