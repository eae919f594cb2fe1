import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.explanations.__main__ import Measured, choose_images, measure_images
from evaluation.explanations.curves import (
    BASELINES,
    CENTRE,
    KINDS,
    RANDOM,
    SHARES,
    draw_baselines,
    measure_curves,
    summarise_curves,
    to_area,
    to_ranks,
)
from evaluation.explanations.plots import plot_curves, plot_randomised
from evaluation.explanations.randomised import (
    ANOTHER,
    STAGES,
    measure_randomised,
    randomise,
    to_rank_correlation,
)
from evaluation.explanations.text import ABSENT, BLOCK, DOCUMENT, read_block, to_block
from evaluation.held_out import LoadedFold
from harness.documents import read_block as read_between
from headcirc.explain import Explainer
from headcirc.model.manifest import load_manifest
from headcirc.model.prediction import Prediction
from model_export.explain import LAYERS
from tests.support.drawn_hc18 import write_image
from tests.support.synthetic import BrightnessBackend, to_synthetic_pipeline
from training.networks.attention_resunet import HALF_TIME, AttentionResUNet

SIDE_PX = 20
HEAD = np.zeros((SIDE_PX, SIDE_PX), bool)
HEAD[:10, :10] = True
"""A quarter of the picture."""
PICTURE = np.ones((SIDE_PX, SIDE_PX), np.float32)


def see_brightness(network_input):
    """Answer as a network for which a pixel is head where it is left, and is not where black."""
    return network_input[:, 0]


def measure(saliency_map):
    ranks = to_ranks(saliency_map.astype(np.float32), np.random.default_rng(0))
    return measure_curves(see_brightness, PICTURE, HEAD, ranks, black=0.0)


def test_curves_of_a_perfect_map_are_known():
    """The score changes only over the quarter of the picture that is the head."""
    curves = measure(HEAD)
    expected = [max(0.0, 1 - share / 0.25) for share in SHARES]
    assert curves["deletion"] == pytest.approx(expected, abs=1e-6)
    assert curves["insertion"] == pytest.approx([1 - each for each in expected], abs=1e-6)


def test_curves_of_the_worst_map_are_the_opposite():
    """The score does not change before three quarters of the picture are removed."""
    expected = [min(1.0, (1 - share) / 0.25) for share in SHARES]
    assert measure(~HEAD)["deletion"] == pytest.approx(expected, abs=1e-6)


def test_pixels_of_a_constant_map_are_removed_in_random_order():
    """With equal values, pixels of all regions are removed equally often."""
    assert measure(np.zeros_like(PICTURE))["deletion"] == pytest.approx(
        [1 - share for share in SHARES], abs=0.1
    )


def test_area_of_a_straight_line_is_a_half():
    """The trapezoidal rule handles uneven steps."""
    assert to_area([1 - share for share in SHARES]) == pytest.approx(0.5)


def test_gain_is_positive_for_the_better_map_in_both_directions():
    """A perfect map is better than noise in both curves, its opposite is worse."""
    maps = {"good": HEAD, "bad": ~HEAD, RANDOM: np.zeros_like(PICTURE)}
    measured = [{name: measure(each) for name, each in maps.items()}] * 3
    summary = summarise_curves(measured, [1, 2, 2])
    for kind in KINDS:
        assert summary[kind]["good"]["gain"]["value"] > 0.2
        assert summary[kind]["bad"]["gain"]["value"] < -0.2
        assert summary[kind][RANDOM]["gain"]["value"] == 0
        assert summary[kind]["good"]["curve"] == pytest.approx(measured[0]["good"][kind])


def test_baselines_do_not_depend_on_the_network():
    """All have the picture's size; `centre` is highest in the middle, noise is random."""
    network_input = np.zeros((32, 48), np.float32)
    network_input[:, 24:] = 1
    drawn = [
        draw_baselines(network_input, network_input, np.random.default_rng(seed)) for seed in (0, 1)
    ]
    assert list(drawn[0]) == list(BASELINES)
    assert all(each.shape == (32, 48) for each in drawn[0].values())
    assert np.unravel_index(drawn[0][CENTRE].argmax(), (32, 48)) in {(15, 23), (15, 24), (16, 23)}
    assert drawn[0]["edge"][16].argmax() in {23, 24}
    assert (drawn[0][RANDOM] != drawn[1][RANDOM]).any()


def test_images_are_spread_over_the_folds():
    """A few images are spread over all folds; a large count gives all images."""
    folds = [LoadedFold(0, None, None, list(range(40))), LoadedFold(3, None, None, list(range(55)))]
    assert [each.images for each in choose_images(folds, 5)] == [[0, 19, 38], [17, 36]]
    assert choose_images(folds, 100) == choose_images(folds, None) == folds


def test_each_image_is_explained_by_its_fold(tmp_path, explain_model_dir):
    """A drawn head is explained by the graph of its fold; a picture that shows none is left out."""
    heads = [write_image(tmp_path, exam) for exam in (10, 11)]
    blind = replace(to_explainable(explain_model_dir), backend=Blind())
    measured = Measured()
    for number, (pipeline, image) in enumerate(
        zip((blind, to_explainable(explain_model_dir)), heads, strict=True)
    ):
        fold = LoadedFold(number, explain_model_dir, pipeline, [image])
        explainer = Explainer(pipeline.manifest, "onnxruntime", threads=1)
        measure_images(fold, explainer, measured)
    assert measured.without_head == [heads[0].name]
    assert (measured.exams, measured.folds) == ([11], [1])
    assert set(measured.concentrations) == set(LAYERS)
    assert set(measured.curves[0]) == {*LAYERS, *BASELINES}


