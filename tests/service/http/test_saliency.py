import hashlib
import io
import math
import threading
import time
from dataclasses import replace

import headcirc_service.http.explain_routes
import numpy as np
import pytest
from fastapi.testclient import TestClient
from headcirc_service.app import create_app
from headcirc_service.settings import Settings
from PIL import Image

from headcirc.explain import EDGE_BAND_SHARE
from headcirc.geometry import PixelSpacing
from headcirc.model.graph import Graph
from headcirc.model.manifest import ExplainFacts
from headcirc.network_input import to_network_input
from headcirc.raster import to_ellipse_coverage
from tests.service.http.test_problems import CONTENT, check
from tests.support.explain_graph import make_explain_graph
from tests.support.synthetic import HEAD, BrightnessBackend, to_file, to_synthetic_pipeline

LAYERS = ("bottleneck", "decoder-64")
HALF = 128
"""What a coefficient of one half is in eight bits."""


@pytest.fixture(scope="module")
def explain_facts(tmp_path_factory):
    path = tmp_path_factory.mktemp("known") / "explain.onnx"
    content = make_explain_graph()
    path.write_bytes(content)
    graph = Graph("fp32", path, hashlib.sha256(content).hexdigest())
    return ExplainFacts({"fp32": graph}, LAYERS, "bottleneck", (64,))


@pytest.fixture
def pipeline(explain_facts):
    """Return a pipeline that measures bright ellipses, and whose model can be asked why."""
    plain = to_synthetic_pipeline()
    manifest = replace(plain.manifest, explain=explain_facts)
    return replace(plain, manifest=manifest, backend=BrightnessBackend(name="onnxruntime"))


def post(client, content=CONTENT):
    return client.post("/v1/analyses", files={"image": ("scan.png", content)}).json()


def read_picture(answer):
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    return Image.open(io.BytesIO(answer.content))


@pytest.fixture
def link(client):
    return post(client)["links"]["saliency"]


def test_models_and_links_name_what_can_be_asked(client, link):
    """Layers, default and levels stand in the list of models, the address in the analysis."""
    (facts,) = client.get("/v1/models").json()["models"]
    assert facts["saliency_layers"] == list(LAYERS)
    assert facts["default_saliency_layer"] == "bottleneck"
    assert facts["attention_levels"] == [64]
    assert link.endswith("/saliency")


def test_bare_map_is_the_layer_s(client, link):
    """The bare map is the layer's in eight bits; without a name, the default layer's."""
    inside = to_ellipse_coverage(HEAD, 540, 800) > 0.5
    opposite = read_picture(client.get(link, params={"format": "map", "layer": "decoder-64"}))
    assert (opposite.mode, opposite.size) == ("L", (800, 540))
    assert np.median(np.asarray(opposite)[inside]) == 0
    assert np.median(np.asarray(opposite)[~inside]) == 255
    default = np.asarray(read_picture(client.get(link, params={"format": "map"})))
    assert np.median(default[inside]) == 255
    assert np.median(default[~inside]) == 0


