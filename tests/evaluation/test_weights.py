import json
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.weights import (
    BLOCK,
    PAGE,
    measure_errors_mm,
    to_block,
    to_named_path,
    to_p_text,
    to_paired_p,
)
from harness.documents import read_block
from model_export.parity import to_torch_runner
from tests.support.synthetic import BrightnessBackend, draw_head, to_file, to_synthetic_pipeline
from training.checkpoint import load_trained, save_weights
from training.data.hc18 import HC18Image
from training.networks.attention_resunet import AttentionResUNet


def test_runner_gives_the_network_s_probabilities(tmp_path):
    """The runner returns the sigmoid of the logits without the channel."""
    network = AttentionResUNet(width=2).eval()
    save_weights(network, tmp_path / "last.safetensors")
    network_input = np.random.default_rng(0).standard_normal((2, 1, 64, 64), np.float32)
    with torch.no_grad():
        expected = torch.sigmoid(network(torch.from_numpy(network_input)))[:, 0].numpy()
    predictions = to_torch_runner(load_trained(tmp_path / "last.safetensors"))(network_input)
    found = np.stack([each.probability_map for each in predictions])
    assert found == pytest.approx(expected, abs=1e-6)


def test_error_is_measured_minus_true_and_nan_without_an_answer(tmp_path):
    """A drawn head with a true value 10 mm too small, and a black picture."""
    pipeline = to_synthetic_pipeline()
    head, black = tmp_path / "1_HC.png", tmp_path / "2_HC.png"
    head.write_bytes(to_file(draw_head()))
    black.write_bytes(to_file(draw_head() * 0))
    true_mm = pipeline.analyze(head.read_bytes()).head.head_circumference_px * 0.1
    images = [HC18Image(path.name, 1, 0.1, true_mm - 10, path, path) for path in (head, black)]
    errors_mm = measure_errors_mm(BrightnessBackend().infer, pipeline, images)
    assert errors_mm == [pytest.approx(10.0, abs=1e-6), pytest.approx(np.nan, nan_ok=True)]


def test_paired_p_is_small_only_where_one_is_better():
    """The p value is small if all errors are larger, not if they are only reordered."""
    first = np.linspace(-1, 1, 40)
    assert to_paired_p(first * 3, first) < 0.001
    assert to_paired_p(-first, first) is None
    assert to_paired_p([*first, np.nan], [*first * -1, 2.0]) is None


@pytest.mark.parametrize(("p", "text"), [(0.004, "< 0.01"), (0.0649, "= 0.06"), (1.0, "= 1.00")])
def test_small_p_is_printed_as_below_0_01(p, text):
    """A p value that two digits cannot show is printed as `< 0.01`."""
    assert to_p_text(p) == text


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("1.3.0=runs/sixth/last.safetensors", "1.3.0", "runs/sixth/last.safetensors"),
        ("runs/sixth/last.safetensors", "sixth", "runs/sixth/last.safetensors"),
    ],
)
def test_name_is_before_the_equals_sign_or_the_folder(text, name, path):
    """The argument is `NAME=FILE` or a file only."""
    assert to_named_path(text) == (name, Path(path))


def test_page_has_the_report_s_table():
    """The table on the page is made from the committed report."""
    report = json.loads(Path("evaluation/results/weights.json").read_text())
    assert read_block(PAGE.read_text(), BLOCK) == to_block(report)
