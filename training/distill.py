"""A trained network as teacher: its probabilities as a second target beside the annotation.

References
----------
Hinton, Vinyals, Dean 2015, arXiv 1503.02531: a weighted mean of the loss on the labels and the
loss on the teacher's soft answers (here without a temperature, since coverage is soft already).
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from training.losses import to_loss
from training.weights import load_trained, to_file_sha256


class Teacher:
    """A network that answers and is not trained.

    Parameters
    ----------
    network : Module
        (n, 1, h, w) normalised grey values to logits; it is put into evaluation mode.
    bfloat16 : bool
        Run its convolutions in bfloat16, as those of the network that learns.
    """

    def __init__(self, network: nn.Module, *, bfloat16: bool) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.bfloat16 = bfloat16

    @torch.no_grad()
    def to_probabilities(self, network_input: Tensor) -> Tensor:
        """Return (n, 1, h, w) probabilities, averaged over each picture and its mirror image.

        A head's mirror image is as good a head, so that the two answers err differently.
        """
        columns = -1
        plain = self._answer(network_input)
        mirrored = self._answer(network_input.flip(columns)).flip(columns)
        return (plain + mirrored) / 2

    def _answer(self, network_input: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logits = self.network(network_input.to(memory_format=torch.channels_last))
        return torch.sigmoid(logits.float())


def to_distilled_loss(
    logits: Tensor, coverage: Tensor, teacher_probabilities: Tensor, *, weight: float
) -> Tensor:
    """Return the loss on the coverage and that on the teacher's probabilities, as weighted mean.

    Parameters
    ----------
    logits, coverage, teacher_probabilities : (n, 1, h, w)
    weight : float
        Of the teacher, in [0, 1]; the coverage has the rest.
    """
    to_teacher = to_loss(logits, teacher_probabilities)
    return (1 - weight) * to_loss(logits, coverage) + weight * to_teacher


def load_teacher(path: Path, sha256: str, *, bfloat16: bool) -> Teacher:
    """Read a teacher's weights, of whatever width they are.

    Raises
    ------
    ValueError
        The file is not the one that the recipe names.
    """
    found = to_file_sha256(path)
    if found != sha256:
        raise ValueError(
            f"The recipe's teacher has sha256 {sha256[:12]}…, {path.name!r} has {found[:12]}…; "
            "name the file that the run was started with."
        )
    return Teacher(load_trained(path), bfloat16=bfloat16)
