"""Train the compared networks one after another by one recipe (`docs/comparison.md`).

`python -m training.comparison --data DIR --runs DIR` trains each network of `COMPARED` with each
seed, in the folder `NETWORK-seed-N`. A finished run is skipped and an interrupted one continued, so
the same command can be given again. If a run fails, the next one begins. `--learning-rate` trains
outside the protocol, in the folder `NETWORK-seed-N-rate-RATE`.

Each finished run has `best.safetensors`, the averaged weights of the epoch with the best Dice on
the calibration exams, and `training.json`, which `python -m model_export build` reads.

Exit status 0: all runs are finished; 1: a run failed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from training.networks import COMPARED, PROTOCOL_VERSION
from training.recipe import Recipe
from training.train import LAST_NAME, RunPaths, train
from training.training_state import TrainingState

NOTES_NAME = "training.json"
EPOCHS, PATIENCE = 12, 8
LEARNING_RATE, EMA_DECAY = 1e-3, 0.99


def to_recipe(
    network: str, *, seed: int, epochs: int, learning_rate: float = LEARNING_RATE
) -> Recipe:
    """Return the recipe of one run; only network, width and seed differ between the runs.

    The precision is float32 on every machine, so that runs of several machines can be compared.
    Another learning rate than `LEARNING_RATE` is outside the protocol.
    """
    return Recipe(
        network=network,
        width=COMPARED[network]["width"],
        epochs=epochs,
        patience=PATIENCE,
        learning_rate=learning_rate,
        ema_decay=EMA_DECAY,
        bfloat16=False,
        seed=seed,
    )


def to_version(recipe: Recipe) -> str:
    """Return the version of a run's weights."""
    if recipe.learning_rate == LEARNING_RATE:
        return f"{PROTOCOL_VERSION}{recipe.seed}"
    return f"rate-{recipe.learning_rate:g}-seed-{recipe.seed}"


def to_run_name(recipe: Recipe) -> str:
    """Return the name of a run's folder."""
    name = f"{recipe.network}-seed-{recipe.seed}"
    other = recipe.learning_rate != LEARNING_RATE
    return f"{name}-rate-{recipe.learning_rate:g}" if other else name


def to_notes(recipe: Recipe, state: TrainingState, device: torch.device) -> dict[str, Any]:
    """Return the record of a finished run."""
    dices = [float(row["calibration_dice"]) for row in state.log]
    return {
        "version": to_version(recipe),
        "data": "HC18 (doi:10.5281/zenodo.1322001)",
        "device": device.type,
        "epochs": state.epoch,
        "selected_epoch": dices.index(max(dices)) + 1,
        "calibration_dice_on_network_grid": max(dices),
        "seconds": sum(float(row["seconds"]) for row in state.log),
        "recipe": asdict(recipe),
    }


def train_run(
    paths: RunPaths, recipe: Recipe, device: torch.device, *, compiled: bool = False
) -> None:
    """Train, continue or skip one run."""
    notes_path = paths.run_dir / NOTES_NAME
    if notes_path.exists():
        print(f"{paths.run_dir.name}: finished earlier")
        return
    is_begun = (paths.run_dir / LAST_NAME).exists()
    print(f"{paths.run_dir.name}: {'continued' if is_begun else 'begun'}", flush=True)
    state = train(paths, recipe, resume=is_begun, compiled=compiled, device=device)
    notes = to_notes(recipe, state, device)
    notes_path.write_text(json.dumps(notes, indent=2) + "\n")
    print(
        f"{paths.run_dir.name}: epoch {notes['selected_epoch']} of {notes['epochs']}, calibration "
        f"Dice {notes['calibration_dice_on_network_grid']:.5f}, {notes['seconds']:.0f} s",
        flush=True,
    )


def to_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m training.comparison", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--runs", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--networks", nargs="+", choices=list(COMPARED), default=list(COMPARED))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=LEARNING_RATE,
        help=f"highest learning rate (default {LEARNING_RATE:g}, that of the protocol)",
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="generate code for the networks: the same numbers but for rounding, minutes to begin",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all runs; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    device, failed = torch.device(chosen.device), 0
    for seed in chosen.seeds:
        for network in chosen.networks:
            recipe = to_recipe(
                network, seed=seed, epochs=chosen.epochs, learning_rate=chosen.learning_rate
            )
            paths = RunPaths(chosen.data, chosen.runs / to_run_name(recipe))
            try:
                train_run(paths, recipe, device, compiled=chosen.compile)
            except (FloatingPointError, ValueError) as error:
                failed += 1
                print(f"{paths.run_dir.name} failed: {error}", file=sys.stderr, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
