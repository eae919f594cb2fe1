import cv2
import numpy as np
import pytest
import torch

from headcirc.geometry import PixelSpacing
from headcirc.pipeline import load_pipeline
from model_export.parity import ParityError, measure_parity


@pytest.fixture(scope="module")
def pipeline(tiny_model_dir):
    return load_pipeline(tiny_model_dir, backend="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.uint8)
    cv2.imwrite(str(path), pixels)
    return [(path, PixelSpacing(1.0, 1.0))]


class Constant(torch.nn.Module):
    """A network that is equally sure of every pixel."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def forward(self, network_input: torch.Tensor) -> torch.Tensor:
        """Return the one logit for every pixel."""
        return torch.full_like(network_input, self.logit)


def test_the_exported_network_is_equal_to_torch(tiny_network, pipeline, pictures):
    """The network that was exported differs by less than 1e-4 in probability, 0.01 mm in length."""
    path, spacing = pictures[0]
    head = pipeline.analyze(path.read_bytes(), pixel_spacing=spacing).head
    assert head is not None, "without a head no length is compared"
    parity = measure_parity(tiny_network, pipeline, pictures)
    assert parity.images == 1
    assert parity.probability_difference < 1e-4
    assert parity.head_circumference_difference_mm < 0.01
    assert parity.to_facts()["images"] == 1


def test_another_network_is_refused(another_network, pipeline, pictures):
    """A network with other weights than the exported ones raises ParityError."""
    with pytest.raises(ParityError, match="differs from torch"):
        measure_parity(another_network, pipeline, pictures)


@pytest.mark.parametrize("logit", [-30.0, 30.0])
def test_a_head_that_only_one_of_the_two_sees_is_refused(logit, pipeline, pictures):
    """A torch network that sees no head anywhere, or a head everywhere, raises ParityError."""
    with pytest.raises(ParityError):
        measure_parity(Constant(logit), pipeline, pictures)
