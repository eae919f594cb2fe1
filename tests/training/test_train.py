import contextlib
import csv
import io
import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headcirc.geometry import to_ellipse_perimeter
from training.hc18 import IMAGE_FOLDER, SPLIT_PATH, TABLE_NAME
from training.recipe import Recipe
from training.train import Progress, main, start, to_averaging, train

RECIPE = Recipe(width=2, epochs=2, bfloat16=False, seed=8)
"""Seed 8 starts with a head of positive weights, so that epoch 1 finds something and is a best."""
ROWS, COLUMNS = 54, 80
PIXEL_SIZE_MM = 0.7


class ClosedPipe(io.StringIO):
    """Standard output whose reader leaves after a run's first line."""

    def write(self, text: str) -> int:
        """Refuse the line of epoch 2, as a closed pipe does."""
        if "epoch 2" in text:
            raise BrokenPipeError("the reader has left")
        return super().write(text)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Write eight training and two calibration images, numbered as the committed split has them."""
    folder = tmp_path_factory.mktemp("hc18")
    (folder / IMAGE_FOLDER).mkdir()
    split, generator = json.loads(SPLIT_PATH.read_text()), np.random.default_rng(0)
    lines = ["filename,pixel size(mm),head circumference (mm)"]
    for exam in split["train"][:8] + split["calibration"][:2]:
        center = [int(value) for value in generator.integers((34, 24), (46, 31))]
        axes = [int(value) for value in generator.integers((20, 14), (26, 19))]
        outline = np.zeros((ROWS, COLUMNS), np.uint8)
        cv2.ellipse(outline, center, axes, int(generator.integers(180)), 0, 360, 255, 1)
        noise = generator.normal(0, 15, outline.shape)
        image = np.clip(cv2.GaussianBlur(outline, (0, 0), 1) + 40 + noise, 0, 255)
        name = f"{exam:03d}_HC"
        cv2.imwrite(str(folder / IMAGE_FOLDER / f"{name}.png"), image.astype(np.uint8))
        cv2.imwrite(str(folder / IMAGE_FOLDER / f"{name}_Annotation.png"), outline)
        circumference_mm = to_ellipse_perimeter(*axes) * PIXEL_SIZE_MM
        lines.append(f"{name}.png,{PIXEL_SIZE_MM},{circumference_mm:.2f}")
    (folder / TABLE_NAME).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """Return the folder of a run of two epochs that nothing interrupted."""
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    train(data_dir, run_dir, RECIPE)
    return run_dir


def assert_same_weights(first_dir, second_dir):
    first, second = (load_file(each / "last.safetensors") for each in (first_dir, second_dir))
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert torch.equal(values, second[name]), name


def test_run_leaves_a_log_and_its_weights(finished):
    """Two epochs leave two log lines, the best and the last weights, and what resuming needs."""
    names = {path.name for path in finished.iterdir()}
    assert names == {"best.safetensors", "last.pt", "last.safetensors", "log.csv", "recipe.json"}
    with (finished / "log.csv").open(newline="") as log:
        rows = list(csv.DictReader(log))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(math.isfinite(float(row["training_loss"])) for row in rows)
    assert all(0 <= float(row["calibration_dice"]) <= 1 for row in rows)


def test_same_seed_gives_the_same_weights(data_dir, finished, tmp_path):
    """The command with the same options ends with the same weights, bit for bit."""
    options = ["--width", "2", "--epochs", "2", "--float32", "--seed", "8"]
    threads = ["--threads", str(torch.get_num_threads())]
    assert main(["--data", str(data_dir), "--run", str(tmp_path / "run"), *options, *threads]) == 0
    assert_same_weights(tmp_path / "run", finished)


def test_resumed_run_ends_where_an_uninterrupted_one_ends(data_dir, finished, tmp_path):
    """A run that broke off in epoch 2 is not restarted unasked; resumed, it has equal weights."""
    with contextlib.redirect_stdout(ClosedPipe()), pytest.raises(BrokenPipeError):
        train(data_dir, tmp_path, RECIPE)
    assert not (tmp_path / "last.safetensors").exists()
    with pytest.raises(FileExistsError, match="--resume"):
        train(data_dir, tmp_path, RECIPE)
    train(data_dir, tmp_path, RECIPE, resume=True)
    assert_same_weights(tmp_path, finished)


def test_another_recipe_is_refused(finished):
    """A run does not go on under a recipe that it was not started with."""
    other = replace(RECIPE, learning_rate=1e-3)
    progress: Progress = start(other, steps_per_epoch=1)
    with pytest.raises(ValueError, match="another --run"):
        progress.restore(finished / "last.pt", other)


def test_another_seed_starts_from_other_weights():
    """The recipe's seed decides the first weights."""
    heads = [start(Recipe(width=2, seed=seed), 1).network.head.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_average_forgets_its_first_weights():
    """After 40 steps at weight 1 an average that began at 0 is within 1 %, whatever its decay."""
    update, averaged, current = to_averaging(0.998), torch.zeros(1), torch.ones(1)
    for step in range(40):
        update([averaged], [current], torch.tensor(step))
    assert 0.99 < float(averaged) < 1
    late = torch.zeros(1)
    update([late], [current], torch.tensor(100_000))
    assert float(late) == pytest.approx(0.002, rel=1e-3)


def test_interrupted_run_keeps_one_log_line_an_epoch(data_dir, tmp_path):
    """A run that broke off after a checkpoint has each epoch once in its log when resumed."""
    with contextlib.redirect_stdout(ClosedPipe()), pytest.raises(BrokenPipeError):
        train(data_dir, tmp_path, RECIPE)
    train(data_dir, tmp_path, RECIPE, resume=True)
    with (tmp_path / "log.csv").open(newline="") as log:
        assert [row["epoch"] for row in csv.DictReader(log)] == ["1", "2"]
