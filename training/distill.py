"""Distil trained networks: use their probabilities as a second target beside the annotation.

References
----------
Hinton, Vinyals, Dean 2015, arXiv 1503.02531: a weighted mean of the loss on the labels and the
loss on the teacher's soft outputs. There is no temperature here, because coverage is already soft.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoint import load_trained, to_file_sha256
from training.losses import to_loss


class Teacher:
    """An ensemble of trained networks that is not trained further.

    Parameters
    ----------
    *networks : Module
        Each maps (n, 1, h, w) normalised grey values to logits. They are set to evaluation mode.
    bfloat16 : bool
        Run the convolutions in bfloat16, as in the student.
    device : torch.device, optional
        The student's; the CPU by default.
    """

    def __init__(
        self, *networks: nn.Module, bfloat16: bool, device: torch.device | None = None
    ) -> None:
        device = device or torch.device("cpu")
        self.networks = [
            each.eval().to(device=device, memory_format=torch.channels_last) for each in networks
        ]
        self.bfloat16 = bfloat16

    @torch.no_grad()
    def to_probabilities(self, network_input: Tensor) -> Tensor:
        """Return the mean probability of all networks over the picture and its mirror image.

        Parameters
        ----------
        network_input : (n, 1, h, w) float32

        Returns
        -------
        (n, 1, h, w) float32 in [0, 1]
        """
        columns = -1
        mirrored = network_input.flip(columns)
        answers = [self._answer(each, network_input) for each in self.networks]
        answers += [self._answer(each, mirrored).flip(columns) for each in self.networks]
        return torch.stack(answers).mean(dim=0)

    def _answer(self, network: nn.Module, network_input: Tensor) -> Tensor:
        with torch.autocast(network_input.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = network(network_input.to(memory_format=torch.channels_last))
        return torch.sigmoid(logits.float())


def to_distilled_loss(
    logits: Tensor, coverage: Tensor, teacher_probabilities: Tensor, *, weight: float
) -> Tensor:
    """Return the weighted mean of the losses on the coverage and on the teacher's probabilities.

    For pictures without a head, the coverage is used in place of the teacher: it is certain that
    there is no head, and a teacher that was not trained on such pictures may find one.

    Parameters
    ----------
    logits, coverage, teacher_probabilities : (n, 1, h, w)
    weight : float
        Weight of the teacher, in [0, 1]; the coverage has 1 - weight.
    """
    has_head = coverage.amax(dim=(1, 2, 3), keepdim=True) > 0
    to_teacher = to_loss(logits, torch.where(has_head, teacher_probabilities, coverage))
    return (1 - weight) * to_loss(logits, coverage) + weight * to_teacher


def to_teacher_sha256(paths: Sequence[Path]) -> str:
    """Return the teacher's identity in a recipe: the SHA-256 of its files, joined by `+`."""
    return "+".join(map(to_file_sha256, paths))


def load_teacher(
    paths: Sequence[Path], sha256: str, *, bfloat16: bool, device: torch.device | None = None
) -> Teacher:
    """Load a teacher's networks and check them against the recipe.

    Raises
    ------
    ValueError
        The files are not the ones in the recipe.
    """
    found = to_teacher_sha256(paths)
    if found != sha256:
        names = ", ".join(path.name for path in paths)
        raise ValueError(
            f"The recipe's teacher has sha256 {sha256[:12]}…, but {names!r} has {found[:12]}…. "
            "Give the files that the run was started with, in the same order."
        )
    return Teacher(*map(load_trained, paths), bfloat16=bfloat16, device=device)
