import contextlib
import csv
import io
import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from training.checkpoint import load_trained, save_weights, to_file_sha256
from training.data.dataset import HC18Dataset
from training.data.hc18 import load_part
from training.networks.attention_resunet import AttentionResUNet
from training.recipe import Recipe
from training.train import RunPaths, main, measure_dice, train
from training.training_state import TrainingState, start, to_averaging

OPTIONS = ["--width", "2", "--epochs", "2", "--float32", "--seed", "8"]
RECIPE = Recipe(width=2, epochs=2, bfloat16=False, seed=8)
"""Seed 8 starts with a head of positive weights, so that epoch 1 finds something and is a best."""


class ClosedPipe(io.StringIO):
    """Standard output whose reader leaves after a run's first line."""

    def write(self, text: str) -> int:
        """Refuse the line of epoch 2, as a closed pipe does."""
        if "epoch 2" in text:
            raise BrokenPipeError("the reader has left")
        return super().write(text)


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """Return the folder of a run of two epochs that nothing interrupted."""
    run_dir = tmp_path_factory.mktemp("runs") / "finished"
    train(RunPaths(data_dir, run_dir), RECIPE)
    return run_dir


def run_command(data_dir, run_dir, *more):
    """Run the command line with the options of `RECIPE`, and more."""
    threads = ["--threads", str(torch.get_num_threads())]
    return main(["--data", str(data_dir), "--run", str(run_dir), *OPTIONS, *threads, *more])


def assert_same_weights(first_dir, second_dir):
    first, second = (load_file(each / "last.safetensors") for each in (first_dir, second_dir))
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert torch.equal(values, second[name]), name


def test_run_writes_a_log_and_weights(finished):
    """Two epochs give two log rows, the best and the last weights, and the state for resuming."""
    names = {path.name for path in finished.iterdir()}
    assert names == {"best.safetensors", "last.pt", "last.safetensors", "log.csv", "recipe.json"}
    with (finished / "log.csv").open(newline="") as log:
        rows = list(csv.DictReader(log))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(math.isfinite(float(row["training_loss"])) for row in rows)


def test_best_weights_are_those_of_the_best_dice_in_the_log(data_dir, finished):
    """Measured again, the saved weights have the highest logged Dice."""
    with (finished / "log.csv").open(newline="") as log:
        dices = [float(row["calibration_dice"]) for row in csv.DictReader(log)]
    kept = load_trained(finished / "best.safetensors")
    found = measure_dice(kept, HC18Dataset(load_part(data_dir, "calibration"), None))
    assert found == pytest.approx(max(dices), abs=1e-5)
    assert 0 < found < 1


def test_same_seed_gives_the_same_weights(data_dir, finished, tmp_path):
    """The command with the same options ends with the same weights, bit for bit."""
    assert run_command(data_dir, tmp_path / "run") == 0
    assert_same_weights(tmp_path / "run", finished)


def test_resumed_run_gives_the_weights_of_an_uninterrupted_one(data_dir, finished, tmp_path):
    """A run that broke off in epoch 2 is not restarted unasked; resumed, it has equal weights."""
    with contextlib.redirect_stdout(ClosedPipe()), pytest.raises(BrokenPipeError):
        train(RunPaths(data_dir, tmp_path), RECIPE)
    assert not (tmp_path / "last.safetensors").exists()
    with pytest.raises(FileExistsError, match="--resume"):
        train(RunPaths(data_dir, tmp_path), RECIPE)
    train(RunPaths(data_dir, tmp_path), RECIPE, resume=True)
    assert_same_weights(tmp_path, finished)


def test_run_is_not_resumed_with_another_recipe(finished):
    """The error names both recipes."""
    other = replace(RECIPE, learning_rate=1e-3)
    state: TrainingState = start(other, steps_per_epoch=1)
    with pytest.raises(ValueError, match="another --run"):
        state.restore(finished / "last.pt", other)


@pytest.mark.parametrize("learning_rate", [RECIPE.learning_rate, 1e-3])
def test_run_older_than_a_field_is_resumed(finished, tmp_path, learning_rate):
    """In a record without the newest fields they have their defaults."""
    saved = torch.load(finished / "last.pt", weights_only=True)
    newer = ("parts", "teacher_sha256", "distillation_weight", "circumference_weight", "network")
    for name in (*newer, "deep_supervision", "patience"):
        del saved["recipe"][name]
    torch.save(saved, tmp_path / "last.pt")
    recipe = replace(RECIPE, learning_rate=learning_rate)
    state: TrainingState = start(recipe, steps_per_epoch=1)
    if recipe == RECIPE:
        state.restore(tmp_path / "last.pt", recipe)
        assert state.epoch == 2
    else:
        with pytest.raises(ValueError, match="another --run"):
            state.restore(tmp_path / "last.pt", recipe)


def test_run_older_than_the_ranges_is_not_resumed(finished, tmp_path):
    """A record without ranges is from a run with narrower ones."""
    saved = torch.load(finished / "last.pt", weights_only=True)
    del saved["recipe"]["ranges"]
    torch.save(saved, tmp_path / "last.pt")
    state: TrainingState = start(RECIPE, steps_per_epoch=1)
    with pytest.raises(ValueError, match="another --run"):
        state.restore(tmp_path / "last.pt", RECIPE)


