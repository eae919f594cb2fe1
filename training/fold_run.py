"""Define the recipe and the training state of a run of `training.train_fold`."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from training.checkpoint import NetworkRecord
from training.data.examples import Mixture
from training.training_state import to_averaging

ENCODER_PREFIX = "encoder."


@dataclass(frozen=True)
class FoldRecipe:
    """Everything except the data that determines a run's weights.

    Attributes
    ----------
    fold : int or None
        The fold that is held out; None trains on all data.
    held_out : str
        Key of `training.data.folds.HELD_OUT`.
    role : str
        `teacher`: trained on annotations only. `student`: also on pseudo-labels of teachers.
    network, keywords : str, dict
        See `training.networks`.
    is_pretrained : bool
        Start the encoder from ImageNet weights.
    encoder_rate : float
        Learning rate of the encoder, relative to that of the other layers.
    ema_start_step : int
        First step whose weights are averaged; earlier weights are too far from the final ones.
    narrow_share : float
        Share of the epochs, at the end of the run, with milder augmentation.
    half_size_share : float
        Share of the epochs, at the beginning of the run, on examples of half the height and width,
        which take a quarter of the time.
    plane_weight : float
        Weight of the head-plane output in the loss.
    annotation_weight : float
        Weight of the annotation on labelled frames; the teacher has 1 minus it.
    teachers, start : tuple of str, str or None
        SHA-256 of the teachers' files and of the initial weights.
    rotates_teachers : bool
        Each step is taught by one of the teachers, in turn, in place of their mean. So a step with
        several teachers takes as long as with one.
    """

    fold: int | None
    role: str
    network: str
    keywords: dict[str, Any]
    epochs: int
    held_out: str = "folds"
    is_pretrained: bool = False
    batch_size: int = 8
    learning_rate: float = 1e-3
    encoder_rate: float = 1.0
    weight_decay: float = 1e-2
    warm_up_share: float = 0.05
    gradient_clip: float = 5.0
    ema_decay: float = 0.998
    ema_start_step: int = 300
    narrow_share: float = 0.25
    half_size_share: float = 0.0
    plane_weight: float = 0.2
    annotation_weight: float = 1.0
    foreign_weight: float = 0.2
    seed: int = 0
    mixture: Mixture = field(default_factory=Mixture)
    teachers: tuple[str, ...] = ()
    start: str | None = None
    rotates_teachers: bool = False

    @property
    def record(self) -> NetworkRecord:
        """Return the record of the network, without the data that it was trained on."""
        return NetworkRecord(self.network, self.keywords)

    def is_narrow(self, epoch: int) -> bool:
        """Return whether an epoch, counted from 0, is one of the last with milder augmentation."""
        return epoch >= self.epochs - round(self.narrow_share * self.epochs)

    def is_half_size(self, epoch: int) -> bool:
        """Return whether an epoch, counted from 0, is one of the first on half-size examples."""
        return epoch < round(self.half_size_share * self.epochs)


@dataclass
class FoldRun:
    """Training state of a run, which `--resume` restores.

    `compiled` is the network with generated code; it has the same weights and is not saved.
    """

    network: nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    step: int = 0
    epoch: int = 0
    log: list[dict[str, str]] = field(default_factory=list)
    compiled: nn.Module | None = None

    @property
    def in_training(self) -> nn.Module:
        """Return the network whose steps train the weights: the compiled one if there is one."""
        return self.network if self.compiled is None else self.compiled

    @property
    def averaged(self) -> nn.Module:
        """Return the averaged network, or the network itself before averaging began."""
        return self.average.module if int(self.average.n_averaged) else self.network

    def save(self, path: Path, recipe: FoldRecipe) -> None:
        """Write the state to one file, atomically."""
        draft = path.with_suffix(".draft")
        states = {
            name: getattr(self, name).state_dict()
            for name in ("network", "average", "optimiser", "schedule")
        }
        facts = {name: getattr(self, name) for name in ("step", "epoch", "log")}
        random = {"random_state": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda_random_state"] = torch.cuda.get_rng_state()
        torch.save(states | facts | random | {"recipe": asdict(recipe)}, draft)
        draft.replace(path)

    def restore(self, path: Path, recipe: FoldRecipe, device: torch.device) -> None:
        """Restore the state from a file of `save`.

        Raises
        ------
        ValueError
            The run was started with another recipe.
        """
        saved = torch.load(path, map_location=device, weights_only=True)
        # A run of an older release lacks the newest fields; they have their defaults.
        earlier = asdict(FoldRecipe(**saved["recipe"]))
        if earlier != asdict(recipe):
            changed = [k for k, v in asdict(recipe).items() if earlier[k] != v]
            raise ValueError(
                f"The run was started with other values of {', '.join(changed)}. Give the same "
                "options to continue it, or another --run to start a new run."
            )
        for name in ("network", "average", "optimiser", "schedule"):
            getattr(self, name).load_state_dict(saved[name])
        for name in ("step", "epoch", "log"):
            setattr(self, name, saved[name])
        torch.set_rng_state(saved["random_state"].cpu())
        if device.type == "cuda":
            torch.cuda.set_rng_state(saved["cuda_random_state"].cpu())


def begin(recipe: FoldRecipe, steps_per_epoch: int, device: torch.device) -> FoldRun:
    """Create the network, its average, the optimiser and the schedule of a new run."""
    torch.manual_seed(recipe.seed)
    network = recipe.record.build()
    if recipe.is_pretrained:
        network.load_pretrained()
    network = network.to(device=device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(_to_groups(network, recipe), weight_decay=recipe.weight_decay)
    total = recipe.epochs * steps_per_epoch
    warm_up = max(1, round(recipe.warm_up_share * total))

    def to_factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 + 0.5 * math.cos(math.pi * min(1, (step - warm_up) / max(1, total - warm_up)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, to_factor)
    average = AveragedModel(network, multi_avg_fn=to_averaging(recipe.ema_decay), use_buffers=True)
    return FoldRun(network, average, optimiser, schedule)


def _to_groups(network: nn.Module, recipe: FoldRecipe) -> list[dict[str, Any]]:
    encoder, rest = [], []
    for name, parameter in network.named_parameters():
        (encoder if name.startswith(ENCODER_PREFIX) else rest).append(parameter)
    return [
        {"params": encoder, "lr": recipe.encoder_rate * recipe.learning_rate},
        {"params": rest, "lr": recipe.learning_rate},
    ]
