"""Train the network on HC18's training exams; select the epoch on its calibration exams.

`python -m training.train --data DIR --run DIR`. The run's folder contains `recipe.json`, `log.csv`
(one row per epoch), `last.pt` (everything that `--resume` needs), `best.safetensors` (the averaged
weights of the best epoch) and, at the end, `last.safetensors` (those of the last epoch). Once the
recipe is fixed, `--parts` can add the calibration and test exams. Then no epoch is selected, the
weights of the last epoch are the result, and figures on those exams are training figures.
"""

import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from training.arguments import to_parser, to_recipe
from training.checkpoint import NetworkRecord, save_weights
from training.data.dataset import HC18Dataset, draw_addresses
from training.data.hc18 import load_part, to_input_facts
from training.device import count_workers
from training.distill import Teacher, load_teacher, to_distilled_loss
from training.lineage import Seen
from training.losses import to_circumference_loss, to_loss
from training.recipe import Recipe
from training.training_state import TrainingState, start

CPU = torch.device("cpu")
LAST_NAME, BEST_NAME = "last.pt", "best.safetensors"
TRAINING_FIGURES = (
    "Warning: this run trains on {parts}. Figures measured on those exams are training figures. "
    "No epoch is selected: last.safetensors is the result."
)


@dataclass(frozen=True)
class RunPaths:
    """Input files and output folder of a run.

    Attributes
    ----------
    data_dir : Path
        HC18's folder.
    run_dir : Path
        The run's own folder.
    start_from : Path or None
        Initial weights (safetensors); random weights if None.
    teacher : tuple of Path
        Weights of the recipe's teacher, one file per network; empty without a teacher.
    """

    data_dir: Path
    run_dir: Path
    start_from: Path | None = None
    teacher: tuple[Path, ...] = ()


def train_epoch(
    state: TrainingState,
    batches: Iterable[tuple[Tensor, Tensor]],
    recipe: Recipe,
    teacher: Teacher | None = None,
    device: torch.device = CPU,
) -> float:
    """Train on all batches once and return their mean loss.

    Raises
    ------
    FloatingPointError
        The loss is no longer finite.
    """
    state.network.train()
    losses = []
    for each in batches:
        network_input, coverage = (tensor.to(device) for tensor in each)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16):
            logits = state.network(network_input.to(memory_format=torch.channels_last)).float()
        loss = to_batch_loss(recipe, teacher, network_input, logits, coverage)
        state.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), recipe.gradient_clip)
        state.optimiser.step()
        state.schedule.step()
        state.average.update_parameters(state.network)
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
    """Return the recipe's loss for one batch.

    With deep supervision, (n, k, h, w) logits count as k answers for each picture.
    """
    branches = logits.shape[1]
    logits = logits.flatten(0, 1)[:, None]
    coverage = coverage.repeat_interleave(branches, dim=0)
    if teacher is None:
        loss = to_loss(logits, coverage)
    else:
        answers = teacher.to_probabilities(network_input).repeat_interleave(branches, dim=0)
        loss = to_distilled_loss(logits, coverage, answers, weight=recipe.distillation_weight)
    if recipe.circumference_weight == 0:
        return loss
    error = to_circumference_loss(logits, coverage, to_input_facts().pixel_aspect)
    return loss + recipe.circumference_weight * error


@torch.no_grad()
def measure_dice(
    network: torch.nn.Module, dataset: HC18Dataset, device: torch.device = CPU
) -> float:
    """Return the mean Dice at threshold 0.5 on the network's grid.

    It is used only to select an epoch. Published figures come from `evaluation.accuracy`, which
    measures in the frame.
    """
    network.eval()
    dices = []
    for batch in DataLoader(dataset, batch_size=8, sampler=[(i, 0) for i in range(len(dataset))]):  # type: ignore[arg-type]
        network_input, coverage = batch
        on_device = network_input.to(device=device, memory_format=torch.channels_last)
        predicted, true = network(on_device).cpu() > 0, coverage > 0.5
        overlap = (predicted & true).sum(dim=(1, 2, 3))
        dices += (2 * overlap / (predicted.sum(dim=(1, 2, 3)) + true.sum(dim=(1, 2, 3)))).tolist()
    return float(np.mean(dices))


