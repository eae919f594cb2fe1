from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from headcirc.geometry import PixelSpacing
from headcirc.model.prediction import Prediction
from headcirc.pipeline import load_pipeline
from model_export.parity import ParityError, measure_agreement, measure_parity, to_torch_runner

EXAMPLES = [(Path("examples/phantom.png"), PixelSpacing(0.1277, 0.1277))]


@pytest.fixture(scope="module")
def pipeline(tiny_model_dir):
    return load_pipeline(tiny_model_dir, backend="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    pixels = np.random.default_rng(5).integers(0, 256, (48, 64)).astype(np.uint8)
    pixels[10:38, 14:50] //= 4  # a field that even an untrained network tells apart
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


def test_exported_network_matches_torch(tiny_network, pipeline, pictures):
    """It differs by less than 1e-4 in probability and 0.01 mm in length."""
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
def test_head_found_by_only_one_of_the_two_is_refused(logit, pipeline, pictures):
    """A torch network that sees no head anywhere, or a head everywhere, raises ParityError."""
    with pytest.raises(ParityError):
        measure_parity(Constant(logit), pipeline, pictures)


def test_nan_probabilities_are_refused(pipeline, pictures):
    """A torch network that returns NaN raises ParityError."""
    with pytest.raises(ParityError, match="differs from torch"):
        measure_parity(Constant(float("nan")), pipeline, pictures)


class Unsure:
    """A backend that sees a vague disc and, in the copies of a second look, another.

    Parameters
    ----------
    other_radius_px : float
        Of the other disc.
    """

    name, precision, device = "unsure", "fp16", "cpu"

    def __init__(self, other_radius_px: float) -> None:
        self.other_radius_px = other_radius_px

    def infer(self, network_input):
        """Return n predictions: the disc for one picture, the other for several."""
        count, _, rows, columns = network_input.shape
        y, x = np.ogrid[:rows, :columns]
        distance = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2)
        radius_px = 80 if count == 1 else self.other_radius_px
        disc = 0.93 * np.clip(radius_px - distance, 0, 1).astype(np.float32)
        return [Prediction(disc)] * count


class AsTorch(torch.nn.Module):
    """A backend as a network of logits."""

    def __init__(self, backend: Unsure) -> None:
        super().__init__()
        self.backend = backend

    def forward(self, network_input: torch.Tensor) -> torch.Tensor:
        """Return (n, 1, h, w)."""
        maps = [each.probability_map for each in self.backend.infer(network_input.numpy())]
        return torch.logit(torch.from_numpy(np.stack(maps)))[:, None]


@pytest.fixture(scope="module")
def unsure_pipeline():
    loaded = load_pipeline(backend="onnxruntime", precision="fp32", threads=1)
    limits = {"minimum_mean_probability": 0.0, "sure_mean_probability": 0.95}
    mask = replace(loaded.manifest.mask, **limits)
    return replace(loaded, backend=Unsure(80), manifest=replace(loaded.manifest, mask=mask))


def test_parity_includes_test_time_augmentation(unsure_pipeline):
    """Networks that differ only with augmentation are refused."""
    same = measure_parity(AsTorch(Unsure(80)), unsure_pipeline, EXAMPLES)
    assert same.head_circumference_difference_mm == pytest.approx(0, abs=1e-3)
    with pytest.raises(ParityError, match="differs from torch"):
        measure_parity(AsTorch(Unsure(40)), unsure_pipeline, EXAMPLES)


def test_agreement_includes_test_time_augmentation(unsure_pipeline):
    """Engines that differ only with augmentation are refused."""
    same = measure_agreement(unsure_pipeline, Unsure(80), EXAMPLES)
    assert same.largest_difference_mm == 0
    with pytest.raises(ParityError, match="unsure fp16 differs too much"):
        measure_agreement(unsure_pipeline, Unsure(40), EXAMPLES)


def test_runner_gives_the_network_s_probabilities(tiny_network):
    """The runner returns the sigmoid of the logits without the channel."""
    network_input = np.random.default_rng(0).standard_normal((2, 1, 32, 32), np.float32)
    with torch.no_grad():
        expected = torch.sigmoid(tiny_network(torch.from_numpy(network_input)))[:, 0].numpy()
    predictions = to_torch_runner(tiny_network)(network_input)
    found = np.stack([each.probability_map for each in predictions])
    assert found == pytest.approx(expected, abs=1e-6)