def test_epoch_is_not_chosen_on_exams_that_are_trained_on(data_dir, finished, tmp_path, capsys):
    """With calibration in training, no epoch is selected, and a warning is printed."""
    run_dir = tmp_path / "run"
    assert run_command(data_dir, run_dir, "--parts", "calibration", "train") == 0
    assert "training figure" in capsys.readouterr().err
    assert json.loads((run_dir / "recipe.json").read_text())["parts"] == ["train", "calibration"]
    with (run_dir / "log.csv").open(newline="") as log:
        assert [row["calibration_dice"] for row in csv.DictReader(log)] == ["", ""]
    assert not (run_dir / "best.safetensors").exists()
    weights, of_train_alone = (load_file(each / "last.safetensors") for each in (run_dir, finished))
    assert not torch.equal(weights["head.weight"], of_train_alone["head.weight"])


@pytest.mark.parametrize("parts", [["test"], ["train", "test"], ["calibration"]])
def test_test_exams_require_all_other_exams(data_dir, tmp_path, capsys, parts):
    """Invalid combinations of parts are refused before anything is written."""
    with pytest.raises(SystemExit) as refusal:
        run_command(data_dir, tmp_path / "run", "--parts", *parts)
    assert refusal.value.code == 2
    assert "Cannot train on" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_all_three_parts_may_be_trained_on():
    """The final run uses every exam and selects no epoch."""
    assert not Recipe(parts=("train", "calibration", "test")).is_epoch_chosen
    assert Recipe().is_epoch_chosen


def test_teacher_is_recorded_and_changes_the_weights(data_dir, finished, tmp_path):
    """The recipe contains the teacher's SHA-256, and another teacher is refused on resuming."""
    teacher, other = tmp_path / "teacher.safetensors", tmp_path / "other.safetensors"
    for path in (teacher, other):  # of another width, and each with weights of its own
        save_weights(AttentionResUNet(width=4), path)
    assert run_command(data_dir, tmp_path / "run", "--teacher", str(teacher)) == 0
    record = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert record["teacher_sha256"] == to_file_sha256(teacher)
    assert record["distillation_weight"] == 0.5
    weights, untaught = (
        load_file(each / "last.safetensors") for each in (tmp_path / "run", finished)
    )
    assert not torch.equal(weights["head.weight"], untaught["head.weight"])
    with pytest.raises(ValueError, match="another --run"):
        run_command(data_dir, tmp_path / "run", "--resume", "--teacher", str(other))


@pytest.mark.parametrize("weight", ["0", "1.5", "-1"])
def test_invalid_distillation_weight_is_refused(data_dir, finished, tmp_path, weight):
    """With a teacher it must be above 0 and at most 1; without a teacher it must be 0."""
    teacher = ["--teacher", str(finished / "last.safetensors")]
    for options in (teacher, []) if weight != "0" else (teacher,):
        with pytest.raises(SystemExit):
            run_command(data_dir, tmp_path, *options, "--distillation-weight", weight)


def test_circumference_weight_is_recorded_and_changes_the_weights(data_dir, finished, tmp_path):
    """A run that minimises the circumference's error, too, says so and learns other weights."""
    assert run_command(data_dir, tmp_path / "run", "--circumference-weight", "1") == 0
    record = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert record["circumference_weight"] == 1
    found, plain = (load_file(each / "last.safetensors") for each in (tmp_path / "run", finished))
    assert not torch.equal(found["head.weight"], plain["head.weight"])


def test_negative_circumference_weight_is_refused(data_dir, tmp_path):
    """A negative weight would reward the error."""
    with pytest.raises(SystemExit):
        run_command(data_dir, tmp_path, "--circumference-weight", "-1")


def test_another_seed_starts_from_other_weights():
    """The recipe's seed determines the initial weights."""
    heads = [start(Recipe(width=2, seed=seed), 1).network.head.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_average_forgets_its_first_weights():
    """After 40 steps at weight 1, an average that began at 0 is within 1 %, for any decay."""
    update, averaged, current = to_averaging(0.998), torch.zeros(1), torch.ones(1)
    for step in range(40):
        update([averaged], [current], torch.tensor(step))
    assert 0.99 < float(averaged) < 1
    late = torch.zeros(1)
    update([late], [current], torch.tensor(100_000))
    assert float(late) == pytest.approx(0.002, rel=1e-3)


def test_interrupted_run_keeps_one_log_row_per_epoch(data_dir, tmp_path):
    """After resuming, the log has each epoch once."""
    with contextlib.redirect_stdout(ClosedPipe()), pytest.raises(BrokenPipeError):
        train(RunPaths(data_dir, tmp_path), RECIPE)
    train(RunPaths(data_dir, tmp_path), RECIPE, resume=True)
    with (tmp_path / "log.csv").open(newline="") as log:
        assert [row["epoch"] for row in csv.DictReader(log)] == ["1", "2"]
