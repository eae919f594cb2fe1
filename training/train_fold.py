"""Train a network on four of five folds of HC18 and the planes, as a teacher or as a student.

`python -m training.train_fold --fold 0 --network efficientnet-unet --role teacher --hc18 DIR
--planes DIR --run DIR`. The run's folder contains `recipe.json`, `seen.json` (exams, patients and
countries that the weights depend on), `log.csv` (one row per epoch), `last.pt` (everything that
`--resume` needs) and `weights.safetensors` (the averaged weights after each epoch). No epoch is
selected: the weights of the last epoch are the result.
"""

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from training.checkpoint import load_record, load_trained, save_weights, to_file_sha256
from training.data.examples import (
    UNLABELLED,
    Examples,
    Mixture,
    Pool,
    draw_epoch,
    find_unlabelled,
    load_pool,
)
from training.data.folds import FOLDS, HELD_OUT, Folds, to_training_items
from training.data.hc18 import load_images
from training.data.planes import load_planes
from training.device import count_workers, is_bfloat16_fast
from training.fold_run import FoldRecipe, FoldRun, begin
from training.lineage import Seen, read_older_seen, require_unseen
from training.losses import to_image_losses
from training.networks.attention_resunet import HALF_TIME
from training.pseudo_labels import find_labelled, to_mean_probabilities

TEACHER, STUDENT = "teacher", "student"
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "efficientnet-unet": ("efficientnet-unet", {}),
    "half-time": (
        "attention-resunet",
        {"channels": list(HALF_TIME["channels"]), "halving_stem": True},
    ),
    "width-16": ("attention-resunet", {"width": 16}),
}
"""Networks by their names on the command line; all have the head-plane output."""
PRETRAINED = ("efficientnet-unet",)
LAST_NAME, WEIGHTS_NAME = "last.pt", "weights.safetensors"
UNLABELLED_SHARE = 0.2
ANNOTATION_WEIGHT = 0.5
"""Weight of the annotation on labelled frames when there is a teacher."""


@dataclass(frozen=True)
class FoldPaths:
    """Input files and output folder of a run; `cache_dir` stores the canvases of all runs."""

    hc18_dir: Path
    planes_dir: Path
    run_dir: Path
    cache_dir: Path
    teachers: tuple[Path, ...] = ()
    start: Path | None = None


def train_fold(
    paths: FoldPaths,
    recipe: FoldRecipe,
    *,
    device: torch.device,
    resume: bool = False,
    is_compiled: bool = False,
    folds: Folds | None = None,
) -> None:
    """Train to the last epoch of the recipe, and save after each epoch.

    With `is_compiled` torch.compile generates code for the network's steps.

    Raises
    ------
    FileExistsError
        The folder already contains a run, and `resume` is false.
    ValueError
        The existing run has another recipe, or a teacher or the initial weights were trained on
        data that the fold holds out.
    """
    cv2.setNumThreads(0)  # OpenCV's threads do not survive the fork of a data worker
    folds = folds or HELD_OUT[recipe.held_out]()
    images = to_training_items(load_images(paths.hc18_dir), folds, recipe.fold)
    planes = to_training_items(load_planes(paths.planes_dir), folds, recipe.fold)
    is_student = recipe.role == STUDENT
    seen = _to_seen([*images, *planes], paths, folds, recipe)
    _prepare_run_dir(paths.run_dir, recipe, seen, resume=resume)
    unlabelled = find_unlabelled(paths.hc18_dir) if is_student else []
    pool = load_pool(images, planes, unlabelled, paths.cache_dir)
    teachers = [_to_device(load_trained(path), device) for path in paths.teachers]
    labelled: frozenset[str] = frozenset()
    if is_student:
        labelled = _load_pseudo_labelled(paths.run_dir, teachers, pool, device)
        pool = _drop_without_label(pool, labelled)
    examples = Examples(
        pool,
        recipe.mixture,
        pseudo_labelled=labelled,
        annotation_weight=recipe.annotation_weight,
        foreign_weight=recipe.foreign_weight,
    )
    steps = len(draw_epoch(pool.examples, recipe.mixture, seed=0, epoch=0)) // recipe.batch_size
    run = begin(recipe, steps, device)
    if is_compiled:
        run.compiled = torch.compile(run.network, dynamic=False)
    if paths.start is not None:
        _start_from(paths.start, run)
    if resume and (paths.run_dir / LAST_NAME).exists():
        run.restore(paths.run_dir / LAST_NAME, recipe, device)
    while run.epoch < recipe.epochs:
        _train_one_epoch(run, examples, recipe, teachers, device)
        run.save(paths.run_dir / LAST_NAME, recipe)
        record = replace(recipe.record, seen=seen)
        save_weights(run.averaged, paths.run_dir / WEIGHTS_NAME, record=record)
        _write_log(paths.run_dir / "log.csv", run.log)


def _start_from(path: Path, run: FoldRun) -> None:
    """Load initial weights; those of older networks lack only the head-plane output.

    Raises
    ------
    ValueError
        The weights are of another network.
    """
    missing, unexpected = run.network.load_state_dict(load_file(path), strict=False)
    if unexpected or any(not name.startswith("plane_head.") for name in missing):
        raise ValueError(f"{path.name!r} has weights of another network than this run's.")


