"""Export a trained network as an ONNX graph.

Batch norm is folded into the convolutions, and a sigmoid is added at the end, so that every runtime
returns probabilities. The batch size is dynamic. The grid is fixed, because runtimes optimise fixed
shapes better.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from headcirc.model.manifest import InputFacts
from headcirc.model.prediction import HEAD_PLANE_OUTPUT, PROBABILITY_OUTPUT

OPSET = 20
INPUT_NAME = "network_input"
OUTPUT_NAME = PROBABILITY_OUTPUT
OUTPUT_NAMES = (OUTPUT_NAME, HEAD_PLANE_OUTPUT)
"""The second output exists only if the network has it."""


class ProbabilityNetwork(nn.Module):
    """A network with a sigmoid after its logits; without or with the head-plane output."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Map (n, 1, h, w) normalised grey values to (n, 1, h, w) and (n, 1) in [0, 1]."""
        logits = self.network(network_input)
        if isinstance(logits, tuple):
            return tuple(map(torch.sigmoid, logits))
        return (torch.sigmoid(logits),)


def has_head_plane(network: Any) -> bool:
    """Return whether a network has the head-plane output."""
    return getattr(network, "plane_head", None) is not None


def write_onnx(network: Any, path: Path, facts: InputFacts) -> None:
    """Export, check and write the network's graph.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    path : Path
        File to write, weights included.
    facts : InputFacts
        The network's grid.
    """
    folded = ProbabilityNetwork(fuse(network)).eval()
    example = torch.zeros(2, 1, facts.height_px, facts.width_px)
    export_module(folded, example, path, OUTPUT_NAMES[: 1 + has_head_plane(network)])


def export_module(
    module: nn.Module,
    example: Tensor,
    path: Path,
    output_names: Sequence[str],
    *,
    has_dynamic_batch: bool = True,
) -> None:
    """Export a module with one input, check the graph and write it.

    Parameters
    ----------
    module : torch module
        In evaluation mode.
    example : (n, 1, h, w) float32
        Example input. Its grid is fixed in the graph.
    path : Path
        File to write, weights included.
    output_names : sequence of str
        Names in the order of the module's outputs.
    has_dynamic_batch : bool
        Whether the graph takes batches of any size, or of the example's size only.
    """
    dynamic_shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT_NAME],
        output_names=list(output_names),
        dynamic_shapes=dynamic_shapes if has_dynamic_batch else None,
        optimize=True,
        verbose=False,
    )
    assert program is not None, "the dynamo exporter returns a program"
    model = program.model_proto
    model.metadata_props.clear()
    for node in model.graph.node:  # the exporter stores source paths of this machine in them
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
