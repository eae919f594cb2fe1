"""List all engines that can run a network, and load a network into one of them.

Within a device, `KINDS` has the order in which the service's `auto` tries backends, then torch. So
the first measured kind is the default of a user. Loading an unavailable engine raises an error with
the reason.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gemm import write_gemm
from benchmarks.peers import Peer
from benchmarks.torch_networks import COMPILED, CPU, CUDA, EAGER, GRAPH, to_network
from headcirc.backends import load_backend
from headcirc.cpus import count_available_cpus
from headcirc.errors import BackendUnavailableError
from headcirc.model.graph import Graph
from headcirc.model.manifest import MANIFEST_NAME, Manifest, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

TORCH = "torch-"
Array = NDArray[np.float32]
Network = Callable[[Array], object]


@dataclass(frozen=True)
class Kind:
    """A runtime with a precision.

    Attributes
    ----------
    backend : str
        The service's name for the runtime. `torch-…` is never served; it is for comparison.
    precision, device : str
    """

    backend: str
    precision: str
    device: str

    @property
    def is_served(self) -> bool:
        """Return whether the service can run it."""
        return not self.backend.startswith(TORCH)

    @property
    def name(self) -> str:
        """Return the label for tables and legends."""
        return f"{self.backend} {self.precision}"


KINDS = (
    Kind("openvino", "int8", "cpu"),
    Kind("openvino", "fp32", "cpu"),
    Kind("onnxruntime", "int8", "cpu"),
    Kind("onnxruntime", "fp32", "cpu"),
    Kind("torch-compiled", "fp32", "cpu"),
    Kind("torch-eager", "fp32", "cpu"),
    Kind("tensorrt", "fp16", "gpu"),
    Kind("tensorrt", "fp32", "gpu"),
    Kind("onnxruntime-cuda", "fp16", "gpu"),
    Kind("onnxruntime-cuda", "fp32", "gpu"),
    Kind("torch-graph-cuda", "fp16", "gpu"),
    Kind("torch-compiled-cuda", "fp16", "gpu"),
    Kind("torch-compiled-cuda", "fp32", "gpu"),
    Kind("torch-eager-cuda", "fp32", "gpu"),
)


@dataclass(frozen=True)
class Engine:
    """A model in one kind of engine."""

    model_dir: Path
    kind: Kind

    @property
    def model_name(self) -> str:
        """Return the model's name from its manifest."""
        return load_manifest(self.model_dir).name

    @property
    def name(self) -> str:
        """Return the label for tables and legends."""
        return f"{self.model_name} {self.kind.name}"


def find_models(folder: Path, *, has_shipped: bool = True) -> list[Path]:
    """Return the shipped model and the models with other names in a folder, narrowest first.

    A model without its graphs is excluded; `make export` and `make restore` create them. Without
    `has_shipped` only those of the folder are returned.
    """
    found = {load_manifest(SHIPPED_MODEL_DIR).name: SHIPPED_MODEL_DIR} if has_shipped else {}
    for path in sorted(folder.glob(f"*/{MANIFEST_NAME}")):
        manifest = load_manifest(path.parent)
        if all(graph.path.is_file() for graph in manifest.graphs.values()):
            found.setdefault(manifest.name, path.parent)
    return sorted(found.values(), key=lambda path: load_manifest(path).width)


def list_engines(models: Sequence[Path]) -> list[Engine]:
    """Return every model in every kind of engine, available or not."""
    return [Engine(model_dir, kind) for model_dir in models for kind in KINDS]


def read_gflop(model_dir: Path) -> float:
    """Return the GFLOP for one image; a multiply-accumulate counts as two operations."""
    return 2 * json.loads((model_dir / MANIFEST_NAME).read_text())["macs"] / 1e9


def load_network(engine: Engine) -> tuple[Manifest, Network]:
    """Load a model into an engine, with one thread per available CPU.

    Raises
    ------
    HeadCircumferenceError
        The engine is not available, or the model does not ship this precision.
    """
    manifest = load_manifest(engine.model_dir)
    if engine.kind.is_served:
        return manifest, _load_served(manifest, engine.kind)
    return manifest, _load_torch(engine)


def load_product(model_dir: Path, kind: Kind, folder: Path) -> tuple[Network, int, float]:
    """Load a chain of large matrix products into the same runtime with the same code.

    Returns
    -------
    network : callable
    side : int
        Size of the input, which is (1, 1, 1, side).
    gflop : float
    """
    path = folder / "product.onnx"
    side, gflop = write_gemm(path, kind.device, kind.precision)
    graph = Graph(kind.precision, path, hashlib.sha256(path.read_bytes()).hexdigest())
    manifest = replace(load_manifest(model_dir), graphs={kind.precision: graph})
    return _load_served(manifest, kind), side, gflop


def _load_served(manifest: Manifest, kind: Kind) -> Network:
    backend = load_backend(
        kind.backend, manifest, threads=count_available_cpus(), precision=kind.precision
    )
    return backend.infer_all


def _load_torch(engine: Engine) -> Network:
    require_torch()
    from training.checkpoint import find_checkpoint, load_trained  # noqa: PLC0415 - needs torch

    return load_module(load_trained(find_checkpoint(engine.model_dir)), engine.kind)


def load_peer(peer: Peer, kind: Kind) -> Network:
    """Load a network with random weights into one of the torch kinds; raises as `load_network`."""
    require_torch()
    return load_module(peer.build(), kind)


def load_module(module: Any, kind: Kind) -> Network:
    """Load a torch network into one of the torch kinds, with one thread per available CPU."""
    import torch  # noqa: PLC0415 - a heavy import that few engines need

    torch.set_num_threads(count_available_cpus())
    device = CUDA if kind.device == "gpu" else CPU
    mode = next(each for each in (COMPILED, GRAPH, EAGER) if each in kind.backend)
    return to_network(module, device=device, precision=kind.precision, mode=mode)


def require_torch() -> None:
    """Refuse a comparison with torch where it is not installed; raises BackendUnavailableError."""
    if not find_spec("torch"):
        raise BackendUnavailableError("torch is not installed. Install headcirc[test].")
