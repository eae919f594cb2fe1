"""Trained networks as teacher: their probabilities as a second target beside the annotation.

References
----------
Hinton, Vinyals, Dean 2015, arXiv 1503.02531: a weighted mean of the loss on the labels and the
loss on the teacher's soft answers (here without a temperature, since coverage is soft already).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoint import load_trained, to_file_sha256
from training.losses import to_loss


class Teacher:
    """Networks that answer together and are not trained.

    Parameters
    ----------
    *networks : Module
        Each (n, 1, h, w) normalised grey values to logits; they are put into evaluation mode.
    bfloat16 : bool
        Run their convolutions in bfloat16, as those of the network that learns.
    """

    def __init__(self, *networks: nn.Module, bfloat16: bool) -> None:
        self.networks = [each.eval().to(memory_format=torch.channels_last) for each in networks]
        self.bfloat16 = bfloat16

    @torch.no_grad()
    def to_probabilities(self, network_input: Tensor) -> Tensor:
        """Return (n, 1, h, w) probabilities: the mean of all networks on picture and mirror image.

        A head's mirror image is as good a head, so that the two answers err differently.
        """
        columns = -1
        mirrored = network_input.flip(columns)
        answers = [self._answer(each, network_input) for each in self.networks]
        answers += [self._answer(each, mirrored).flip(columns) for each in self.networks]
        return torch.stack(answers).mean(dim=0)

    def _answer(self, network: nn.Module, network_input: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logits = network(network_input.to(memory_format=torch.channels_last))
        return torch.sigmoid(logits.float())


def to_distilled_loss(
    logits: Tensor, coverage: Tensor, teacher_probabilities: Tensor, *, weight: float
) -> Tensor:
    """Return the loss on the coverage and that on the teacher's probabilities, as weighted mean.

    Where the picture has no head the teacher is not asked: that there is none is no matter of
    opinion, and a teacher that never saw such pictures finds heads in them.

    Parameters
    ----------
    logits, coverage, teacher_probabilities : (n, 1, h, w)
    weight : float
        Of the teacher, in [0, 1]; the coverage has the rest.
    """
    has_head = coverage.amax(dim=(1, 2, 3), keepdim=True) > 0
    to_teacher = to_loss(logits, torch.where(has_head, teacher_probabilities, coverage))
    return (1 - weight) * to_loss(logits, coverage) + weight * to_teacher


def to_teacher_sha256(paths: Sequence[Path]) -> str:
    """Return the name by which a recipe knows its teacher: its files' SHA-256, joined by `+`."""
    return "+".join(map(to_file_sha256, paths))


def load_teacher(paths: Sequence[Path], sha256: str, *, bfloat16: bool) -> Teacher:
    """Read the weights of a teacher's networks, of whatever width they are.

    Raises
    ------
    ValueError
        The files are not the ones that the recipe names.
    """
    found = to_teacher_sha256(paths)
    if found != sha256:
        names = ", ".join(path.name for path in paths)
        raise ValueError(
            f"The recipe's teacher has sha256 {sha256[:12]}…, {names!r} has {found[:12]}…; "
            "name the files that the run was started with, in their order."
        )
    return Teacher(*map(load_trained, paths), bfloat16=bfloat16)
