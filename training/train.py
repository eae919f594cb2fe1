"""Train the network on HC18's training exams; choose the epoch on its calibration exams.

`python -m training.train --data DIR --run DIR`. A run's folder gets `recipe.json`, `log.csv` (one
line an epoch), `last.pt` (everything that `--resume` needs), `best.safetensors` (the averaged
weights of the best epoch) and at the end `last.safetensors` (those of the last). Once the recipe
is fixed, `--parts` adds the exams that chose it: then no epoch is chosen, the last one's weights
are the result, and figures on those exams are training figures.
"""

import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from training.arguments import to_parser, to_recipe
from training.checkpoint import save_weights
from training.data.dataset import Heads, draw_addresses
from training.data.hc18 import load_part, to_input_facts
from training.distill import Teacher, load_teacher, to_distilled_loss
from training.losses import to_circumference_loss, to_loss
from training.recipe import Recipe
from training.training_state import Progress, start

LAST_NAME = "last.pt"
TRAINING_FIGURES = (
    "Warning: this run trains on {parts}; what it reaches on those exams is a training figure, and "
    "no epoch is chosen: last.safetensors is the result."
)


@dataclass(frozen=True)
class RunPaths:
    """What a run reads and where it writes.

    Attributes
    ----------
    data_dir : Path
        HC18's folder.
    run_dir : Path
        The run's own folder.
    start_from : Path or None
        Weights (safetensors) to begin with in place of random ones.
    teacher : tuple of Path
        Weights of the recipe's teacher, a file for each of its networks; empty without one.
    """

    data_dir: Path
    run_dir: Path
    start_from: Path | None = None
    teacher: tuple[Path, ...] = ()


def train_epoch(
    progress: Progress,
    batches: Iterable[tuple[Tensor, Tensor]],
    recipe: Recipe,
    teacher: Teacher | None = None,
) -> float:
    """Take one pass over the batches and return their mean loss."""
    progress.network.train()
    losses = []
    for network_input, coverage in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            logits = progress.network(network_input.to(memory_format=torch.channels_last)).float()
        loss = to_batch_loss(recipe, teacher, network_input, logits, coverage)
        progress.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(progress.network.parameters(), recipe.gradient_clip)
        progress.optimiser.step()
        progress.schedule.step()
        progress.average.update_parameters(progress.network)
        losses.append(loss.item())
    mean_loss = float(np.mean(losses))
    if not math.isfinite(mean_loss):
        raise FloatingPointError("The loss is no longer finite; lower --learning-rate.")
    return mean_loss


def to_batch_loss(
    recipe: Recipe,
    teacher: Teacher | None,
    network_input: Tensor,
    logits: Tensor,
    coverage: Tensor,
) -> Tensor:
    """Return what the recipe minimises on one batch."""
    if teacher is None:
        loss = to_loss(logits, coverage)
    else:
        answers = teacher.to_probabilities(network_input)
        loss = to_distilled_loss(logits, coverage, answers, weight=recipe.distillation_weight)
    if recipe.circumference_weight == 0:
        return loss
    error = to_circumference_loss(logits, coverage, to_input_facts().pixel_aspect)
    return loss + recipe.circumference_weight * error


@torch.no_grad()
def measure_dice(network: torch.nn.Module, heads: Heads) -> float:
    """Return the mean Dice at threshold 0.5 on the network's grid, for choosing an epoch only.

    Published figures come from `evaluation.accuracy`, which measures in the frame.
    """
    network.eval()
    dices = []
    for batch in DataLoader(heads, batch_size=8, sampler=[(i, 0) for i in range(len(heads))]):  # type: ignore[arg-type]
        network_input, coverage = batch
        logits = network(network_input.to(memory_format=torch.channels_last))
        predicted, true = logits > 0, coverage > 0.5
        overlap = (predicted & true).sum(dim=(1, 2, 3))
        dices += (2 * overlap / (predicted.sum(dim=(1, 2, 3)) + true.sum(dim=(1, 2, 3)))).tolist()
    return float(np.mean(dices))


