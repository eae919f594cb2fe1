"""Trained network to ONNX graph.

Batch norm is folded into the convolutions and the sigmoid is put on the end, so that every
runtime gives probabilities. The batch size stays open; the grid is fixed, because a fixed shape is
what runtimes plan well for.
"""

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from headcirc.model.manifest import InputFacts
from training.networks.attention_resunet import AttentionResUNet

OPSET = 20
INPUT_NAME = "network_input"
OUTPUT_NAME = "probability_map"


class ProbabilityNetwork(nn.Module):
    """A network whose logits become probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, network_input: Tensor) -> Tensor:
        """Map (n, 1, h, w) normalised grey values to (n, 1, h, w) in [0, 1]."""
        return torch.sigmoid(self.network(network_input))


def write_onnx(network: AttentionResUNet, path: Path, facts: InputFacts) -> None:
    """Fold, trace, check and write the graph.

    Parameters
    ----------
    network : AttentionResUNet
        In evaluation mode.
    path : Path
        Of the file to write; weights lie inside it.
    facts : InputFacts
        The grid.
    """
    folded = ProbabilityNetwork(fuse(network)).eval()
    example = torch.zeros(2, 1, facts.height_px, facts.width_px)
    export_module(folded, example, path, (OUTPUT_NAME,))


def export_module(
    module: nn.Module, example: Tensor, path: Path, output_names: Sequence[str]
) -> None:
    """Export a module of one input, check the graph and write it.

    Parameters
    ----------
    module : torch module
        Ready for inference.
    example : (n, 1, h, w) float32
        Its grid is fixed, its batch size is not.
    path : Path
        Of the file to write; weights lie inside it.
    output_names : sequence of str
        In the order of the module's outputs.
    """
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT_NAME],
        output_names=list(output_names),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
        optimize=True,
        verbose=False,
    )
    assert program is not None, "the dynamo exporter returns a program"
    model = program.model_proto
    model.metadata_props.clear()
    for node in model.graph.node:  # the exporter notes source lines of this machine in them
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
