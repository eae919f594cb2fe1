"""Everything that decides a training run's weights but the data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Network, optimiser and sampling of one run.

    Attributes
    ----------
    small_head_weight, large_head_weight : float
        How often images with a circumference below 100 mm, or from 200 mm on, are drawn, against
        1: both are rarer than those between, and measured worse.
    negative_share : float
        Share of the examples that are pictures without a head.
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
