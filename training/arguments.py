"""Define the command line of `python -m training.train` and convert it to a recipe."""

import argparse
from pathlib import Path

import torch

from training.augmentation.examples import NARROW, AugmentationRanges
from training.data.hc18 import PARTS
from training.device import is_bfloat16_fast
from training.distill import to_teacher_sha256
from training.networks import NETWORKS
from training.recipe import Recipe

DISTILLATION_WEIGHT = 0.5
"""Default weight of a teacher; not yet compared with other weights."""


def to_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the command line's parser; its defaults are those of `Recipe`."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m training.train", description=description)
    parser.add_argument("--data", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--start-from", type=Path, help="initial weights (safetensors)")
    parser.add_argument("--network", choices=list(NETWORKS), default=recipe.network)
    parser.add_argument(
        "--width", type=int, default=recipe.width, help="channels of the first level"
    )
    parser.add_argument("--no-residual", action="store_true", help="plain convolution blocks")
    parser.add_argument("--no-attention", action="store_true", help="skips without attention gates")
    parser.add_argument("--deep-supervision", action="store_true",
                        help="train every branch of unet-plus-plus")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--patience", type=int, default=recipe.patience,
                        help="stop after so many epochs without a better one")  # fmt: skip
    parser.add_argument("--learning-rate", type=float, default=recipe.learning_rate)
    parser.add_argument("--ema-decay", type=float, default=recipe.ema_decay,
                        help="decay of the averaged weights; lower for few epochs")  # fmt: skip
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument(
        "--float32", action="store_true", help="do not use bfloat16, even if it is faster"
    )
    parser.add_argument(
        "--narrow", action="store_true", help="milder augmentation, for the last epochs"
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the network: slightly faster, needs a C++ compiler",
    )
    parser.add_argument("--teacher", type=Path, nargs="+", default=(),
                        help="weights of the teacher; several are averaged")  # fmt: skip
    parser.add_argument(
        "--distillation-weight", type=float, help="weight of the teacher (default 0.5)"
    )
    parser.add_argument("--circumference-weight", type=float, default=recipe.circumference_weight,
                        help="weight of the circumference error in the loss")  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=recipe.parts,
                        help="parts of HC18 (default train); test only with all")  # fmt: skip
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    return parser


def to_recipe(chosen: argparse.Namespace) -> Recipe:
    """Convert the parsed options to a recipe.

    Raises
    ------
    ValueError
        The options contradict each other; see `Recipe`.
    """
    weight = chosen.distillation_weight
    if weight is None:
        weight = DISTILLATION_WEIGHT if chosen.teacher else 0.0
    return Recipe(
        network=chosen.network,
        width=chosen.width,
        residual=not chosen.no_residual,
        attention=not chosen.no_attention,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        ema_decay=chosen.ema_decay,
        deep_supervision=chosen.deep_supervision,
        patience=chosen.patience,
        bfloat16=not chosen.float32 and is_bfloat16_fast(torch.device(chosen.device)),
        seed=chosen.seed,
        ranges=NARROW if chosen.narrow else AugmentationRanges(),
        parts=tuple(part for part in PARTS if part in chosen.parts),
        teacher_sha256=to_teacher_sha256(chosen.teacher) or None,
        distillation_weight=weight,
        circumference_weight=chosen.circumference_weight,
    )
