"""Plot the report on saliency maps: deletion, insertion and randomised weights.

The plots are drawn from the report and need no display.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from evaluation.explanations.curves import BASELINES, KINDS
from evaluation.explanations.randomised import ANOTHER

DOTS_PER_INCH = 150
SIZE_INCHES = (10.0, 4.8)
BASELINE_STYLES = dict(zip(BASELINES, (":", "--", "-.", "-"), strict=True))


def plot_curves(report: Mapping[str, Any], path: Path) -> None:
    """Write a plot of the mean deletion and insertion curves of all maps, as PNG."""
    figure = Figure(SIZE_INCHES, layout="constrained")
    panels = figure.subplots(1, len(KINDS), sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        curves = report["curves"][kind]
        layers = [name for name in curves if name not in BASELINES]
        colours = colormaps["viridis"](np.linspace(0, 0.9, len(layers)))
        styles: dict[str, dict[str, Any]] = {
            name: {"color": colour} for name, colour in zip(layers, colours, strict=True)
        }
        styles |= {
            name: {"color": "0.35", "linestyle": BASELINE_STYLES[name]} for name in BASELINES
        }
        for name, style in styles.items():
            axes.plot(report["shares"], curves[name]["curve"], label=name, **style)
        action = "removed" if kind == "deletion" else "added"
        axes.set_xlabel(f"share of the pixels {action}, highest map values first")
        axes.set_title(kind)
    panels[0].set_ylabel("mean probability over the predicted head")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    images = report["data"]["images"]
    figure.suptitle(f"Deletion and insertion, {images} images (grey: baselines)")
    figure.savefig(path, dpi=DOTS_PER_INCH)


def plot_randomised(report: Mapping[str, Any], path: Path) -> None:
    """Write a plot of the rank correlation with the trained network's maps by stage, as PNG."""
    figure = Figure(SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    stages = report["randomised"]
    layers = list(stages[ANOTHER])
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(layers)))
    names = [name for name in stages if name != ANOTHER]
    for layer, colour in zip(layers, colours, strict=True):
        values = [stages[name][layer]["value"] for name in names]
        known = [np.nan if value is None else value for value in values]
        axes.plot(range(len(names)), known, marker="o", color=colour, label=layer)
        reference = stages[ANOTHER][layer]["value"]
        if reference is not None:
            axes.axhline(reference, color=colour, linestyle=":", linewidth=1)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("weights randomised from the output down to and including this level")
    axes.set_ylabel("rank correlation with the trained network's map")
    axes.set_title("Randomised weights (dotted: the trained network's map of another picture)")
    figure.legend(loc="outside right upper", fontsize=8, title="map at")
    figure.savefig(path, dpi=DOTS_PER_INCH)
