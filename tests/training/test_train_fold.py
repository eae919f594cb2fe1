import csv
import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from training import evaluate_fold, train_fold
from training.checkpoint import NetworkRecord, load_record, save_weights, to_file_sha256
from training.data.examples import Mixture
from training.data.folds import Folds
from training.fold_run import FoldRecipe, begin
from training.lineage import Seen
from training.train_fold import FoldPaths, to_half_size, to_losses, to_recipe

CPU = torch.device("cpu")
TINY = {"channels": [2, 2, 2, 4, 4], "halving_stem": True, "head_plane": True}
RECIPE = FoldRecipe(
    fold=0,
    role="teacher",
    network="attention-resunet",
    keywords=TINY,
    epochs=2,
    batch_size=2,
    ema_start_step=2,
    mixture=Mixture(foreign_share=0.5, no_head_share=0.5),
)


@pytest.fixture(scope="module")
def to_paths(folds_hc18_dir, folds_planes_dir, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def to_paths(run_dir, **options):
        return FoldPaths(folds_hc18_dir, folds_planes_dir, run_dir, cache, **options)

    return to_paths


@pytest.fixture(scope="module")
def finished(to_paths, tmp_path_factory):
    """Return the folder of fold 0's teacher after two epochs."""
    run_dir = tmp_path_factory.mktemp("runs") / "teacher"
    train_fold.train_fold(to_paths(run_dir), RECIPE, device=CPU)
    return run_dir


def to_student(teacher):
    """Return the recipe of a student of one teacher."""
    return replace(
        RECIPE,
        role="student",
        annotation_weight=0.5,
        teachers=(to_file_sha256(teacher),),
        mixture=replace(RECIPE.mixture, unlabelled_share=0.5),
    )


def test_fold_run_writes_log_weights_and_training_data(finished):
    """The held-out fold is not in the list of training data."""
    with (finished / "log.csv").open(newline="") as log:
        assert [row["epoch"] for row in csv.DictReader(log)] == ["1", "2"]
    seen = json.loads((finished / "seen.json").read_text())
    folds = Folds()
    assert len(seen["exams"]) == 4
    assert len(seen["groups"]) == 2
    assert not folds.exams[0].intersection(seen["exams"])
    assert not folds.groups[0].intersection(seen["groups"])
    record = load_record(finished / "weights.safetensors")
    assert record.keywords == TINY
    assert record.seen == Seen.from_json(seen)


def test_resumed_run_gives_the_weights_of_an_uninterrupted_one(
    to_paths, finished, tmp_path, monkeypatch
):
    """Broken off after the first epoch and resumed, a run has the same weights, bit for bit."""
    save = train_fold.save_weights

    def break_off(*arguments, **options):
        save(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_fold, "save_weights", break_off)
    with pytest.raises(KeyboardInterrupt):
        train_fold.train_fold(to_paths(tmp_path), RECIPE, device=CPU)
    monkeypatch.setattr(train_fold, "save_weights", save)
    with pytest.raises(FileExistsError, match="--resume"):
        train_fold.train_fold(to_paths(tmp_path), RECIPE, device=CPU)
    with pytest.raises(ValueError, match="learning_rate"):
        other = replace(RECIPE, learning_rate=1e-4)
        train_fold.train_fold(to_paths(tmp_path), other, device=CPU, resume=True)
    train_fold.train_fold(to_paths(tmp_path), RECIPE, device=CPU, resume=True)
    found, expected = (load_file(d / "weights.safetensors") for d in (tmp_path, finished))
    for name, values in expected.items():
        assert torch.equal(found[name], values), name


def test_student_inherits_the_data_of_its_teacher(to_paths, finished, tmp_path):
    """Its list contains the teacher's file and the unlabelled frames."""
    teacher = finished / "weights.safetensors"
    paths = to_paths(tmp_path, teachers=(teacher,))
    train_fold.train_fold(paths, to_student(teacher), device=CPU)
    seen = load_record(tmp_path / "weights.safetensors").seen
    assert seen.teachers == (to_file_sha256(teacher),)
    assert seen.is_with_unlabelled
    assert isinstance(json.loads((tmp_path / "taught.json").read_text()), list)


def test_teachers_take_turns(to_paths, finished, tmp_path, monkeypatch):
    """Rotated, each step has one teacher and both are used as often; otherwise it has both."""
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((finished / "weights.safetensors").read_bytes())
    teachers = (finished / "weights.safetensors", copy)
    taught, to_losses_of = [], train_fold.to_losses

    def watch(network, batch, teaching):
        taught.append([id(each) for each in teaching])
        return to_losses_of(network, batch, teaching)

    monkeypatch.setattr(train_fold, "to_losses", watch)
    recipe = replace(to_student(teachers[0]), epochs=1)
    for rotates in (True, False):
        paths = to_paths(tmp_path / f"run-{rotates}", teachers=teachers)
        train_fold.train_fold(paths, replace(recipe, rotates_teachers=rotates), device=CPU)
    half = len(taught) // 2
    assert half >= 2
    assert [len(each) for each in taught] == [1] * half + [2] * half
    turns = Counter(each for (each,) in taught[:half])
    assert len(turns) == 2
    assert max(turns.values()) - min(turns.values()) <= 1


def test_run_of_an_older_release_can_be_continued(to_paths, finished, tmp_path):
    """Its recipe lacks the newest fields, which then have their defaults."""
    for path in finished.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    del saved["recipe"]["rotates_teachers"]
    torch.save(saved, tmp_path / "last.pt")
    train_fold.train_fold(to_paths(tmp_path), RECIPE, device=CPU, resume=True)
    with pytest.raises(ValueError, match="rotates_teachers"):
        other = replace(RECIPE, rotates_teachers=True)
        train_fold.train_fold(to_paths(tmp_path), other, device=CPU, resume=True)


@pytest.mark.parametrize("role", ["teacher", "start"])
def test_fold_refuses_networks_trained_on_its_held_out_images(to_paths, finished, tmp_path, role):
    """Fold 0's teacher was trained on fold 1, so it cannot teach or initialise fold 1."""
    weights = finished / "weights.safetensors"
    options = {"teachers": (weights,)} if role == "teacher" else {"start": weights}
    recipe = replace(to_student(weights), fold=1)
    with pytest.raises(ValueError, match="that fold 1 holds out"):
        train_fold.train_fold(to_paths(tmp_path / "run", **options), recipe, device=CPU)
    assert not (tmp_path / "run").exists()


def test_fold_refuses_a_teacher_without_a_list(to_paths, finished, tmp_path):
    """A file without a list of its training data, such as a shipped one, is refused."""
    path = tmp_path / "old.safetensors"
    record = replace(load_record(finished / "weights.safetensors"), seen=None)
    save_weights(record.build(), path, record=record)
    with pytest.raises(ValueError, match="does not list"):
        train_fold.train_fold(
            to_paths(tmp_path / "run", teachers=(path,)), to_student(path), device=CPU
        )


def test_run_starts_from_weights_without_the_head_plane_output(to_paths, tmp_path):
    """Only that output's weights may be missing."""
    older, other = tmp_path / "older.safetensors", tmp_path / "other.safetensors"
    for path, changes in ((older, {}), (other, {"channels": [2, 2, 2, 4, 8]})):
        record = NetworkRecord("attention-resunet", TINY | {"head_plane": False} | changes, Seen())
        save_weights(record.build(), path, record=record)
    recipe = replace(RECIPE, epochs=1)
    paths = to_paths(tmp_path / "run", start=older)
    train_fold.train_fold(paths, recipe, device=CPU)
    assert "plane_head.weight" in load_file(tmp_path / "run" / "weights.safetensors")
    with pytest.raises((ValueError, RuntimeError), match=r"another network|size mismatch"):
        train_fold.train_fold(to_paths(tmp_path / "two", start=other), recipe, device=CPU)


def test_first_epochs_use_half_size_examples():
    """The share is rounded to whole epochs, and averaging keeps the mean."""
    recipe = replace(RECIPE, epochs=5, half_size_share=0.6)
    assert [recipe.is_half_size(epoch) for epoch in range(5)] == [True] * 3 + [False] * 2
    batch = to_batch([1.0, 1.0], [0.0, 0.0])
    halved = to_half_size(batch)
    assert halved["network_input"].shape == (2, 1, 16, 16)
    assert torch.allclose(halved["network_input"].mean(), batch["network_input"].mean(), atol=1e-6)
    assert halved["plane_label"] is batch["plane_label"]


def to_batch(annotation_weight, teacher_weight):
    generator = torch.Generator().manual_seed(0)
    return {
        "network_input": torch.randn(2, 1, 32, 32, generator=generator),
        "coverage": torch.ones(2, 1, 32, 32),
        "plane_label": torch.ones(2, 1),
        "annotation_weight": torch.tensor(annotation_weight),
        "teacher_weight": torch.tensor(teacher_weight),
    }


def test_mask_loss_is_weighted_by_annotation_and_teacher():
    """Without weights the mask loss is zero; each weight adds the loss of its target."""
    torch.manual_seed(0)
    network = RECIPE.record.build().eval()
    teacher = RECIPE.record.build().eval()

    def to_loss(*weights):
        return to_losses(network, to_batch(*weights), [teacher])[0].item()

    assert to_loss([0.0, 0.0], [0.0, 0.0]) == 0
    annotated, taught = to_loss([1.0, 1.0], [0.0, 0.0]), to_loss([0.0, 0.0], [1.0, 1.0])
    assert to_loss([0.5, 0.5], [0.5, 0.5]) == pytest.approx((annotated + taught) / 2, rel=1e-5)
    assert annotated != pytest.approx(taught, rel=1e-3)


def test_encoder_has_its_own_learning_rate():
    """A pretrained encoder has half the decoder's rate; the schedule is a warm-up and a cosine."""
    run = begin(replace(RECIPE, learning_rate=1e-3, encoder_rate=0.5, epochs=10), 10, CPU)
    rates = []
    for _ in range(100):
        rates.append([group["lr"] for group in run.optimiser.param_groups])
        run.optimiser.step()
        run.schedule.step()
    assert all(encoder == pytest.approx(rest / 2) for encoder, rest in rates)
    assert max(rest for _, rest in rates) == pytest.approx(1e-3)
    assert rates[0][1] < 0.5e-3
    assert rates[-1][1] < 1e-5


def test_weights_are_averaged_only_after_the_first_steps(to_paths, tmp_path):
    """Before that, a run saves the network itself."""
    late = replace(RECIPE, ema_start_step=1000, epochs=1)
    train_fold.train_fold(to_paths(tmp_path), late, device=CPU)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    weights = load_file(tmp_path / "weights.safetensors")
    assert torch.equal(saved["network"]["head.0.weight"], weights["head.0.weight"])
    assert not torch.equal(saved["average"]["module.head.0.weight"], weights["head.0.weight"])


@pytest.mark.parametrize(
    "options", ["--role student", "--role teacher --teacher a.safetensors"], ids=["none", "one"]
)
def test_only_a_student_has_teachers(options):
    """A student without and a teacher with teachers are refused."""
    common = "--fold 0 --network half-time --hc18 a --planes b --run c --epochs 1 "
    with pytest.raises(ValueError, match="required for a student"):
        to_recipe(train_fold.to_parser().parse_args((common + options).split()))


def test_held_out_fold_is_evaluated(finished, folds_hc18_dir, folds_planes_dir, tmp_path, capsys):
    """The command writes one row per held-out image and refuses another fold's network."""
    out = tmp_path / "rows.csv"
    common = ["--hc18", str(folds_hc18_dir), "--planes", str(folds_planes_dir), "--out", str(out)]
    common += ["--weights", str(finished / "weights.safetensors"), "--mirror"]
    assert evaluate_fold.main(["--fold", "0", *common]) == 0
    with out.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["kind"] for row in rows] == ["hc18", "hc18", "head", "abdomen"]
    assert all(0 <= float(row["plane_probability"]) <= 1 for row in rows)
    assert "abdomen: found" in capsys.readouterr().out
    with pytest.raises(ValueError, match="that fold 1 holds out"):
        evaluate_fold.main(["--fold", "1", *common])
