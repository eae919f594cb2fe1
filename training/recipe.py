"""Everything that decides a training run's weights but the data."""

from dataclasses import asdict, dataclass, field
from typing import Any

from training.augmentation.examples import AugmentationRanges
from training.data.hc18 import PARTS


@dataclass(frozen=True)
class Recipe:
    """Network, optimiser, sampling and targets of one run.

    The defaults of fields that are younger than a run are what that run did, so that it can be
    resumed (`is_recorded_as`): a new field starts with "off".

    Attributes
    ----------
    small_head_weight, large_head_weight : float
        How often images with a circumference below 100 mm, or from 200 mm on, are drawn, against
        1: both are rarer than those between, and measured worse.
    negative_share : float
        Share of the examples that are pictures without a head.
    ranges : AugmentationRanges
        How far examples are changed; a record that lacks them is of older, narrower ones.
    parts : tuple of str
        Components of HC18 that are trained on, in the order of `PARTS`.
    teacher_sha256 : str or None
        Of the teacher's weights; None without one.
    distillation_weight : float
        Of the teacher's answers against the annotation, in (0, 1]; 0 without a teacher.
    circumference_weight : float
        Of the circumference's own error in the loss; see `training.losses`.
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

    def __post_init__(self) -> None:
        """Refuse what would spoil a measurement or be ignored in silence.

        Raises
        ------
        ValueError
            `parts` is not train, train and calibration, or all three: test exams are never
            trained on while others still choose. Or teacher and weight do not go together, or a
            weight is negative.
        """
        if not self.parts or self.parts != PARTS[: len(self.parts)]:
            raise ValueError(
                f"Cannot train on {' '.join(self.parts) or 'no part'}; name train, or train and "
                "calibration, or, for the last run of all, train, calibration and test."
            )
        is_taught = self.teacher_sha256 is not None
        if not 0 <= self.distillation_weight <= 1 or is_taught != (self.distillation_weight > 0):
            raise ValueError(
                f"Distillation weight {self.distillation_weight} "
                f"{'with' if is_taught else 'without'} a teacher; a teacher needs a weight above "
                "0 and at most 1, and no teacher needs none."
            )
        if self.circumference_weight < 0:
            raise ValueError(
                f"Circumference weight {self.circumference_weight}; it needs to be 0 or more."
            )

    @property
    def is_epoch_chosen(self) -> bool:
        """Whether the calibration exams, not trained on, can choose the best epoch."""
        return "calibration" not in self.parts

    def is_recorded_as(self, record: dict[str, Any]) -> bool:
        """Tell whether a run's record is of this recipe; fields that it lacks had the defaults."""
        return asdict(Recipe()) | {"ranges": None} | record == asdict(self)
