import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headcirc.backends.registry import choose_explain_graph, load_explain_backend
from headcirc.errors import BackendUnavailableError, ModelArtifactError
from headcirc.explain import (
    EDGE_BAND_SHARE,
    RETRY_S,
    Explainer,
    Explanation,
    measure_concentration,
    to_edge_band,
)
from headcirc.geometry import Ellipse, GridMapping
from headcirc.model.graph import Graph
from headcirc.model.manifest import ExplainFacts, InputFacts, Manifest, MaskFacts, load_manifest
from headcirc.network_input import to_network_input
from headcirc.pipeline import load_pipeline
from headcirc.raster import to_ellipse_coverage

ROWS, COLUMNS, RADIUS_PX = 400, 500, 160
DISC = to_ellipse_coverage(Ellipse(249.5, 199.5, RADIUS_PX, RADIUS_PX, 0.0), ROWS, COLUMNS) > 0.5
FRAME_AREA = ROWS * COLUMNS
STAIRS = 0.04
"""How much a band of 16 pixels is wider along a round edge, whose pixels are stairs."""


def test_constant_map_has_the_share_of_the_area():
    """A map of ones: pi r^2 of the frame inside, and 4 pi r^2 / 10 in a band of half width r/10."""
    found = measure_concentration(np.ones((ROWS, COLUMNS), np.float32), DISC)
    head, edge = math.pi * RADIUS_PX**2, 4 * math.pi * EDGE_BAND_SHARE * RADIUS_PX**2
    assert found.head_share == pytest.approx(head / FRAME_AREA, rel=0.002)
    assert found.edge_share == pytest.approx(edge / FRAME_AREA, rel=STAIRS)
    assert found.head_area_share == pytest.approx(found.head_share)
    assert found.edge_area_share == pytest.approx(found.edge_share)


def test_map_of_the_head_alone_lies_in_the_head():
    """The mask as a map: all in the head, 1 - 0.9^2 of it in the inner half of the band."""
    found = measure_concentration(DISC.astype(np.float32), DISC)
    assert found.head_share == pytest.approx(1)
    assert found.edge_share == pytest.approx(1 - (1 - EDGE_BAND_SHARE) ** 2, rel=STAIRS)


def test_map_far_outside_has_no_share():
    """A map in a corner: nothing in the head, nothing at its edge."""
    corner = np.zeros((ROWS, COLUMNS), np.float32)
    corner[:20, :20] = 0.3
    found = measure_concentration(corner, DISC)
    assert (found.head_share, found.edge_share) == (0, 0)


def test_ring_around_the_edge_lies_half_in_the_head():
    """A map that is the band: all at the edge; inside, the smaller inner half's share."""
    found = measure_concentration(to_edge_band(DISC).astype(np.float32), DISC)
    assert found.edge_share == pytest.approx(1)
    inner, outer = 1 - (1 - EDGE_BAND_SHARE) ** 2, (1 + EDGE_BAND_SHARE) ** 2 - 1
    assert found.head_share == pytest.approx(inner / (inner + outer), rel=0.005)


def test_concentration_does_not_depend_on_the_map_s_unit():
    """Shares of a map and of ten times the map are the same."""
    values = np.random.default_rng(0).random((ROWS, COLUMNS), np.float32)
    once, tenfold = (measure_concentration(each, DISC) for each in (values, 10 * values))
    assert once.head_share == pytest.approx(tenfold.head_share)
    assert once.edge_share == pytest.approx(tenfold.edge_share)


def test_empty_map_or_mask_has_no_concentration():
    """The result is None, never NaN."""
    empty = np.zeros((ROWS, COLUMNS), np.float32)
    assert measure_concentration(empty, DISC) is None
    assert measure_concentration(empty + 1, empty.astype(bool)) is None


def test_frame_s_border_is_no_edge():
    """A head that fills the frame's left half has its edge in the middle only."""
    mask = np.zeros((100, 200), bool)
    mask[:, :100] = True
    band = to_edge_band(mask)
    columns = np.flatnonzero(band.any(axis=0))
    width_px = EDGE_BAND_SHARE * math.sqrt(10_000 / math.pi)
    assert columns.tolist() == list(range(100 - int(width_px + 0.5), 100 + int(width_px + 0.5)))
    assert not to_edge_band(np.ones((10, 10), bool)).any()


def test_map_is_placed_correctly_in_the_frame():
    """A coarse cell over known network pixels covers the frame pixels of those, padding cut off."""
    # 8 x 8 network pixels, of which the frame's 40 x 80 fill rows 2 to 5; one coarse cell is 4 x 4.
    mapping = GridMapping(40, 80, content_rows=4, content_columns=8, top=2, left=0)
    coarse = np.array([[0, 1], [0, 0]], np.float32)
    explanation = Explanation({"bottleneck": coarse}, mapping, 8, 8, "fp32")
    found = explanation.to_saliency_map("bottleneck")
    assert found.shape == (40, 80)
    assert found[0, -1] == found.max() > found[-1, -1] > 0 == found[:, 0].max()


