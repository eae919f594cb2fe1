import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training.checkpoint import NetworkRecord, load_record, load_trained, save_weights
from training.data.folds import FOLDS
from training.train_plane_head import (
    ROWS_NAME,
    Features,
    fit,
    main,
    summarise,
    to_held_out,
    to_probabilities,
)

TINY = {"channels": [2, 2, 2, 4, 4], "halving_stem": True}


@pytest.fixture
def clouds():
    """Return features of heads and of other planes, two clouds that one channel separates."""
    generator = np.random.default_rng(0)
    is_head = np.arange(200) % 2 == 0
    values = generator.normal(size=(200, 3)).astype(np.float32)
    values[:, 0] += np.where(is_head, 4, -4)
    features = Features(values, is_head, np.arange(200), np.ones(200, np.bool_))
    return features, np.where(is_head, "hc18", "no-head")


def test_fit_finds_the_channel_that_separates(clouds):
    """The weights are those of features that are not standardised."""
    features, sources = clouds
    direction, bias = fit(features, sources, np.ones(200, np.bool_), penalty=0.1)
    assert abs(direction[0]) > 2 * np.abs(direction[1:]).max()
    called = to_probabilities(features.values, direction, bias) > 0.5
    assert (called == features.is_head).mean() > 0.99


def test_held_out_probability_does_not_use_its_own_fold(clouds):
    """With the labels of one fold turned round, the others still judge it by the truth."""
    features, sources = clouds
    folds = np.arange(200) // 2 % FOLDS
    expected = to_held_out(features, sources, folds, penalty=0.1)[folds == 0]
    wrong = np.where(folds == 0, np.where(sources == "hc18", "no-head", "hc18"), sources)
    is_head = np.where(folds == 0, ~features.is_head, features.is_head)
    turned = Features(features.values, is_head, features.indices, features.is_plain)
    found = to_held_out(turned, wrong, folds, penalty=0.1)[folds == 0]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(("has_old_output", "options"), [(False, []), (True, ["--maxima"])])
def test_command_adds_the_output_and_changes_no_other_weight(
    folds_hc18_dir, folds_planes_dir, tmp_path, has_old_output, options
):
    """An output that the weights have is replaced.

    The record lists what the new output depends on, and one row is written per image.
    """
    path, out = tmp_path / "start.safetensors", tmp_path / "out"
    record = NetworkRecord("attention-resunet", TINY | {"head_plane": has_old_output})
    torch.manual_seed(0)
    save_weights(record.build(), path, record=record)
    folders = ["--hc18", str(folds_hc18_dir), "--planes", str(folds_planes_dir)]
    assert main(["--weights", str(path), *folders, "--out", str(out), *options]) == 0
    before, after = load_file(path), load_file(out / "weights.safetensors")
    plane_head = {"plane_head.weight", "plane_head.bias"}
    kept = before.keys() - plane_head
    assert after.keys() - kept == plane_head
    assert all(torch.equal(after[name], before[name]) for name in kept)
    written = load_record(out / "weights.safetensors")
    assert written.keywords["head_plane"]
    assert written.seen.exams
    logits, plane_logits = load_trained(out / "weights.safetensors")(torch.zeros(1, 1, 64, 64))
    assert (logits.shape, plane_logits.shape) == ((1, 1, 64, 64), (1, 1))
    with (out / ROWS_NAME).open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert all(0 <= float(row["head_plane_probability"]) <= 1 for row in rows)


def test_summary_counts_by_kind():
    """One of two abdomens is below every limit."""
    (line,) = summarise(["abdomen", "abdomen"], np.array([0.05, 0.9]))
    assert line.startswith("abdomen (no heads, 2): 50.0 % below 0.1")
