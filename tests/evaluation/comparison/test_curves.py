import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from evaluation.comparison.curves import (
    BINS,
    count_probabilities,
    describe_curves,
    to_area,
    to_calibration_error,
    to_precision_recall,
    to_reliability,
    to_roc,
)


def draw(seed=0, size=20_000):
    """Return calibrated probabilities and truths: each pixel is head with its probability."""
    generator = np.random.default_rng(seed)
    probabilities = generator.random(size).astype(np.float32)
    return probabilities[None], (generator.random(size) < probabilities)[None]


def test_pixels_are_counted_by_truth_and_probability():
    """0 is in the first bin, 1 in the last; rows are background and head."""
    probabilities = np.array([[0.0, 1.0, 0.5, 0.5]], np.float32)
    counts = count_probabilities(probabilities, np.array([[False, True, True, False]]))
    assert counts.shape == (2, BINS)
    assert counts[0, 0] == counts[1, -1] == counts[1, BINS // 2] == counts[0, BINS // 2] == 1
    assert counts.sum() == 4


def test_areas_are_those_of_scikit_learn():
    """200 bins give both areas to three digits."""
    probabilities, truth = draw()
    found = describe_curves(count_probabilities(probabilities, truth))
    labels, scores = truth.ravel(), probabilities.ravel()
    assert found["pooled_auc_roc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-3)
    expected = average_precision_score(labels, scores)
    assert found["pooled_auc_pr"] == pytest.approx(expected, abs=5e-3)


def test_perfect_and_useless_networks_have_areas_one_and_a_half():
    """Separated probabilities give 1; one probability for all gives 0.5."""
    truth = np.arange(100)[None] < 30
    perfect = count_probabilities(np.where(truth, 0.9, 0.1).astype(np.float32), truth)
    assert to_area(*to_roc(perfect)) == 1
    recall, precision = to_precision_recall(perfect)
    assert (recall[0], precision[0]) == (1, 1)
    useless = count_probabilities(np.full((1, 100), 0.5, np.float32), truth)
    assert to_area(*to_roc(useless)) == 0.5
    assert to_precision_recall(useless)[1].tolist() == pytest.approx([0.3] * (BINS // 2 + 1))


def test_calibrated_probabilities_have_no_calibration_error():
    """A pixel with probability p is head in the share p of all cases."""
    assert to_calibration_error(count_probabilities(*draw())) < 0.01


def test_calibration_error_of_a_known_case():
    """All pixels at 0.9025 with 60 % head: the error is the gap, 0.3025."""
    truth = np.arange(1000)[None] < 600
    counts = count_probabilities(np.full((1, 1000), 0.901, np.float32), truth)
    (row,) = to_reliability(counts)
    assert row == {"probability": pytest.approx(0.9025), "head_share": 0.6, "pixels": 1000}
    assert to_calibration_error(counts) == pytest.approx(0.3025)


def test_histograms_of_images_can_be_added():
    """Curves of a sum are those of all pixels together."""
    parts = [draw(seed) for seed in (1, 2)]
    together = tuple(np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    added = sum(count_probabilities(*part) for part in parts)
    assert np.array_equal(added, count_probabilities(*together))
