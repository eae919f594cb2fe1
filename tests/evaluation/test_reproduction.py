import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.held_out import LoadedFold, to_fold_header, to_pairs
from evaluation.reproduction import (
    BLOCK,
    DOCUMENT,
    RESULT_NAME,
    keep_validation,
    load_resized,
    measure,
    measure_sampled_distances,
    score,
    split_as_published,
    to_batch_dices,
    to_block,
    to_grid,
    to_label,
)
from harness.documents import read_block
from harness.paths import EVALUATION_RESULTS_DIR
from tests.support.drawn_hc18 import write_image
from tests.support.synthetic import to_synthetic_pipeline
from training.data.hc18 import HC18Image

SIDE = 256


@pytest.fixture
def outline_path(tmp_path):
    """Write an annotation like HC18's: 800x540, an outline three pixels wide."""
    picture = np.zeros((540, 800), np.uint8)
    cv2.ellipse(picture, (400, 270), (250, 180), 20, 0, 360, 255, 3)
    cv2.imwrite(str(tmp_path / "outline.png"), picture)
    return tmp_path / "outline.png"


def test_label_of_an_outline_is_everything_else(outline_path):
    """Inside and outside of the outline have the same label, and the outline has the other."""
    outline = load_resized(outline_path)
    assert outline.shape == (SIDE, SIDE)
    label = to_label(outline)
    assert label[128, 128]
    assert label[0, 0]
    assert 0.98 < label.mean() < 1
    assert not label[outline > 0.5].any()


def test_label_of_a_filled_picture_is_the_bright_part():
    """If the annotation is bright on average, the rule takes the bright pixels."""
    annotation = np.zeros((SIDE, SIDE), np.float32)
    annotation[:128] = 1
    assert np.array_equal(to_label(annotation), annotation > 0.5)


def test_constant_answer_has_the_dice_of_its_share():
    """If the share s of the pixels is head, "all head" has Dice 2s / (1 + s), recall 1."""
    label = np.ones((SIDE, SIDE), np.bool_)
    label[:2] = False
    share = label.mean()
    found = score([np.ones_like(label)] * 3, [label] * 3)
    assert found["dice"] == pytest.approx(2 * share / (1 + share))
    assert found["dice_deviation_of_batches"] == 0
    assert (found["recall"], found["precision"]) == (1, pytest.approx(share))


def test_dice_is_pooled_in_batches_of_eight():
    """Nine images make a batch of eight and one of one."""
    label = np.zeros((4, 4), np.bool_)
    label[:2] = True
    predicted = [label] * 8 + [~label]
    assert to_batch_dices(predicted, [label] * 9) == [1, 0]


def test_distance_of_a_region_to_itself_comes_from_sampling():
    """Two samples of 100 pixels of one full picture: about half the spacing of the points.

    For n points on an area A, the mean distance to the nearest one is sqrt(A / n) / 2: 12.8 px.
    Points near the border have fewer neighbours, so it is a little more. The exact distance is 0.
    """
    full = np.ones((SIDE, SIDE), np.bool_)
    generator = np.random.default_rng(1)
    found = np.array([measure_sampled_distances(full, full, generator) for _ in range(40)])
    expected = math.sqrt(SIDE**2 / 100) / 2
    assert expected < found[:, 1].mean() < 1.08 * expected
    assert 30 < found[:, 0].mean() < 45
    assert measure_sampled_distances(full, np.zeros_like(full), generator) is None


def test_small_regions_are_not_sampled():
    """With at most 100 pixels all are used: a square shifted by 3 has Hausdorff distance 3."""
    first, second = np.zeros((2, 40, 40), np.bool_)
    first[10:20, 10:20] = second[10:20, 13:23] = True
    hausdorff, average = measure_sampled_distances(first, second, np.random.default_rng(0))
    assert hausdorff == 3
    assert average == pytest.approx((1 + 2 + 3) / 10)


def test_split_is_the_published_one():
    """Sorted names, numpy's legacy generator with seed 42, 80 % for training; by image."""
    names = [f"{i:03d}_HC.png" for i in range(20)]
    images = [HC18Image(name, i, 0.1, 100.0, Path(), Path()) for i, name in enumerate(names)]
    training, validation = split_as_published(images[::-1])
    indices = np.arange(20)
    np.random.seed(42)
    np.random.shuffle(indices)
    assert [image.exam for image in training + validation] == list(indices)
    assert len(validation) == 4


def test_mask_keeps_its_share_on_the_grid():
    """A half-filled frame is half filled on 256x256."""
    mask = np.zeros((540, 800), np.bool_)
    mask[:, :400] = True
    assert to_grid(mask).mean() == 0.5


def test_only_images_with_the_model_of_their_fold_are_measured(tmp_path):
    """Two of four validation images have a model; drawn heads score nearly as true ellipses."""
    images = [write_image(tmp_path, exam) for exam in range(20)]
    _, validation = split_as_published(images)
    training = [image for image in images if image not in validation]
    held_out = [[validation[2], *training[:3]], [*training[3:], validation[1]]]
    folds = [
        LoadedFold(number, tmp_path, to_synthetic_pipeline(), each)
        for number, each in zip((0, 3), held_out, strict=True)
    ]
    pairs = to_pairs(keep_validation(folds, validation))
    assert [image for _, image in pairs] == [validation[2], validation[1]]
    report = measure(pairs, images)
    assert report["split"]["validation_out_of_fold"] == 2
    scores = report["scores"]
    assert {scores[name]["images"] for name in scores if name.startswith("network")} == {2}
    assert scores["constant, published labels"]["images"] == len(validation) == 4
    assert scores["network, filled ellipses"]["dice"] > 0.98
    assert scores["network, published labels"]["dice"] < 0.7
    block = to_block(report | to_fold_header("command", folds))
    assert "synthetic, out of fold: 2 of the 4 validation images, those that folds 0 and 3" in block


def test_page_shows_the_committed_report():
    """The table is what the command wrote."""
    report = json.loads((EVALUATION_RESULTS_DIR / RESULT_NAME).read_text())
    assert read_block(DOCUMENT.read_text(), BLOCK) == to_block(report)
