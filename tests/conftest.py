import hashlib
import os
from pathlib import Path

import pytest

from headcirc.manifest import Graph
from headcirc.pipeline import SHIPPED_MODEL_DIR


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
    from model_export.fp16 import write_fp16

    path = tmp_path_factory.mktemp("fp16-graph") / "model.fp16.onnx"
    write_fp16(SHIPPED_MODEL_DIR / "model.onnx", path)
    return Graph("fp16", path, hashlib.sha256(path.read_bytes()).hexdigest())