def train(paths: RunPaths, recipe: Recipe, *, resume: bool = False, compiled: bool = False) -> None:
    """Train to the last epoch of the recipe, saving after each.

    Raises
    ------
    FileExistsError
        The run's folder holds a run, and `resume` does not say to go on with it.
    ValueError
        That run had another recipe, or the teacher's weights are not the recipe's.
    """
    teacher = _load_recipes_teacher(paths, recipe)
    images = [image for part in recipe.parts for image in load_part(paths.data_dir, part)]
    heads = Heads(images, recipe.ranges, recipe.negative_share)
    calibration = None
    if recipe.is_epoch_chosen:
        calibration = Heads(load_part(paths.data_dir, "calibration"), None)
    progress = _begin(paths, recipe, len(heads) // recipe.batch_size, resume=resume)
    if compiled:
        progress.network.compile()
    while progress.epoch < recipe.epochs:
        began = time.monotonic()
        loader = DataLoader(
            heads,
            batch_size=recipe.batch_size,
            sampler=draw_addresses(
                heads.images,
                seed=recipe.seed,
                epoch=progress.epoch,
                small_head_weight=recipe.small_head_weight,
                large_head_weight=recipe.large_head_weight,
            ),  # type: ignore[arg-type]
            num_workers=1,
            drop_last=True,
        )
        bar = tqdm(loader, f"epoch {progress.epoch + 1}/{recipe.epochs}", leave=False)
        loss = train_epoch(progress, bar, recipe, teacher)
        progress.epoch += 1
        row = {"epoch": f"{progress.epoch}", "training_loss": f"{loss:.5f}", "calibration_dice": ""}
        if calibration is not None:
            dice = _keep_best(progress, calibration, paths.run_dir / "best.safetensors")
            row["calibration_dice"] = f"{dice:.5f}"
        progress.log.append(row | {"seconds": f"{time.monotonic() - began:.0f}"})
        progress.save(paths.run_dir / LAST_NAME, recipe)
        _write_log(paths.run_dir / "log.csv", progress.log)
        tqdm.write(" ".join(f"{name} {value}" for name, value in progress.log[-1].items()))
    save_weights(progress.average.module, paths.run_dir / "last.safetensors")


def _load_recipes_teacher(paths: RunPaths, recipe: Recipe) -> Teacher | None:
    if (recipe.teacher_sha256 is None) == bool(paths.teacher):
        raise ValueError("A teacher is in the recipe or among the paths, not in both; name both.")
    if recipe.teacher_sha256 is None:
        return None
    return load_teacher(paths.teacher, recipe.teacher_sha256, bfloat16=recipe.bfloat16)


def _begin(paths: RunPaths, recipe: Recipe, steps_per_epoch: int, *, resume: bool) -> Progress:
    progress = start(recipe, steps_per_epoch)
    if paths.start_from is not None:
        progress.network.load_state_dict(load_file(paths.start_from))
    paths.run_dir.mkdir(parents=True, exist_ok=True)
    if resume:
        progress.restore(paths.run_dir / LAST_NAME, recipe)
    elif (paths.run_dir / LAST_NAME).exists():
        raise FileExistsError("That run exists; --resume goes on with it.")
    (paths.run_dir / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
    return progress


def _keep_best(progress: Progress, calibration: Heads, path: Path) -> float:
    dice = measure_dice(progress.average.module, calibration)
    if dice > progress.best_dice:
        progress.best_dice = dice
        save_weights(progress.average.module, path)
    return dice


def _write_log(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as log:
        writer = csv.DictWriter(log, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = to_parser(__doc__)
    chosen = parser.parse_args(arguments)
    try:
        recipe = to_recipe(chosen)
    except ValueError as error:
        parser.error(str(error))
    if not recipe.is_epoch_chosen:
        print(TRAINING_FIGURES.format(parts=", ".join(recipe.parts)), file=sys.stderr)
    torch.set_num_threads(chosen.threads)
    paths = RunPaths(
        chosen.data, chosen.run, start_from=chosen.start_from, teacher=tuple(chosen.teacher)
    )
    train(paths, recipe, resume=chosen.resume, compiled=chosen.compile)
    return 0


if __name__ == "__main__":
    sys.exit(main())
