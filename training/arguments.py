"""The command line of `python -m training.train`: its options, and the recipe that they name.

This module trains nothing.
"""

import argparse
from pathlib import Path

import torch

from training.augmentation.examples import NARROW, AugmentationRanges
from training.data.hc18 import PARTS
from training.distill import to_teacher_sha256
from training.recipe import Recipe

DISTILLATION_WEIGHT = 0.5
"""Where a teacher is named and no weight; not yet measured against others."""


def to_parser(description: str | None) -> argparse.ArgumentParser:
    """Describe the options; the defaults are the recipe's own."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m training.train", description=description)
    parser.add_argument("--data", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run")
    parser.add_argument("--resume", action="store_true", help="go on where the run stopped")
    parser.add_argument("--start-from", type=Path, help="weights to begin with (safetensors)")
    parser.add_argument("--width", type=int, default=recipe.width, help="channels of level one")
    parser.add_argument("--no-residual", action="store_true", help="plain convolution blocks")
    parser.add_argument("--no-attention", action="store_true", help="ungated skips")
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--learning-rate", type=float, default=recipe.learning_rate)
    parser.add_argument("--ema-decay", type=float, default=recipe.ema_decay,
                        help="of the averaged weights; lower for few epochs")  # fmt: skip
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--float32", action="store_true", help="no bfloat16, even if quicker here")
    parser.add_argument("--narrow", action="store_true", help="examples change less: to end with")
    parser.add_argument(
        "--compile", action="store_true", help="needs a C++ compiler; somewhat faster"
    )
    parser.add_argument("--teacher", type=Path, nargs="+", default=(),
                        help="weights to learn from; of several, their mean")  # fmt: skip
    parser.add_argument("--distillation-weight", type=float, help="of the teacher (default 0.5)")
    parser.add_argument("--circumference-weight", type=float, default=recipe.circumference_weight,
                        help="of the circumference's own error in the loss")  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=recipe.parts,
                        help="trained on (default train); test only with both others")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    return parser


def to_recipe(chosen: argparse.Namespace) -> Recipe:
    """Return what was chosen as a recipe; raises ValueError where that is none."""
    weight = chosen.distillation_weight
    if weight is None:
        weight = DISTILLATION_WEIGHT if chosen.teacher else 0.0
    return Recipe(
        width=chosen.width,
        residual=not chosen.no_residual,
        attention=not chosen.no_attention,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        ema_decay=chosen.ema_decay,
        bfloat16=not chosen.float32 and torch.cpu.get_capabilities().get("avx512_bf16", False),
        seed=chosen.seed,
        ranges=NARROW if chosen.narrow else AugmentationRanges(),
        parts=tuple(part for part in PARTS if part in chosen.parts),
        teacher_sha256=to_teacher_sha256(chosen.teacher) or None,
        distillation_weight=weight,
        circumference_weight=chosen.circumference_weight,
    )