def train(
    paths: RunPaths,
    recipe: Recipe,
    *,
    resume: bool = False,
    compiled: bool = False,
    device: torch.device = CPU,
) -> TrainingState:
    """Train to the end of the recipe, save after each epoch and return the last state.

    Parameters
    ----------
    paths : RunPaths
    recipe : Recipe
    resume : bool
        Continue the run in the folder.
    compiled : bool
        Compile the network.
    device : torch.device
        A run may be continued on another device.

    Raises
    ------
    FileExistsError
        The folder already contains a run, and `resume` is false.
    ValueError
        The existing run has another recipe, or the teacher's weights do not match the recipe.
    """
    teacher = _load_teacher_of_recipe(paths, recipe, device)
    dataset, calibration = _load_datasets(paths, recipe)
    state = _begin(paths, recipe, len(dataset) // recipe.batch_size, device, resume=resume)
    record = replace(recipe.record, seen=Seen.of_items(dataset.images, is_with_unlabelled=False))
    if compiled:
        state.network.compile()
    while not state.is_ended(recipe):
        began = time.monotonic()
        batches = _draw_batches(dataset, recipe, state.epoch, device)
        bar = tqdm(batches, f"epoch {state.epoch + 1}/{recipe.epochs}", leave=False)
        loss = train_epoch(state, bar, recipe, teacher, device)
        state.epoch += 1
        dice = ""
        if calibration is not None:
            dice = _judge_epoch(state, calibration, paths.run_dir / BEST_NAME, record, device)
        _log_epoch(state, paths, recipe, loss=loss, dice=dice, seconds=time.monotonic() - began)
    save_weights(state.average.module, paths.run_dir / "last.safetensors", record=record)
    return state


def _load_datasets(paths: RunPaths, recipe: Recipe) -> tuple[HC18Dataset, HC18Dataset | None]:
    """Return what is trained on, and what selects the epoch; None if no epoch is selected."""
    images = [image for part in recipe.parts for image in load_part(paths.data_dir, part)]
    dataset = HC18Dataset(images, recipe.ranges, recipe.negative_share)
    if not recipe.is_epoch_chosen:
        return dataset, None
    return dataset, HC18Dataset(load_part(paths.data_dir, "calibration"), None)


def _draw_batches(
    dataset: HC18Dataset, recipe: Recipe, epoch: int, device: torch.device
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return the batches of one epoch, counted from 0."""
    addresses = draw_addresses(
        dataset.images,
        seed=recipe.seed,
        epoch=epoch,
        small_head_weight=recipe.small_head_weight,
        large_head_weight=recipe.large_head_weight,
    )
    return DataLoader(
        dataset,
        batch_size=recipe.batch_size,
        sampler=addresses,  # type: ignore[arg-type]
        num_workers=count_workers(device),
        drop_last=True,
    )


def _judge_epoch(
    state: TrainingState,
    calibration: HC18Dataset,
    best: Path,
    record: NetworkRecord,
    device: torch.device,
) -> str:
    """Measure the averaged weights, keep them if they are the best, and return the Dice as text."""
    dice = measure_dice(state.average.module, calibration, device)
    if dice > state.best_dice:
        state.best_dice = dice
        save_weights(state.average.module, best, record=record)
    return f"{dice:.5f}"


def _log_epoch(
    state: TrainingState, paths: RunPaths, recipe: Recipe, *, loss: float, dice: str, seconds: float
) -> None:
    """Save the state with the epoch's row, write the log and print the row."""
    row = {
        "epoch": f"{state.epoch}",
        "training_loss": f"{loss:.5f}",
        "calibration_dice": dice,
        "seconds": f"{seconds:.0f}",
    }
    state.log.append(row)
    state.save(paths.run_dir / LAST_NAME, recipe)
    _write_log(paths.run_dir / "log.csv", state.log)
    tqdm.write(" ".join(f"{name} {value}" for name, value in row.items()))


def _load_teacher_of_recipe(
    paths: RunPaths, recipe: Recipe, device: torch.device
) -> Teacher | None:
    if (recipe.teacher_sha256 is None) == bool(paths.teacher):
        raise ValueError("A teacher must be in both the recipe and the paths, or in neither.")
    if recipe.teacher_sha256 is None:
        return None
    return load_teacher(
        paths.teacher, recipe.teacher_sha256, bfloat16=recipe.bfloat16, device=device
    )


def _begin(
    paths: RunPaths, recipe: Recipe, steps_per_epoch: int, device: torch.device, *, resume: bool
) -> TrainingState:
    state = start(recipe, steps_per_epoch, device)
    if paths.start_from is not None:
        state.network.load_state_dict(load_file(paths.start_from))
    paths.run_dir.mkdir(parents=True, exist_ok=True)
    if resume:
        state.restore(paths.run_dir / LAST_NAME, recipe, device)
    elif (paths.run_dir / LAST_NAME).exists():
        raise FileExistsError("The run exists already. Use --resume to continue it.")
    (paths.run_dir / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
    return state


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
    device = torch.device(chosen.device)
    train(paths, recipe, resume=chosen.resume, compiled=chosen.compile, device=device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
