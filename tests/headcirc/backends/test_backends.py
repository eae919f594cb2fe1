import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from examples.phantom import draw_phantom, load_parameters, true_head_circumference_mm
from headcirc.backends import load_backend
from headcirc.backends.registry import choose_graph
from headcirc.errors import BackendUnavailableError, ModelArtifactError
from headcirc.geometry import PixelSpacing
from headcirc.model.graph import Graph
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR, load_pipeline
from tests.support.synthetic import to_file

EXAMPLE = Path("examples/phantom.png")


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def pipeline(request):
    return load_pipeline(backend=request.param)


def test_batch_gives_the_results_of_single_pictures(pipeline):
    """A batch gives each picture the answer that it gets alone."""
    network_input = np.random.default_rng(0).standard_normal((3, 1, 256, 256), np.float32)
    together = pipeline.infer(network_input)
    (alone,) = pipeline.infer(network_input[1:2])
    assert [each.probability_map.shape for each in together] == [(256, 256)] * 3
    assert np.abs(together[1].probability_map - alone.probability_map).max() < 1e-5


def test_probabilities_are_probabilities(pipeline):
    """Values lie in [0, 1]."""
    (prediction,) = pipeline.infer(np.zeros((1, 1, 256, 256), np.float32))
    probabilities = prediction.probability_map
    assert 0 <= probabilities.min() <= probabilities.max() <= 1


def test_example_measures_near_its_true_circumference(pipeline):
    """The committed example, never trained on, measures within 3 % of what was drawn."""
    analysis = pipeline.analyze(EXAMPLE.read_bytes(), pixel_spacing=PixelSpacing(0.1277, 0.1277))
    assert analysis.head.measurement.head_circumference_mm == pytest.approx(183.98, rel=0.03)
    assert analysis.quality.acceptable


def test_backends_agree_on_the_example():
    """In float32 both runtimes give the same millimetres to within 0.01, in int8 to within 0.5."""
    float32, reference, *int8 = [
        load_pipeline(backend=name, precision=precision)
        .analyze(EXAMPLE.read_bytes(), pixel_spacing=PixelSpacing(0.1277, 0.1277))
        .head.measurement.head_circumference_mm
        for precision in ("fp32", "int8")
        for name in ("openvino", "onnxruntime")
    ]
    assert float32 == pytest.approx(reference, abs=0.01)
    assert int8 == pytest.approx([reference, reference], abs=0.5)


def test_auto_prefers_openvino():
    """The order of `auto` is fixed."""
    manifest = load_manifest(SHIPPED_MODEL_DIR)
    assert load_backend("auto", manifest, threads=1).name == "openvino"


OUTLIVED_BY_A_SIGNAL = """
import os, signal
from headcirc.backends import load_backend
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

first, second = [
    load_backend("openvino", load_manifest(SHIPPED_MODEL_DIR), threads=1) for _ in range(2)
]
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signal_is_handled_after_two_backends_are_gone():
    """Two overlapping OpenVINO cores would leave a freed signal stack, and SIGTERM would crash."""
    command = [sys.executable, "-c", OUTLIVED_BY_A_SIGNAL]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n")


def test_unknown_backend_is_refused_with_the_known_ones():
    """The error lists the known backends."""
    with pytest.raises(BackendUnavailableError, match="auto, tensorrt, openvino, onnxruntime"):
        load_backend("abacus", load_manifest(SHIPPED_MODEL_DIR), threads=1)


NOISE = np.random.default_rng(0).integers(0, 256, (540, 800))
RAMP = np.tile(np.linspace(0, 255, 800), (540, 1))


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((540, 800)), np.full((540, 800), 255), np.full((1, 1), 200), NOISE, RAMP],
    ids=["black", "white", "one pixel", "noise", "ramp"],
)
def test_pictures_without_content_have_no_head(pipeline, pixels):
    """Black, white, a single pixel, noise and a ramp are not heads."""
    assert pipeline.analyze(to_file(pixels.astype(np.uint8))).head is None


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_photographs_have_no_head(pipeline, name):
    """A building and a flower (scikit-learn's sample pictures) are not heads."""
    datasets = pytest.importorskip("sklearn.datasets", reason="needs headcirc[train]")
    assert pipeline.analyze(to_file(datasets.load_sample_image(name), "JPEG")).head is None


def test_phantoms_measure_close_to_the_truth(pipeline):
    """Three committed phantoms, unequal pixels among them, measure within 5 % of the truth."""
    for index in (4, 7, 12):
        parameters = load_parameters()[index]
        content = to_file(draw_phantom(parameters))
        measured = pipeline.analyze(content, pixel_spacing=parameters.spacing).head.measurement
        true_mm = true_head_circumference_mm(parameters)
        assert measured.head_circumference_mm == pytest.approx(true_mm, rel=0.05)


def to_manifest_with(*precisions):
    return replace(
        load_manifest(SHIPPED_MODEL_DIR),
        graphs={each: Graph(each, Path(f"{each}.onnx"), "0" * 64) for each in precisions},
    )


@pytest.mark.parametrize(
    ("shipped", "asked", "expected"),
    [
        (("fp32", "int8"), "auto", "int8"),
        (("fp32",), "auto", "fp32"),
        (("fp32", "int8"), "fp32", "fp32"),
        (("fp32", "fp16", "int8"), "auto", "int8"),
    ],
)
def test_precision_is_the_fastest_shipped_or_the_requested_one(shipped, asked, expected):
    """`auto` prefers int8 if it ships; a requested precision is used."""
    assert choose_graph(to_manifest_with(*shipped), "openvino", asked).precision == expected


@pytest.mark.parametrize("backend", ["tensorrt", "onnxruntime-cuda"])
def test_auto_uses_fp16_on_gpus(backend):
    """Int8 is only for CPUs."""
    shipped = to_manifest_with("fp32", "int8", "fp16")
    assert choose_graph(shipped, backend, "auto").precision == "fp16"
    with pytest.raises(BackendUnavailableError, match="It supports fp16, fp32"):
        choose_graph(shipped, backend, "int8")


def test_precision_that_does_not_ship_is_refused():
    """There is no silent fallback: the error lists the precisions that ship."""
    with pytest.raises(ModelArtifactError, match="ships fp32, not int8"):
        choose_graph(to_manifest_with("fp32"), "onnxruntime", "int8")


def test_unsupported_precision_is_refused():
    """A CPU backend does not run float16."""
    with pytest.raises(BackendUnavailableError, match="It supports int8, fp32"):
        choose_graph(to_manifest_with("fp16"), "openvino", "fp16")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("content", [b"", b"no graph"], ids=["empty", "text"])
def test_file_that_is_not_a_graph_is_refused(backend, content, tmp_path):
    """The runtime's error becomes ours, even if the SHA-256 matches."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    graph = Graph("fp32", path, hashlib.sha256(content).hexdigest())
    manifest = replace(load_manifest(SHIPPED_MODEL_DIR), graphs={"fp32": graph})
    with pytest.raises(BackendUnavailableError, match=r"refuses 'model\.onnx'"):
        load_backend(backend, manifest, threads=1)
