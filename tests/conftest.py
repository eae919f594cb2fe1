import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from headcirc.model.graph import Graph
from headcirc.pipeline import SHIPPED_MODEL_DIR

EXIT_STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the status for `pytest_unconfigure`."""
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process with the tests' status, without tearing native runtimes down.

    torch, OpenVINO, ONNX Runtime, TensorRT and Arrow share the process only here, and once in
    several runs the interpreter's end crashed after the last test had passed. How the service
    itself ends is tested in processes of its own.
    """
    if EXIT_STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[EXIT_STATUS])


@pytest.fixture(scope="session")
def hc18_dir() -> Path:
    """Return HC18's folder, from HC18_DIR; skip where it is absent."""
    folder = Path(os.environ.get("HC18_DIR", "../shared/data/hc18"))  # noqa: TID251 - no service
    if not (folder / "training_set").is_dir():
        pytest.skip(f"HC18 is not in {str(folder)!r}; set HC18_DIR to its folder")
    return folder


@pytest.fixture(scope="session")
def fp16_graph(tmp_path_factory) -> Graph:
    """Return the shipped weights as an FP16 graph."""
    pytest.importorskip("onnx", reason="needs onnx, of headcirc[export]")
    from model_export.fp16 import write_fp16

    path = tmp_path_factory.mktemp("fp16-graph") / "model.fp16.onnx"
    write_fp16(SHIPPED_MODEL_DIR / "model.onnx", path)
    return Graph("fp16", path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture(scope="session")
def explain_model_dir(tmp_path_factory) -> Path:
    """Return the shipped model with explain graphs that were exported now, from its checkpoint."""
    pytest.importorskip("torch", reason="needs torch, of headcirc[export]")
    from headcirc.model.manifest import MANIFEST_NAME, load_manifest
    from model_export.__main__ import write_manifest
    from model_export.explain_files import write_explain_files
    from training.checkpoint import find_checkpoint, load_trained

    shipped = load_manifest(SHIPPED_MODEL_DIR)
    facts = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
    folder = tmp_path_factory.mktemp("explain-model")
    for graph in facts["graphs"].values():
        shutil.copy(SHIPPED_MODEL_DIR / graph["file"], folder)
    sources = {each: folder / facts["graphs"][each]["file"] for each in ("fp32", "fp16")}
    network = load_trained(find_checkpoint(SHIPPED_MODEL_DIR))
    threshold = shipped.mask.threshold
    explain = write_explain_files(network, sources, shipped.input, threshold=threshold)
    write_manifest(folder, facts | {"explain": explain})
    return folder


@pytest.fixture(scope="session")
def planes_dir():
    """Return the folder of the real planes; skip where it is absent."""
    folder = Path("../shared/data/planes")
    if not (folder / "planes.csv").is_file():
        pytest.skip(f"the planes are not in {str(folder)!r}")
    return folder