def _to_seen(items: list, paths: FoldPaths, folds: Folds, recipe: FoldRecipe) -> Seen:
    """Return the data that the run's weights depend on, checked against the held-out data."""
    seen = Seen.of_items(items, is_with_unlabelled=recipe.role == STUDENT)
    for path in (*paths.teachers, *([paths.start] if paths.start else [])):
        other = load_record(path).seen or read_older_seen(path)
        require_unseen(other, folds, recipe.fold, who=path.name)
        seen = seen.joined(other or Seen(), to_file_sha256(path))
    require_unseen(seen, folds, recipe.fold, who="This run")
    return seen


def _prepare_run_dir(run_dir: Path, recipe: FoldRecipe, seen: Seen, *, resume: bool) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    if not resume and (run_dir / LAST_NAME).exists():
        raise FileExistsError("The run exists already. Use --resume to continue it.")
    (run_dir / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
    (run_dir / "seen.json").write_text(json.dumps(asdict(seen), indent=2))


def _load_pseudo_labelled(
    run_dir: Path, teachers: list[nn.Module], pool: Pool, device: torch.device
) -> frozenset[str]:
    """Return the names of the pseudo-labelled examples; they are computed once per run."""
    path = run_dir / "taught.json"
    if path.exists():
        return frozenset(json.loads(path.read_text()))
    labelled = find_labelled(teachers, pool, device, bfloat16=is_bfloat16_fast(device))
    path.write_text(json.dumps(sorted(labelled), indent=1))
    return labelled


def _drop_without_label(pool: Pool, labelled: frozenset[str]) -> Pool:
    """Return the pool without the unlabelled frames that have no reliable pseudo-label."""
    examples = pool.examples
    kept = [i for i, e in enumerate(examples) if e.source != UNLABELLED or e.name in labelled]
    return pool.select(kept)


def _train_one_epoch(
    run: FoldRun,
    examples: Examples,
    recipe: FoldRecipe,
    teachers: Sequence[nn.Module],
    device: torch.device,
) -> None:
    began = time.monotonic()
    drawn = draw_epoch(examples.pool.examples, recipe.mixture, seed=recipe.seed, epoch=run.epoch)
    loader = DataLoader(
        examples.narrowed() if recipe.is_narrow(run.epoch) else examples,
        batch_size=recipe.batch_size,
        sampler=drawn,  # type: ignore[arg-type]
        num_workers=count_workers(device),
        drop_last=True,
    )
    bar = tqdm(loader, f"epoch {run.epoch + 1}/{recipe.epochs}", mininterval=30, leave=False)
    batches = map(to_half_size, bar) if recipe.is_half_size(run.epoch) else bar
    losses = take_steps(run, batches, recipe, teachers, device)
    run.epoch += 1
    row = {"epoch": f"{run.epoch}"} | {name: f"{each:.5f}" for name, each in losses.items()}
    rate = run.optimiser.param_groups[-1]["lr"]
    row |= {"learning_rate": f"{rate:.2e}", "seconds": f"{time.monotonic() - began:.0f}"}
    run.log.append(row)
    tqdm.write(" ".join(f"{name} {value}" for name, value in row.items()))


def to_half_size(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch whose (n, 1, h, w) images have half the height and width, by averaging."""
    halved = ("network_input", "coverage")
    return batch | {name: functional.avg_pool2d(batch[name], 2) for name in halved}


def take_steps(
    run: FoldRun,
    batches: Iterable[dict[str, Tensor]],
    recipe: FoldRecipe,
    teachers: Sequence[nn.Module],
    device: torch.device,
) -> dict[str, float]:
    """Train on all batches once and return the mean mask loss and the mean plane loss.

    Raises
    ------
    FloatingPointError
        The loss is no longer finite.
    """
    run.network.train()
    totals, steps = torch.zeros(2), 0
    for batch in batches:
        on_device = {name: each.to(device) for name, each in batch.items()}
        teaching = choose_teachers(teachers, run.step) if recipe.rotates_teachers else teachers
        mask_loss, plane_loss = to_losses(run.in_training, on_device, teaching)
        loss = mask_loss + recipe.plane_weight * plane_loss
        run.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(run.network.parameters(), recipe.gradient_clip)
        run.optimiser.step()
        run.schedule.step()
        run.step += 1
        if run.step >= recipe.ema_start_step:
            run.average.update_parameters(run.network)
        totals += torch.stack((mask_loss, plane_loss)).detach().cpu()
        steps += 1
    mask_mean, plane_mean = (totals / max(1, steps)).tolist()
    if not math.isfinite(mask_mean + plane_mean):
        raise FloatingPointError("The loss is no longer finite; lower --learning-rate.")
    return {"mask_loss": mask_mean, "plane_loss": plane_mean}


def choose_teachers(teachers: Sequence[nn.Module], step: int) -> Sequence[nn.Module]:
    """Return the one teacher of a step; all have their turn."""
    first = step % max(1, len(teachers))
    return teachers[first : first + 1]


def to_losses(
    network: nn.Module, batch: dict[str, Tensor], teachers: Sequence[nn.Module]
) -> tuple[Tensor, Tensor]:
    """Return the mask loss and the plane loss of one batch.

    The teachers get the same augmented input as the network, and only the images on which their
    prediction has a weight.
    """
    network_input = batch["network_input"].contiguous(memory_format=torch.channels_last)
    bfloat16 = is_bfloat16_fast(network_input.device)
    with torch.autocast(network_input.device.type, torch.bfloat16, enabled=bfloat16):
        logits, plane_logits = network(network_input)
    logits = logits.float()
    mask_losses = batch["annotation_weight"] * to_image_losses(logits, batch["coverage"])
    mask_loss = mask_losses.sum()
    chosen = batch["teacher_weight"] > 0
    if teachers and bool(chosen.any()):
        targets = to_mean_probabilities(teachers, network_input[chosen], bfloat16=bfloat16)
        distilled = to_image_losses(logits[chosen], targets)
        mask_loss = mask_loss + (batch["teacher_weight"][chosen] * distilled).sum()
    plane_loss = functional.binary_cross_entropy_with_logits(
        plane_logits.float(), batch["plane_label"]
    )
    return mask_loss / len(logits), plane_loss


def _to_device(network: nn.Module, device: torch.device) -> nn.Module:
    return network.eval().to(device=device, memory_format=torch.channels_last)


def _write_log(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as log:
        writer = csv.DictWriter(log, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def to_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m training.train_fold", description=__doc__)
    folds = [*map(str, range(FOLDS)), "all"]
    parser.add_argument(
        "--fold", required=True, choices=folds, help="held-out fold; all: train on all data"
    )
    parser.add_argument("--network", required=True, choices=list(PRESETS))
    parser.add_argument("--role", required=True, choices=[TEACHER, STUDENT])
    parser.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        default=(),
        help="weights of the teachers; they are averaged",
    )
    parser.add_argument(
        "--rotate-teachers",
        action="store_true",
        help="each step is taught by one teacher, in turn, which takes a fraction of the time",
    )
    parser.add_argument("--start", type=Path, help="initial weights of the same network")
    parser.add_argument("--hc18", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--planes", type=Path, required=True, help="folder of the planes")
    parser.add_argument("--run", type=Path, required=True, help="folder of this run")
    parser.add_argument("--cache", type=Path, help="folder for canvases (default beside the run)")
    parser.add_argument(
        "--held-out",
        choices=list(HELD_OUT),
        default="folds",
        help="folds: a fifth of the exams; split: the calibration and test exams of the older "
        "split, for start weights that saw the train part. Both: a fifth of the planes",
    )
    parser.add_argument(
        "--annotation-weight",
        type=float,
        default=ANNOTATION_WEIGHT,
        help="weight of the annotation beside the teacher, on labelled frames (default 0.5)",
    )
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, help="default 1e-3 if pretrained, else 2e-3")
    parser.add_argument(
        "--half-size-share",
        type=float,
        default=0.0,
        help="share of the epochs, the first ones, on examples of half the size (default 0)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="generate code for the network (a third faster for the Attention-ResUNet, slower for "
        "the teacher)",
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    return parser


def to_recipe(chosen: argparse.Namespace) -> FoldRecipe:
    """Convert the parsed options to a recipe.

    Raises
    ------
    ValueError
        A student has no teacher, or a teacher has one.
    """
    is_student = chosen.role == STUDENT
    if is_student != bool(chosen.teacher):
        raise ValueError("--teacher is required for a student and not allowed for a teacher.")
    network, keywords = PRESETS[chosen.network]
    is_pretrained = network in PRETRAINED
    return FoldRecipe(
        fold=None if chosen.fold == "all" else int(chosen.fold),
        role=chosen.role,
        network=network,
        keywords=keywords | {"head_plane": True},
        epochs=chosen.epochs,
        is_pretrained=is_pretrained and chosen.start is None,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate or (1e-3 if is_pretrained else 2e-3),
        encoder_rate=0.5 if is_pretrained else 1.0,
        half_size_share=chosen.half_size_share,
        held_out=chosen.held_out,
        annotation_weight=chosen.annotation_weight if is_student else 1.0,
        seed=chosen.seed,
        mixture=Mixture(unlabelled_share=UNLABELLED_SHARE if is_student else 0.0),
        teachers=tuple(map(to_file_sha256, chosen.teacher)),
        start=chosen.start and to_file_sha256(chosen.start),
        rotates_teachers=chosen.rotate_teachers,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = to_parser()
    chosen = parser.parse_args(arguments)
    try:
        recipe = to_recipe(chosen)
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(chosen.threads)
    paths = FoldPaths(
        hc18_dir=chosen.hc18,
        planes_dir=chosen.planes,
        run_dir=chosen.run,
        cache_dir=chosen.cache or chosen.run.parent / "cache",
        teachers=tuple(chosen.teacher),
        start=chosen.start,
    )
    train_fold(
        paths,
        recipe,
        device=torch.device(chosen.device),
        resume=chosen.resume,
        is_compiled=chosen.compile,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
