import json

import numpy as np
import pytest

from benchmarks import gpu
from benchmarks.engines import Kind
from benchmarks.network_process import AbsentEngineError
from benchmarks.peers import PEERS, find_peer
from benchmarks.torch_networks import CPU, EAGER, GRAPH, to_network
from harness.documents import read_block
from harness.targets import EXIT_MET, EXIT_NOT_MEASURABLE
from headcirc.errors import BackendUnavailableError
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

torch = pytest.importorskip("torch")


class StubProcess:
    """Stands for a network's process; batches take 1 ms and 0.5 ms for each picture."""

    def __init__(self, engine, data_dir, *, peer=None) -> None:
        if engine.kind.backend == "tensorrt":
            raise AbsentEngineError("TensorRT is\nnot installed.")

    def take_turn(self, *, limit_s, most_calls, batch):
        return [1.0 + 0.5 * batch] * 3

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        pass


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs the command with stubs; it returns status and report."""
    monkeypatch.setattr(gpu, "NetworkProcess", StubProcess)

    def call(*options):
        status = gpu.main(
            ["--out", str(tmp_path), "--data", str(tmp_path), "--rounds", "1", *options]
        )
        return status, json.loads((tmp_path / "gpu.json").read_text())

    return call


def test_gpu_is_judged_and_absent_engines_say_why(run):
    """All kinds of the shipped network and torch's of the wide one have a row."""
    status, report = run("--batches", "1", "64")
    assert status == EXIT_MET
    markdown = gpu.to_markdown(report)
    name = load_manifest(SHIPPED_MODEL_DIR).name
    assert f"| {name}, torch-graph-cuda fp16 | 1.5 / 1.5 / 1.5 | 667, " in markdown
    assert f"| {PEERS[0].name}, torch-graph-cuda fp16 | 1.5" in markdown
    assert "tensorrt fp16: not measured (TensorRT is not installed.)" in markdown
    assert "met (1.5 ms" in markdown


def test_trial_on_a_cpu_is_never_judged(run):
    """Its rows are those of the CPU, and the page is not written."""
    before = gpu.PAGE.read_text()
    status, report = run("--device", "cpu", "--batches", "1")
    assert status == EXIT_NOT_MEASURABLE
    assert "cuda" not in json.dumps([row["kind"] for row in report["engines"]])
    assert gpu.PAGE.read_text() == before
    assert read_block(before, gpu.BLOCK)


def test_torch_network_maps_numpy_to_probabilities():
    """A network that returns two outputs gives the sigmoid of the first."""

    class Two(torch.nn.Module):
        def forward(self, network_input):
            return network_input, network_input.mean()

    infer = to_network(Two(), device=CPU, precision="fp32", mode=EAGER)
    found = infer(np.zeros((3, 1, 4, 5), np.float32))
    assert found.shape == (3, 4, 5)
    assert np.all(found == 0.5)
    with pytest.raises(BackendUnavailableError, match="CUDA"):
        to_network(Two(), device=CPU, precision="fp16", mode=GRAPH)


@pytest.mark.slow
def test_peers_have_their_published_sizes():
    """31.0 M parameters is the U-Net's known size, 32.8 M that of the paper's own code."""
    millions = {peer.architecture: peer.count()[0] / 1e6 for peer in PEERS}
    assert millions["unet"] == pytest.approx(31.0, abs=0.1)
    assert millions["attention-resunet"] == pytest.approx(32.8, abs=0.1)
    assert find_peer("unet 64") is PEERS[1]
    with pytest.raises(ValueError, match="no peer"):
        find_peer("unet 63")


def test_wide_network_runs_in_torch_only():
    """No other runtime has a graph of it."""
    wide = [each for each in gpu.list_candidates("gpu", SHIPPED_MODEL_DIR.parent) if each.peer]
    assert {each.engine.kind for each in wide} == {
        Kind("torch-graph-cuda", "fp16", "gpu"),
        Kind("torch-compiled-cuda", "fp16", "gpu"),
        Kind("torch-compiled-cuda", "fp32", "gpu"),
        Kind("torch-eager-cuda", "fp32", "gpu"),
    }