@pytest.fixture
def facts():
    grid = InputFacts(256, 256, 1.0, 0.2, 0.2)
    return Manifest("none", "0", 1, 1, grid, MaskFacts(0.5, 0.0, 0.0, 0.0, 0.0, 1.0), {})


def test_model_without_an_explain_graph_is_refused(facts):
    """The error names the model."""
    with pytest.raises(ModelArtifactError, match="'none' ships no explain graph"):
        load_explain_backend("onnxruntime", facts, threads=1)


def test_unknown_backend_is_refused(facts):
    """No other backend steps in."""
    with pytest.raises(BackendUnavailableError, match="'abacus' is unknown"):
        load_explain_backend("abacus", facts, threads=1)


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("openvino", "fp32"), ("onnxruntime", "fp32"), ("tensorrt", "fp16")],
)
def test_float32_is_explained_on_cpus_and_float16_on_gpus(facts, backend, precision):
    """Also where a CPU measures in int8, which has no gradient."""
    graphs = {each: Graph(each, Path(f"{each}.onnx"), "0" * 64) for each in ("fp32", "fp16")}
    explain = ExplainFacts(graphs, ("bottleneck",), "bottleneck", (512,))
    assert choose_explain_graph(replace(facts, explain=explain), backend).precision == precision


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def pipeline(request, explain_model_dir):
    return load_pipeline(explain_model_dir, backend=request.param, threads=1)


@pytest.fixture(scope="module")
def analysis(pipeline):
    return pipeline.analyze(Path("examples/phantom.png").read_bytes())


@pytest.fixture(scope="module")
def explanation(pipeline, analysis):
    explainer = Explainer(pipeline.manifest, pipeline.backend.name, threads=1)
    return explainer.explain(*to_network_input(analysis.frame.pixels, pipeline.manifest.input))


def test_every_map_covers_the_frame(pipeline, analysis, explanation):
    """Saliency at each layer and attention at each level: frame-sized, in [0, 1], not empty."""
    explain = pipeline.manifest.explain
    maps = [explanation.to_saliency_map(layer) for layer in explain.layers]
    maps += [explanation.to_attention_map(level) for level in explain.attention_levels]
    for values in maps:
        assert values.shape == analysis.frame.pixels.shape
        assert values.dtype == np.float32
        assert 0 <= values.min() < values.max() <= 1
    assert explanation.precision == "fp32"


def test_default_layer_concentrates_on_the_head(pipeline, analysis, explanation):
    """The head has a much larger share of the example's map than of a constant map."""
    saliency = explanation.to_saliency_map(pipeline.manifest.explain.default_layer)
    found = measure_concentration(saliency, analysis.head.mask.pixels)
    assert found.head_share > 1.3 * found.head_area_share


def test_unknown_layer_is_a_key_error(explanation):
    """Neither an unknown layer nor an unknown level gets another one's map."""
    with pytest.raises(KeyError):
        explanation.to_saliency_map("decoder-1024")
    with pytest.raises(KeyError):
        explanation.to_attention_map(1024)


class ConstantBackend:
    """An explain backend whose one map is zero everywhere."""

    precision = "fp32"

    def infer_all(self, network_input):
        return {"bottleneck": np.zeros_like(network_input)}


def test_failed_load_of_the_explain_graph_is_tried_again_after_a_wait(facts):
    """Until then every request gets the same error, and the graph is not loaded for it."""
    now_s, loads, can_load = [0.0], [], []

    def load(*_, **__):
        loads.append(now_s[0])
        if not can_load:
            raise BackendUnavailableError("no memory left")
        return ConstantBackend()

    explainer = Explainer(facts, "onnxruntime", threads=1, load=load, clock=lambda: now_s[0])
    network_input, mapping = to_network_input(np.zeros((54, 80), np.uint8), facts.input)
    for now_s[0] in (0.0, 1.0, RETRY_S - 1, RETRY_S, RETRY_S + 1):
        with pytest.raises(BackendUnavailableError, match="no memory left"):
            explainer.explain(network_input, mapping)
    assert loads == [0.0, RETRY_S]
    can_load.append(True)
    for now_s[0] in (2 * RETRY_S, 2 * RETRY_S + 1):
        assert explainer.explain(network_input, mapping).precision == "fp32"
    assert loads == [0.0, RETRY_S, 2 * RETRY_S]


def test_graph_is_loaded_once_and_on_first_use(explain_model_dir, tmp_path):
    """Creating the explainer reads nothing; four concurrent first requests load the graph once."""
    manifest = load_manifest(explain_model_dir)
    loads = []

    def load(*arguments, **keywords):
        loads.append(1)
        return load_explain_backend(*arguments, **keywords)

    explainer = Explainer(manifest, "onnxruntime", threads=1, load=load)
    network_input, mapping = to_network_input(np.zeros((54, 80), np.uint8), manifest.input)
    assert not loads
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: explainer.explain(network_input, mapping), range(4)))
    assert loads == [1]
    assert all(not each.to_saliency_map("bottleneck").any() for each in found)
