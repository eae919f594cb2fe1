from dataclasses import replace

import numpy as np
import pytest

from evaluation.augmentation import (
    AVERAGED,
    CLEAN,
    FIRST,
    VARIANTS,
    find_shipped,
    measure,
    to_figures,
    to_summaries,
)
from headcirc.model.prediction import Prediction
from headcirc.quality.augmentation import AUGMENTATIONS
from tests.support.drawn_hc18 import write_image
from tests.support.synthetic import to_synthetic_pipeline


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


def limit_to(sure_mean_probability):
    """Return a pipeline with this limit of test-time augmentation."""
    pipeline = to_synthetic_pipeline()
    mask = replace(pipeline.manifest.mask, sure_mean_probability=sure_mean_probability)
    return replace(pipeline, manifest=replace(pipeline.manifest, mask=mask))


def to_prediction(probability_map):
    return Prediction(probability_map.astype(np.float32))


@pytest.mark.parametrize("limit", [0.0, 0.95])
def test_unsure_pictures_are_measured_by_every_variant(tmp_path, limit):
    """Each kind is unsure, whatever limit the model has; the first inference's fringe enlarges it.

    Without the fringe, the disc has a radius of 60 network pixels at every zoom.
    """
    pipeline = replace(limit_to(limit), backend=Fringed())
    errors_mm = measure([(pipeline, write_image(tmp_path, 10))])
    assert len(errors_mm) == 7
    for variants in errors_mm.values():
        assert set(variants) == set(VARIANTS)
        (first,), (careful,) = variants[FIRST], variants[AVERAGED]
        assert np.isnan(first) or first > careful
    assert VARIANTS[AVERAGED] == AUGMENTATIONS


def test_sure_pictures_are_left_out(tmp_path):
    """A clean drawn head has a mean probability near 1."""
    errors_mm = measure([(to_synthetic_pipeline(), write_image(tmp_path, 10))])
    assert CLEAN not in errors_mm


@pytest.mark.parametrize(("limits", "shipped"), [([0.0, 0.0], FIRST), ([0.0, 0.95], AVERAGED)])
def test_variant_that_ships_is_read_from_the_manifests(limits, shipped):
    """A limit of 0 is never reached; the report marks the variant that ships, and no other."""
    manifests = [limit_to(each).manifest for each in limits]
    assert find_shipped(manifests) == shipped
    errors_mm = {CLEAN: {name: [1.0, float("nan")] for name in VARIANTS}}
    summaries = to_summaries(errors_mm, shipped=shipped)
    for figures in (summaries["all"], summaries["kinds"][CLEAN]):
        assert [name for name in figures if "ships" in name] == [f"{shipped} (ships)"]
        assert len(figures) == len(VARIANTS)
    assert summaries["unsure"] == {CLEAN: 2}
    assert summaries["unsure_below"] == 0.95


def test_figures_by_hand():
    """Three answers with one large error, and one picture without an answer."""
    figures = to_figures([1.0, -2.0, 6.0, float("nan")])
    assert figures["large_errors_share"] == pytest.approx(1 / 3)
    assert (figures["mean_absolute_error_mm"], figures["no_answer"]) == (3.0, 1)


def test_variant_without_answers_has_no_errors():
    """A kind may have few unsure pictures, and a variant no answer for any of them."""
    figures = to_figures([float("nan")])
    assert (figures["mean_absolute_error_mm"], figures["large_errors_share"]) == (None, None)
    assert figures["no_answer"] == 1
