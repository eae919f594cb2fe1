"""Evaluate a network on a fold's held-out images, in float32, with the stages of the pipeline.

`python -m training.evaluate_fold --fold 0 --weights FILE --hc18 DIR --planes DIR --out FILE.csv`
writes one row per image and prints a summary. It is fast and meant for choices during training;
published figures are measured through the service.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from headcirc.ellipse import fit_head_ellipse
from headcirc.geometry import Ellipse, to_ellipse_perimeter
from headcirc.mask import to_frame_grid, to_head_mask
from headcirc.model.manifest import load_manifest
from headcirc.network_input import to_network_input
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.raster import to_filled_ellipse
from training.checkpoint import load_record, load_trained
from training.data.canvas import GRID
from training.data.folds import FOLDS, HELD_OUT, to_held_out_items
from training.data.hc18 import HC18_KIND, HC18Image, load_images, load_pixels, to_true_ellipse
from training.data.planes import HEAD, KINDS, Plane, load_planes
from training.lineage import read_older_seen, require_unseen
from training.pseudo_labels import to_dice

MASK = load_manifest(SHIPPED_MODEL_DIR).mask
Answer = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], float | None]]


@dataclass(frozen=True)
class Row:
    """The result for one image; None where a value does not apply.

    Attributes
    ----------
    name, kind : str
        File name; `hc18` or the plane's kind.
    is_found : bool
        Whether mask and ellipse were found.
    mean_probability : float or None
        Mean over the head's pixels.
    plane_probability : float or None
        Probability that the image is a head plane; None if the network has no such output.
    true_mm, error_mm : float or None
        HC18's circumference, and measured minus true.
    dice : float or None
        Dice overlap of the fitted and the annotated ellipse, in the frame.
    """

    name: str
    kind: str
    is_found: bool
    mean_probability: float | None
    plane_probability: float | None
    true_mm: float | None = None
    error_mm: float | None = None
    dice: float | None = None


def to_answer(network: nn.Module, *, is_mirrored_too: bool = False) -> Answer:
    """Return a function from (1, 1, h, w) network input to probability map and plane probability.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, with or without the head-plane output.
    is_mirrored_too : bool
        Average the results for the image and its mirror image.
    """

    @torch.no_grad()
    def answer(network_input: NDArray[np.float32]) -> tuple[NDArray[np.float32], float | None]:
        views = torch.from_numpy(network_input)
        if is_mirrored_too:
            views = torch.cat((views, views.flip(-1)))
        output = network(views)
        logits, plane_logits = output if isinstance(output, tuple) else (output, None)
        maps = torch.sigmoid(logits)[:, 0]
        if is_mirrored_too:
            maps = torch.stack((maps[0], maps[1].flip(-1)))
        plane = None if plane_logits is None else float(torch.sigmoid(plane_logits).mean())
        return maps.mean(dim=0).numpy(), plane

    return answer


@dataclass(frozen=True)
class _Found:
    """The ellipse and the probabilities found in one frame of `shape`."""

    ellipse: Ellipse | None
    mean_probability: float | None
    plane_probability: float | None
    shape: tuple[int, ...]

    def to_dice(self, true: Ellipse | None) -> float | None:
        """Return the Dice overlap with the annotated ellipse, or None if one is missing."""
        if self.ellipse is None or true is None:
            return None
        return to_dice(*(_to_mask(each, self.shape) for each in (self.ellipse, true)))


def judge(answer: Answer, item: HC18Image | Plane) -> Row:
    """Measure one image with the stages of the pipeline."""
    found = _find_head(answer, load_pixels(item.path))
    measured = (found.ellipse is not None, found.mean_probability, found.plane_probability)
    if isinstance(item, Plane):
        return Row(item.file, item.kind, *measured, dice=found.to_dice(item.ellipse))
    true, error_mm = to_true_ellipse(load_pixels(item.annotation_path)), None
    if found.ellipse is not None:
        axes_px = found.ellipse.semi_axis_major_px, found.ellipse.semi_axis_minor_px
        measured_mm = to_ellipse_perimeter(*axes_px) * item.pixel_size_mm
        error_mm = measured_mm - item.head_circumference_mm
    return Row(
        item.name,
        HC18_KIND,
        *measured,
        true_mm=item.head_circumference_mm,
        error_mm=error_mm,
        dice=found.to_dice(true),
    )


def _find_head(answer: Answer, pixels: NDArray[np.uint8]) -> _Found:
    network_input, mapping = to_network_input(pixels, GRID)
    probability_map, plane_probability = answer(network_input)
    probabilities = to_frame_grid(probability_map, mapping)
    mask = to_head_mask(probabilities, MASK)
    if mask is None:
        return _Found(None, None, plane_probability, pixels.shape)
    ellipse = fit_head_ellipse(probabilities, mask, MASK.threshold)
    return _Found(ellipse, mask.mean_probability, plane_probability, pixels.shape)


def _to_mask(ellipse: Ellipse, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    box, inside = to_filled_ellipse(ellipse, shape[0], shape[1])
    mask = np.zeros(shape, np.bool_)
    mask[box] = inside
    return mask


def summarise(rows: Sequence[Row]) -> list[str]:
    """Return the lines of a short summary."""
    heads = [row for row in rows if row.kind == HC18_KIND]
    found = [row for row in heads if row.error_mm is not None]
    lines = []
    if found:
        errors = np.array([row.error_mm for row in found])
        shares = np.abs(errors) / np.array([row.true_mm for row in found])
        over_5, over_10 = (int((shares > limit).sum()) for limit in (0.05, 0.10))
        lines.append(
            f"hc18: {len(heads)} images, {len(found)} found; absolute error "
            f"{np.abs(errors).mean():.2f} mm, bias {errors.mean():+.2f} mm, "
            f"Dice {100 * np.mean([row.dice for row in found]):.2f} %; over 5 %: {over_5}, "
            f"over 10 %: {over_10}"
        )
    for kind in (HC18_KIND, *KINDS):
        of_kind = [row for row in rows if row.kind == kind]
        if of_kind:
            planes = [row.plane_probability for row in of_kind if row.plane_probability is not None]
            called = f", called head planes {sum(p > 0.5 for p in planes)}" if planes else ""
            is_foreign = kind == HEAD and any(row.dice is not None for row in of_kind)
            dices = [row.dice for row in of_kind if row.dice is not None]
            dice = f", Dice {100 * np.mean(dices):.2f} %" if is_foreign else ""
            found_count = sum(row.is_found for row in of_kind)
            lines.append(f"{kind}: found {found_count} of {len(of_kind)}{called}{dice}")
    return lines


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write one CSV row per image; None is written as an empty field."""
    with path.open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow([each.name for each in fields(Row)])
        writer.writerows([getattr(row, each.name) for each in fields(Row)] for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate a network on a fold."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate_fold", description=__doc__)
    parser.add_argument("--fold", type=int, choices=range(FOLDS), required=True)
    parser.add_argument(
        "--weights", type=Path, required=True, help="weights of training.train_fold"
    )
    parser.add_argument(
        "--held-out",
        choices=list(HELD_OUT),
        default="folds",
        help="see training.train_fold (default folds)",
    )
    parser.add_argument("--hc18", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--planes", type=Path, required=True, help="folder of the planes")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--mirror", action="store_true", help="average with the mirror image")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    folds = HELD_OUT[chosen.held_out]()
    seen = load_record(chosen.weights).seen or read_older_seen(chosen.weights)
    require_unseen(seen, folds, chosen.fold, who=chosen.weights.name)
    items = [*load_images(chosen.hc18), *load_planes(chosen.planes)]
    answer = to_answer(load_trained(chosen.weights), is_mirrored_too=chosen.mirror)
    held_out = to_held_out_items(items, folds, chosen.fold)
    rows = [judge(answer, item) for item in tqdm(held_out, "held out", mininterval=30)]
    write_rows(chosen.out, rows)
    print("\n".join(summarise(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