@pytest.mark.parametrize(
    "sizes", [{}, {"pixel_size_mm": 0.1}, {"pixel_size_x_mm": 0.2, "pixel_size_y_mm": 0.1}]
)
def test_what_was_measured_is_explained(client, pipeline, monkeypatch, sizes):
    """The explain graph sees the network's input, pixels that are not square included."""
    seen = []

    def note(*arguments, **options):
        seen.append(to_network_input(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr("headcirc_service.measuring.explanations.to_network_input", note)
    form = {"files": {"image": ("scan.png", CONTENT)}, "data": sizes}
    link = client.post("/v1/analyses", **form).json()["links"]["saliency"]
    assert client.get(link).status_code == 200
    spacing = PixelSpacing(row_mm=0.1, column_mm=sizes.get("pixel_size_x_mm", 0.1))
    measured = pipeline.prepare(CONTENT, pixel_spacing=spacing)
    ((network_input, mapping),) = seen
    assert mapping == measured.mapping
    np.testing.assert_array_equal(network_input, measured.network_input)


def test_figures_of_a_map_that_is_the_head(client, link):
    """Brightness lies in the head; its opposite has outside's share of the band and none inside."""
    body = client.get(link, params={"format": "json"}).json()
    assert (body["layer"], body["precision"]) == ("bottleneck", "fp32")
    assert body["edge_band_share"] == EDGE_BAND_SHARE
    found = body["concentration"]
    assert found["head_area_share"] == pytest.approx(math.pi * 220 * 170 / (540 * 800), rel=0.01)
    assert found["head_share"] > 0.9  # cells of 50 x 34 frame pixels spread over the edge
    params = {"format": "json", "layer": "decoder-64"}
    opposite = client.get(link, params=params).json()["concentration"]
    assert opposite["head_share"] < 0.01
    half_band = opposite["edge_area_share"] / 2
    assert opposite["edge_share"] == pytest.approx(
        half_band / (1 - opposite["head_area_share"]), rel=0.1
    )


def test_overlay_shows_picture_map_and_edge(client, link):
    """At blend 0 the picture is grey with the mask's edge in white on black; at 1 it is viridis."""
    plain = np.asarray(read_picture(client.get(link, params={"blend": 0})))
    assert plain.shape[1:] == (800, 3)
    bare = np.asarray(read_picture(client.get(link, params={"blend": 0, "caption": "false"})))
    assert bare.shape == (540, 800, 3)
    assert (plain[:540] == bare).all()
    assert plain[540:].any()
    assert (plain[270, 400] == 255).all()
    edge = plain[270, 600:640]
    assert (edge == 0).all(axis=1).any()
    assert (edge == 255).all(axis=1).any()
    colored = np.asarray(read_picture(client.get(link, params={"blend": 1})))
    assert np.abs(colored[5, 5].astype(int) - (68, 1, 84)).max() <= 2
    assert np.abs(colored[270, 400].astype(int) - (253, 231, 37)).max() <= 2
    half = np.asarray(read_picture(client.get(link)))
    assert np.abs(half[5, 5].astype(int) - (34, 0, 42)).max() <= 2


def test_attention_is_the_gate_s_coefficients(client, link):
    """One channel, in the picture's size, one half where the gate lets half through."""
    answer = client.get(link.replace("saliency", "attention"), params={"level": 64})
    picture = read_picture(answer)
    assert (picture.mode, picture.size) == ("L", (800, 540))
    assert (np.asarray(picture) == HALF).all()


def test_no_head_has_an_empty_map(client):
    """Black: a map of zeros, null for its figures, and the picture without an edge."""
    link = post(client, to_file(np.zeros((54, 80), np.uint8)))["links"]["saliency"]
    bare = client.get(link, params={"format": "map", "layer": "decoder-64"})
    assert not np.asarray(read_picture(bare)).any()
    figures = client.get(link, params={"format": "json", "layer": "decoder-64"}).json()
    assert figures["concentration"] is None
    assert read_picture(client.get(link, params={"caption": "false"})).size == (80, 54)


def test_one_inference_serves_every_picture_of_an_analysis(client, link):
    """Layers, formats and levels of one analysis are looked up; another picture is explained."""
    explainer = client.app.state.measurer.explanations._explainer
    calls, explain = [], explainer.explain
    explainer.explain = lambda *given: calls.append(1) or explain(*given)
    for params in ({}, {"layer": "decoder-64"}, {"format": "json"}, {"format": "map"}):
        assert client.get(link, params=params).status_code == 200
    client.get(link.replace("saliency", "attention"), params={"level": 64})
    assert len(calls) == 1
    other = post(client, to_file(np.zeros((54, 80), np.uint8)))["links"]["saliency"]
    client.get(other)
    assert len(calls) == 2


def test_measurements_do_not_wait_for_explanations(make_client, link):
    """While an explanation hangs and others wait behind it, a new picture is measured."""
    client = make_client(queue_capacity=2)
    link = post(client)["links"]["saliency"]
    explanations = client.app.state.measurer.explanations
    begun, release = threading.Event(), threading.Event()
    explain = explanations._explainer.explain

    def hang(*given):
        begun.set()
        release.wait(30)
        return explain(*given)

    explanations._explainer.explain = hang
    asked = [threading.Thread(target=client.get, args=(link,)) for _ in range(2)]
    for each in asked:
        each.start()
    try:
        assert begun.wait(30)
        deadline_s = time.monotonic() + 30
        while explanations._workers.has_capacity and time.monotonic() < deadline_s:
            time.sleep(0.01)
        black = to_file(np.zeros((54, 80), np.uint8))
        answer = client.post("/v1/analyses", files={"image": ("scan.png", black)})
        assert answer.status_code == 201
        check(client.get(link), 429, "overloaded")
        assert client.get("/readyz").status_code == 200
    finally:
        release.set()
        for each in asked:
            each.join()


def test_measurements_do_not_wait_for_drawings(make_client, monkeypatch):
    """While drawings hang, as many as there are threads that measure, a picture is measured."""
    client = make_client()
    link = post(client)["links"]["saliency"]
    assert client.get(link).status_code == 200
    begun, release = threading.Semaphore(0), threading.Event()
    drawn = headcirc_service.http.explain_routes.draw_saliency

    def hang(*given, **options):
        begun.release()
        release.wait(30)
        return drawn(*given, **options)

    monkeypatch.setattr(headcirc_service.http.explain_routes, "draw_saliency", hang)
    asked = [threading.Thread(target=client.get, args=(link,)) for _ in range(2)]
    for each in asked:
        each.start()
    try:
        assert all(begun.acquire(timeout=30) for _ in asked)
        black = to_file(np.zeros((54, 80), np.uint8))
        answer = client.post("/v1/analyses", files={"image": ("scan.png", black)})
        assert answer.status_code == 201
    finally:
        release.set()
        for each in asked:
            each.join()


def test_drawings_do_not_count_as_measurements(client, link, monkeypatch):
    """Admission trusts how long measurements take, so nothing else runs among them."""

    def refuse(*_):
        raise AssertionError("a drawing runs among the measurements")

    monkeypatch.setattr(client.app.state.measurer.workers, "run", refuse)
    attention = link.replace("saliency", "attention") + "?level=64"
    for path in (link, f"{link}?format=map", f"{link}?format=json", attention):
        assert client.get(path).status_code == 200
    for part in ("mask", "overlay"):
        assert client.get(link.replace("saliency", part)).status_code == 200


@pytest.mark.parametrize(
    ("route", "params", "named"),
    [
        ("saliency", {"layer": "decoder-63"}, "decoder-64"),
        ("saliency", {"layer": ""}, "decoder-64"),
        ("saliency", {"blend": 1.01}, "blend"),
        ("saliency", {"blend": "nan"}, "blend"),
        ("saliency", {"format": "jpeg"}, "format"),
        ("attention", {"level": 63}, "64"),
        ("attention", {"level": "deep"}, "level"),
        ("attention", {}, "level"),
    ],
)
def test_unknown_questions_are_refused(client, link, route, params, named):
    """The detail names the parameter or what is known."""
    answer = client.get(link.replace("saliency", route), params=params)
    check(answer, 422, "invalid-parameter")
    assert named in answer.json()["detail"]


def test_what_is_not_kept_cannot_be_explained(client):
    """An unknown id is 404, whatever is asked of it."""
    for route in ("saliency", "attention?level=64"):
        check(client.get(f"/v1/analyses/{'0' * 32}/{route}"), 404, "not-found")


def test_analysis_of_another_model_is_not_explained(client, link):
    """Replicas may share a store while they are brought up to date: 404, and what is kept stays."""
    explanations = client.app.state.measurer.explanations
    served = explanations._pipeline
    explanations._pipeline = replace(served, manifest=replace(served.manifest, version="0.0.1"))
    for route in ("saliency", "attention?level=64"):
        answer = client.get(link.replace("saliency", route))
        check(answer, 404, "not-found")
        assert "another model" in answer.json()["detail"]
    assert client.get(link.replace("saliency", "mask")).status_code == 200


@pytest.mark.parametrize(
    ("params", "accepted"), [({}, "application/json"), ({"format": "json"}, "image/png")]
)
def test_form_that_is_not_accepted_is_refused(client, link, params, accepted):
    """Pictures need image/png, figures application/json."""
    check(client.get(link, params=params, headers={"accept": accepted}), 406, "not-acceptable")


def test_model_without_an_explain_graph_says_so():
    """No link, empty lists, and 404 with the reason."""
    with TestClient(create_app(Settings(), to_synthetic_pipeline())) as client:
        body = post(client)
        assert "saliency" not in body["links"]
        (facts,) = client.get("/v1/models").json()["models"]
        assert (facts["saliency_layers"], facts["attention_levels"]) == ([], [])
        assert facts["default_saliency_layer"] is None
        for route in ("saliency", "attention?level=64"):
            answer = client.get(f"/v1/analyses/{body['id']}/{route}")
            check(answer, 404, "not-found")
            assert "ships no explain graph" in answer.json()["detail"]


def test_model_without_gates_has_no_attention_maps(pipeline):
    """A U-Net has Grad-CAM maps and no gates; the answer says so, with 404."""
    explain = replace(pipeline.manifest.explain, attention_levels=())
    manifest = replace(pipeline.manifest, explain=explain)
    with TestClient(create_app(Settings(), replace(pipeline, manifest=manifest))) as client:
        links = post(client)["links"]
        assert client.get(links["saliency"]).status_code == 200
        refused = client.get(links["self"] + "/attention", params={"level": 64})
    assert refused.status_code == 404
    assert "no attention gates" in refused.json()["detail"]
