import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from training import comparison
from training.checkpoint import load_record, load_trained
from training.comparison import main, to_recipe
from training.data.hc18 import SPLIT_PATH, load_part
from training.losses import to_loss
from training.networks import COMPARED
from training.networks.swin_unet import SwinUNet
from training.recipe import Recipe
from training.train import to_batch_loss
from training.training_state import start

TINY = {"unet": {"width": 2}, "swin-unet": {"width": 3}}


@pytest.fixture
def tiny(monkeypatch):
    """Compare two small networks in place of the six."""
    monkeypatch.setattr(comparison, "COMPARED", TINY)


def run_queue(data_dir, runs_dir, *more):
    threads = str(torch.get_num_threads())
    options = ["--data", str(data_dir), "--runs", str(runs_dir), "--threads", threads]
    return main([*options, "--epochs", "1", "--networks", *TINY, *more])


def test_queue_trains_each_network_and_skips_finished_runs(tiny, data_dir, tmp_path, capsys):
    """Each run has weights that load and notes that the export reads; again, nothing is trained."""
    assert run_queue(data_dir, tmp_path) == 0
    for name, keywords in TINY.items():
        run_dir = tmp_path / f"{name}-seed-0"
        notes = json.loads((run_dir / "training.json").read_text())
        assert notes["version"] == "comparison-seed-0"
        assert notes["epochs"] == notes["selected_epoch"] == 1
        assert notes["recipe"]["parts"] == ["train"]
        record = load_record(run_dir / "best.safetensors")
        assert record.keywords.items() >= keywords.items()
        exams = {image.exam for image in load_part(data_dir, "train")}
        assert set(record.seen.exams) == exams
    network = load_trained(tmp_path / "swin-unet-seed-0" / "best.safetensors")
    assert isinstance(network, SwinUNet)
    written = (tmp_path / "unet-seed-0" / "last.pt").stat().st_mtime_ns
    capsys.readouterr()
    assert run_queue(data_dir, tmp_path) == 0
    assert capsys.readouterr().out.count("finished earlier") == 2
    assert (tmp_path / "unet-seed-0" / "last.pt").stat().st_mtime_ns == written


def test_other_learning_rate_is_outside_the_protocol(tiny, data_dir, tmp_path):
    """It has a folder and a version of its own, so that it is never taken for a compared run."""
    assert run_queue(data_dir, tmp_path, "--networks", "unet", "--learning-rate", "3e-4") == 0
    (run_dir,) = tmp_path.iterdir()
    assert run_dir.name == "unet-seed-0-rate-0.0003"
    notes = json.loads((run_dir / "training.json").read_text())
    assert notes["version"] == "rate-0.0003-seed-0"
    assert notes["recipe"]["learning_rate"] == 3e-4


def test_interrupted_run_is_continued(tiny, data_dir, tmp_path, capsys):
    """A run without its notes was interrupted; it goes on from its last epoch."""
    assert run_queue(data_dir, tmp_path, "--networks", "unet") == 0
    (tmp_path / "unet-seed-0" / "training.json").unlink()
    capsys.readouterr()
    assert run_queue(data_dir, tmp_path, "--networks", "unet") == 0
    assert "unet-seed-0: continued" in capsys.readouterr().out


def test_networks_are_compiled_on_request(tiny, data_dir, tmp_path, monkeypatch):
    """`--compile` reaches the training of each network, and is off otherwise."""
    compiled = []

    def fail(*_, **keywords):
        compiled.append(keywords["compiled"])
        raise FloatingPointError

    monkeypatch.setattr(comparison, "train", fail)
    assert run_queue(data_dir, tmp_path, "--compile") == 1
    assert run_queue(data_dir, tmp_path) == 1
    assert compiled == [True, True, False, False]


def test_failed_run_does_not_stop_the_queue(tiny, data_dir, tmp_path, capsys):
    """A folder with another recipe fails; the next network is trained, and the status says so."""
    assert run_queue(data_dir, tmp_path, "--networks", "unet") == 0
    state_path = tmp_path / "unet-seed-0" / "last.pt"
    (tmp_path / "unet-seed-0" / "training.json").unlink()
    saved = torch.load(state_path, weights_only=True)
    saved["recipe"]["learning_rate"] = 5.0
    torch.save(saved, state_path)
    assert run_queue(data_dir, tmp_path) == 1
    assert "unet-seed-0 failed: The run was started with" in capsys.readouterr().err
    assert (tmp_path / "swin-unet-seed-0" / "training.json").is_file()


def test_recipes_differ_in_network_width_and_seed_alone():
    """The six networks are trained alike, and on every machine."""
    recipes = [to_recipe(name, seed=0, epochs=12) for name in COMPARED]
    for recipe in recipes:
        alike = replace(recipe, network=recipes[0].network, width=recipes[0].width)
        assert asdict(alike) == asdict(recipes[0])
        assert recipe.parts == ("train",)
        assert not recipe.bfloat16


def make_state(dices):
    state = start(Recipe(width=2), 1)
    state.log = [{"calibration_dice": str(dice)} for dice in dices]
    state.epoch = len(dices)
    return state


@pytest.mark.parametrize(
    ("dices", "is_ended"),
    [([0.5, 0.4], False), ([0.5, 0.4, 0.5], True), ([0.5, 0.4, 0.6], False), ([0.5], False)],
)
def test_run_ends_when_its_patience_does(dices, is_ended):
    """With patience 2, two epochs that are not better than the best before them end the run."""
    assert make_state(dices).is_ended(Recipe(width=2, patience=2)) == is_ended
    assert not make_state(dices).is_ended(Recipe(width=2))


def test_run_ends_after_its_last_epoch():
    """Without patience, only the number of epochs counts."""
    assert make_state([0.1, 0.2]).is_ended(Recipe(width=2, epochs=2))


@pytest.mark.parametrize(
    "fields",
    [
        {"network": "unet", "attention": False},
        {"network": "unet", "deep_supervision": True},
        {"deep_supervision": True},
        {"patience": -1},
        {"patience": 3, "parts": ("train", "calibration")},
    ],
)
def test_contradictory_recipes_are_refused(fields):
    """Switches belong to one network; patience needs an epoch to be selected."""
    with pytest.raises(ValueError, match=r"switches|Patience"):
        Recipe(**fields)


def test_deep_supervision_is_the_mean_loss_of_the_branches():
    """Four branches of logits cost the mean of what each costs alone."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 8, 8, generator=generator)
    coverage = torch.rand(3, 1, 8, 8, generator=generator)
    recipe = Recipe(network="unet-plus-plus", deep_supervision=True)
    assert recipe.record.keywords == {"width": 16, "deep_supervision": True}
    found = to_batch_loss(recipe, None, coverage, logits, coverage)
    expected = torch.stack([to_loss(logits[:, [i]], coverage) for i in range(4)]).mean()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", COMPARED)
def test_committed_weights_follow_the_protocol(name):
    """Network, recipe and data of the committed weights are those of `docs/comparison.md`."""
    folder = Path("models/compared") / f"{name}-{COMPARED[name]['width']}"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist: the network is not trained yet")
    recipe = to_recipe(name, seed=0, epochs=comparison.EPOCHS)
    notes = json.loads((folder / "training.json").read_text())
    assert notes["recipe"] == json.loads(json.dumps(asdict(recipe)))
    record = load_record(folder / "checkpoint.safetensors")
    assert (record.name, record.keywords) == (name, recipe.record.keywords)
    split = json.loads(SPLIT_PATH.read_text())
    assert set(record.seen.exams) == set(split["train"])
