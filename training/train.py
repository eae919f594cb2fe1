"""Train the network on HC18's training exams; choose the epoch on its calibration exams.

`python -m training.train --data DIR --run DIR`. A run's folder gets `log.csv` (one line an epoch),
`last.pt` (everything that `--resume` needs) and `best.safetensors` (the averaged weights of the
best epoch). The test exams are never read here.
"""

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm

from training.attention_resunet import AttentionResUNet
from training.augment import AugmentationRanges
from training.hc18 import load_part
from training.heads import Heads, draw_addresses
from training.losses import to_loss
from training.recipe import Recipe


@dataclass
class Progress:
    """What a run carries from step to step, and what `--resume` restores."""

    network: AttentionResUNet
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    epoch: int = 0
    best_dice: float = -1.0
    log: list[dict[str, str]] = field(default_factory=list)

    def save(self, path: Path, recipe: Recipe) -> None:
        """Write everything to one file, complete or not at all."""
        draft = path.with_suffix(".draft")
        states = {
            name: getattr(self, name).state_dict()
            for name in ("network", "average", "optimiser", "schedule")
        }
        facts = {name: getattr(self, name) for name in ("epoch", "best_dice", "log")}
        torch.save(states | facts | {"recipe": asdict(recipe)}, draft)
        draft.replace(path)

    def restore(self, path: Path, recipe: Recipe) -> None:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The run was started with another recipe.
        """
        saved = torch.load(path, weights_only=True)
        if saved["recipe"] != asdict(recipe):
            raise ValueError(
                f"The run was started with {saved['recipe']}, not {asdict(recipe)}; give the same "
                "options to go on with it, or another --run to start afresh."
            )
        for name in ("network", "average", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(saved[name])
        for name in ("epoch", "best_dice", "log"):
            setattr(self, name, saved[name])


def start(recipe: Recipe, steps_per_epoch: int) -> Progress:
    """Build network, average, optimiser and schedule."""
    torch.manual_seed(recipe.seed)
    network = AttentionResUNet(
        width=recipe.width, residual=recipe.residual, attention=recipe.attention
    ).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        max_lr=recipe.learning_rate,
        total_steps=recipe.epochs * steps_per_epoch + 1,
        pct_start=recipe.warm_up_share,
    )
    average = AveragedModel(network, multi_avg_fn=to_averaging(recipe.ema_decay), use_buffers=True)
    return Progress(network, average, optimiser, schedule)


def to_averaging(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Return an exponential average that forgets its first weights at once, then ever slower.

    After n steps the decay is (1 + n) / (10 + n), at most `decay`: else an average that starts
    from random weights finds no head for some ten epochs.
    """

    def update(averaged: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    return update


def train_epoch(
    progress: Progress, batches: Iterator[tuple[Tensor, Tensor]], recipe: Recipe
) -> float:
    """Take one pass over the batches and return their mean loss."""
    progress.network.train()
    losses = []
    for network_input, coverage in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            logits = progress.network(network_input.to(memory_format=torch.channels_last))
        loss = to_loss(logits.float(), coverage)
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


@torch.no_grad()
def measure_dice(network: torch.nn.Module, heads: Heads) -> float:
    """Return the mean Dice at threshold 0.5 on the network's grid, for choosing an epoch only.

    Published figures come from `benchmarks.accuracy`, which measures in the frame.
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


def train(
    data_dir: Path,
    run_dir: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train to the last epoch of the recipe, saving after each.

    `start_from` names weights (safetensors) to begin with in place of random ones.
    """
    heads = Heads(load_part(data_dir, "train"), AugmentationRanges(), recipe.negative_share)
    calibration = Heads(load_part(data_dir, "calibration"), None)
    progress = start(recipe, steps_per_epoch=len(heads) // recipe.batch_size)
    if start_from is not None:
        progress.network.load_state_dict(load_file(start_from))
    last_path = run_dir / "last.pt"
    run_dir.mkdir(parents=True, exist_ok=True)
    if resume:
        progress.restore(last_path, recipe)
    elif last_path.exists():
        raise FileExistsError("That run exists; --resume goes on with it.")
    (run_dir / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
    while progress.epoch < recipe.epochs:
        began = time.monotonic()
        loader = DataLoader(
            heads,
            batch_size=recipe.batch_size,
            sampler=draw_addresses(heads.images, recipe, progress.epoch),  # type: ignore[arg-type]
            num_workers=1,
            drop_last=True,
        )
        bar = tqdm(loader, f"epoch {progress.epoch + 1}/{recipe.epochs}", leave=False)
        loss = train_epoch(progress, bar, recipe)
        progress.epoch += 1
        dice = measure_dice(progress.average.module, calibration)
        if dice > progress.best_dice:
            progress.best_dice = dice
            save_weights(progress.average.module, run_dir / "best.safetensors")
        row = {
            "epoch": f"{progress.epoch}",
            "training_loss": f"{loss:.5f}",
            "calibration_dice": f"{dice:.5f}",
            "seconds": f"{time.monotonic() - began:.0f}",
        }
        progress.log.append(row)
        progress.save(last_path, recipe)
        _write_log(run_dir / "log.csv", progress.log)
        tqdm.write(" ".join(f"{name} {value}" for name, value in row.items()))
    save_weights(progress.average.module, run_dir / "last.safetensors")


def save_weights(network: torch.nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors, which wants them in plain memory order."""
    save_file({name: each.contiguous() for name, each in network.state_dict().items()}, path)


def _write_log(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as log:
        writer = csv.DictWriter(log, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run")
    parser.add_argument("--resume", action="store_true", help="go on where the run stopped")
    parser.add_argument("--start-from", type=Path, help="weights to begin with (safetensors)")
    parser.add_argument("--width", type=int, default=recipe.width, help="channels of level one")
    parser.add_argument("--no-residual", action="store_true", help="plain convolution blocks")
    parser.add_argument("--no-attention", action="store_true", help="ungated skips")
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--learning-rate", type=float, default=recipe.learning_rate)
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 in the convolutions")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    recipe = Recipe(
        width=chosen.width,
        residual=not chosen.no_residual,
        attention=not chosen.no_attention,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        bfloat16=not chosen.float32,
        seed=chosen.seed,
    )
    train(chosen.data, chosen.run, recipe, resume=chosen.resume, start_from=chosen.start_from)
    return 0


if __name__ == "__main__":
    sys.exit(main())
