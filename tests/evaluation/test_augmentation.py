from dataclasses import replace

import numpy as np
import pytest

from evaluation.augmentation import FIRST, VARIANTS, measure, to_figures
from headcirc.model.prediction import Prediction
from headcirc.quality.augmentation import AUGMENTATIONS
from tests.support.synthetic import to_synthetic_pipeline
from training.data.hc18 import load_part


class Fringed:
    """A backend that finds an unsure fringe around a disc, but not in augmented copies."""

    name, precision, device = "fringed", "fp32", "cpu"

    def infer(self, network_input):
        """Give a single picture a fringe of 0.7, and the shipped copies the disc at their zoom."""
        count, _, rows, columns = network_input.shape
        y, x = np.ogrid[:rows, :columns]
        distance_px = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2)
        if count == 1:
            disc = np.clip(60 - distance_px, 0, 1)
            return [to_prediction(np.maximum(disc, 0.7 * np.clip(90 - distance_px, 0, 1)))]
        zooms = [zoom for _, zoom in AUGMENTATIONS] if count == len(AUGMENTATIONS) else [1] * count
        return [to_prediction(np.clip(60 * zoom - distance_px, 0, 1)) for zoom in zooms]


def to_prediction(probability_map):
    return Prediction(probability_map.astype(np.float32))


def test_unsure_pictures_are_measured_by_every_variant(hc18_dir):
    """Each kind of one image is unsure; the fringe only in the first inference enlarges it."""
    pipeline = to_synthetic_pipeline()
    image = load_part(hc18_dir, "train")[0]
    errors_mm = measure([(replace(pipeline, backend=Fringed()), image)])
    assert len(errors_mm) == 7
    for variants in errors_mm.values():
        assert set(variants) == set(VARIANTS)
        (first,), (careful,) = variants[FIRST], variants["0.8, mirrored 1.1 (ships)"]
        assert np.isnan(first) or first > careful
    assert VARIANTS["0.8, mirrored 1.1 (ships)"] == AUGMENTATIONS


def test_figures_by_hand():
    """Three answers with one large error, and one picture without an answer."""
    figures = to_figures([1.0, -2.0, 6.0, float("nan")])
    assert figures["large_errors_share"] == pytest.approx(1 / 3)
    assert (figures["mean_absolute_error_mm"], figures["no_answer"]) == (3.0, 1)