class Blind(BrightnessBackend):
    """A backend for which every picture is black."""

    def infer(self, network_input):
        """Find no head."""
        return [Prediction(np.zeros(each.shape[1:], np.float32)) for each in network_input]


def to_explainable(model_dir):
    """Return a pipeline that measures bright ellipses, with the explain graphs of a model."""
    pipeline = to_synthetic_pipeline()
    explain = load_manifest(model_dir).explain
    return replace(pipeline, manifest=replace(pipeline.manifest, explain=explain))


def test_rank_correlation_of_known_maps():
    """1 for an increasing function, -1 for the opposite, None for a constant map."""
    values = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    assert to_rank_correlation(values, values**3) == pytest.approx(1)
    assert to_rank_correlation(values, -values) == pytest.approx(-1)
    assert to_rank_correlation(values, np.zeros_like(values)) is None


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return AttentionResUNet(width=2).eval()


def test_weights_are_randomised_from_the_output_backwards(network):
    """Each stage changes one more level; the network itself stays unchanged."""
    before = {name: each.clone() for name, each in network.state_dict().items()}
    levels = {
        "decoder-64": "decoder.3", "decoder-128": "decoder.2", "decoder-256": "decoder.1",
        "decoder-512": "decoder.0", "bottleneck": "bottleneck", "encoder": "encoder",
    }  # fmt: skip
    randomised = {"head"}
    for stage, changed in randomise(network, 1):
        randomised.add(levels[stage])
        for name, each in changed.state_dict().items():
            if each.ndim == 4:
                is_changed = any(name.startswith(level) for level in randomised)
                assert bool((each != before[name]).any()) == is_changed, (stage, name)
    assert list(levels) == list(STAGES)
    assert all((each == before[name]).all() for name, each in network.state_dict().items())


def test_all_kernels_of_the_half_time_network_are_random_in_the_end():
    """Its stem belongs to the encoder; only the plane's output, which no map needs, keeps them."""
    torch.manual_seed(0)
    keywords = HALF_TIME | {"channels": (2, 2, 4, 8, 16), "head_plane": True}
    half = AttentionResUNet(**keywords).eval()
    before = {name: each.clone() for name, each in half.state_dict().items()}
    for stage, changed in randomise(half, 1):
        for name, each in changed.state_dict().items():
            if each.ndim == 4 and (stage == "encoder" or name.startswith("stem")):
                assert bool((each != before[name]).any()) == (stage == "encoder"), (stage, name)


@pytest.fixture(scope="module")
def report(network):
    """Return a report with every field that is drawn and written, from tiny measurements."""
    generator = np.random.default_rng(0)
    inputs = [generator.normal(size=(1, 1, 32, 32)).astype(np.float32) for _ in range(2)]
    maps = dict.fromkeys((*LAYERS, *BASELINES), HEAD)
    curves = {name: measure(each) for name, each in maps.items()}
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    names = ("head_share", "edge_share", "head_area_share", "edge_area_share")
    return {
        "command": "python -m evaluation.explanations", "date": "2026-01-01T00:00:00Z",
        "machine": {"cpu": "some"}, "shares": SHARES,
        "folds": [{"fold": fold, "name": "tiny", "precision": "fp32"} for fold in (0, 2)],
        "backend": "onnxruntime", "randomised_fold": {"fold": 0, "images": 7},
        "data": {"images": 2, "exams": 2, "without_head": ["a"]},
        "curves": summarise_curves([curves, curves], [1, 2]),
        "concentration": {layer: dict.fromkeys(names, figure) for layer in LAYERS},
        "randomised": measure_randomised(network, inputs, [1, 2], threshold=0.0),
    }  # fmt: skip


def test_randomised_weights_change_the_maps(report):
    """Every stage has every layer; with random weights all maps differ."""
    randomised = report["randomised"]
    assert list(randomised) == [ANOTHER, *STAGES]
    for layer in LAYERS:
        value = randomised["encoder"][layer]["value"]
        assert value is None or value < 0.99


def test_report_becomes_tables_and_plots(report, tmp_path):
    """Every map, baseline and stage has a row; both plots are drawn."""
    block = to_block(json.loads(json.dumps(report, allow_nan=False)))
    assert "2 images of 2 exams of HC18, out of fold (folds 0 and 2; left out" in block
    assert "(network and 7 images of fold 0)" in block
    for name in (*LAYERS, *BASELINES, *STAGES):
        assert any(name in line for line in block.splitlines() if line.startswith("|")), name
    for name, plot in (("curves.png", plot_curves), ("randomised.png", plot_randomised)):
        plot(report, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 10_000, name


def test_document_has_the_block_of_the_committed_results():
    """The block is made from the committed results, or states that there are none."""
    assert read_between(DOCUMENT.read_text(), BLOCK) == read_block()
    assert to_block(None) == ABSENT
