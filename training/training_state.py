"""Define the state of a run of `training.train`: weights, their average, optimiser and log."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from training.recipe import Recipe


@dataclass
class TrainingState:
    """Training state of a run, which `--resume` restores."""

    network: nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    epoch: int = 0
    best_dice: float = -1.0
    log: list[dict[str, str]] = field(default_factory=list)

    def save(self, path: Path, recipe: Recipe) -> None:
        """Write the state to one file, atomically."""
        draft = path.with_suffix(".draft")
        states = {
            name: getattr(self, name).state_dict()
            for name in ("network", "average", "optimiser", "schedule")
        }
        facts = {name: getattr(self, name) for name in ("epoch", "best_dice", "log")}
        torch.save(states | facts | {"recipe": asdict(recipe)}, draft)
        draft.replace(path)

    def is_ended(self, recipe: Recipe) -> bool:
        """Return whether the last epoch is done, or the recipe's patience is at its end."""
        if self.epoch >= recipe.epochs:
            return True
        dices = [float(row["calibration_dice"]) for row in self.log] if recipe.patience else []
        if len(dices) <= recipe.patience:
            return False
        return max(dices[-recipe.patience :]) <= max(dices[: -recipe.patience])

    def restore(self, path: Path, recipe: Recipe, device: torch.device | None = None) -> None:
        """Restore the state from a file of `save`, whatever device wrote it.

        Raises
        ------
        ValueError
            The run was started with another recipe.
        """
        saved = torch.load(path, map_location=device, weights_only=True)
        if not recipe.is_recorded_as(saved["recipe"]):
            raise ValueError(
                f"The run was started with {saved['recipe']}, not {asdict(recipe)}. Give the same "
                "options to continue it, or another --run to start a new run."
            )
        for name in ("network", "average", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(saved[name])
        for name in ("epoch", "best_dice", "log"):
            setattr(self, name, saved[name])


def start(
    recipe: Recipe, steps_per_epoch: int, device: torch.device | None = None
) -> TrainingState:
    """Create the network, its average, the optimiser and the schedule of a new run.

    Parameters
    ----------
    recipe : Recipe
    steps_per_epoch : int
    device : torch.device, optional
        The CPU by default.
    """
    torch.manual_seed(recipe.seed)
    network = recipe.record.build().to(memory_format=torch.channels_last)
    if device is not None:
        network = network.to(device)
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
    return TrainingState(network, average, optimiser, schedule)


def to_averaging(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Return the update function of an exponential moving average with a warm-up.

    After n steps the decay is (1 + n) / (10 + n), but at most `decay`. Without the warm-up, the
    random initial weights dominate the average for about ten epochs.
    """

    def update(averaged: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    return update
