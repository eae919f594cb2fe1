"""Define the recipe of a training run: everything except the data that determines its weights."""

from dataclasses import asdict, dataclass, field
from typing import Any

from training.augmentation.examples import AugmentationRanges
from training.checkpoint import NetworkRecord
from training.data.hc18 import PARTS
from training.networks import NETWORKS

SWITCHED, NESTED = "attention-resunet", "unet-plus-plus"


@dataclass(frozen=True)
class Recipe:
    """Network, optimiser, sampling and targets of one run.

    The default of a new field must reproduce earlier runs, so that they can be resumed
    (`is_recorded_as`): a new feature is off by default.

    Attributes
    ----------
    network : str
        Name in the registry, `training.networks`.
    residual, attention : bool
        Switches of the network `attention-resunet`; false only for that network.
    deep_supervision : bool
        Switch of the network `unet-plus-plus`; true only for that network.
    patience : int
        Stop after this many epochs without a better Dice on the calibration exams; 0: never.
    small_head_weight, large_head_weight : float
        Sampling weight of images with a circumference below 100 mm, or of at least 200 mm; other
        images have 1. Both groups are rarer and have larger errors.
    negative_share : float
        Share of the examples that are pictures without a head.
    ranges : AugmentationRanges
        Strength of the augmentation. A record without it is from an older run with narrower ranges.
    parts : tuple of str
        Parts of the HC18 split to train on, in the order of `PARTS`.
    teacher_sha256 : str or None
        SHA-256 of the teacher's weights; None without a teacher.
    distillation_weight : float
        Weight of the teacher against the annotation, in (0, 1]; 0 without a teacher.
    circumference_weight : float
        Weight of the circumference error in the loss; see `training.losses`.
    """

    width: int = 16
    residual: bool = True
    attention: bool = True
    epochs: int = 100
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up_share: float = 0.1
    gradient_clip: float = 5.0
    ema_decay: float = 0.998
    small_head_weight: float = 2.0
    large_head_weight: float = 2.0
    negative_share: float = 0.06
    bfloat16: bool = True
    seed: int = 0
    ranges: AugmentationRanges = field(default_factory=AugmentationRanges)
    parts: tuple[str, ...] = PARTS[:1]
    teacher_sha256: str | None = None
    distillation_weight: float = 0.0
    circumference_weight: float = 0.0
    network: str = SWITCHED
    deep_supervision: bool = False
    patience: int = 0

    def __post_init__(self) -> None:
        """Check that the fields are consistent.

        Raises
        ------
        ValueError
            `parts` is not train, train and calibration, or all three: the test exams may only be
            added last. Or the teacher and its weight contradict each other, or a weight is
            negative. Or the switches do not belong to the network, or no epoch is selected that
            the patience could count from.
        """
        if not self.parts or self.parts != PARTS[: len(self.parts)]:
            raise ValueError(
                f"Cannot train on {' '.join(self.parts) or 'no part'}. Give train, or train and "
                "calibration, or, for the final run, train, calibration and test."
            )
        has_teacher = self.teacher_sha256 is not None
        if not 0 <= self.distillation_weight <= 1 or has_teacher != (self.distillation_weight > 0):
            raise ValueError(
                f"Distillation weight {self.distillation_weight} "
                f"{'with' if has_teacher else 'without'} a teacher. With a teacher, the weight "
                "must be above 0 and at most 1; without one, it must be 0."
            )
        if self.circumference_weight < 0:
            raise ValueError(
                f"Circumference weight {self.circumference_weight}; it must be 0 or more."
            )
        is_switched = not (self.residual and self.attention)
        if (is_switched and self.network != SWITCHED) or (
            self.deep_supervision and self.network != NESTED
        ):
            raise ValueError(
                f"{self.network} does not have all of these switches. Leave them out, or name one "
                f"of the networks {', '.join(NETWORKS)}."
            )
        if self.patience < 0 or (self.patience and not self.is_epoch_chosen):
            raise ValueError(
                f"Patience {self.patience} with {' '.join(self.parts)}. It must be 0 or more, and "
                "0 if the calibration exams are trained on."
            )

    @property
    def record(self) -> NetworkRecord:
        """Return the record of the network, without the data that it was trained on."""
        keywords: dict[str, Any] = {"width": self.width}
        if self.network == SWITCHED:
            keywords |= {"residual": self.residual, "attention": self.attention}
        if self.network == NESTED:
            keywords |= {"deep_supervision": self.deep_supervision}
        return NetworkRecord(self.network, keywords)

    @property
    def is_epoch_chosen(self) -> bool:
        """Return whether the calibration exams are not trained on and can select the epoch."""
        return "calibration" not in self.parts

    def is_recorded_as(self, record: dict[str, Any]) -> bool:
        """Return whether a run's record matches this recipe; missing fields have their defaults."""
        return asdict(Recipe()) | {"ranges": None} | record == asdict(self)
