import re

import cv2
import numpy as np
import pytest

from headcirc.cli.check import DRAWN, DRAWN_COLUMNS, DRAWN_ROWS, check_measures_truly
from headcirc.cli.commands import main
from headcirc.model.prediction import Prediction
from headcirc.pipeline import Pipeline
from headcirc.raster import to_ellipse_coverage
from tests.support.synthetic import BrightnessBackend, to_manifest


def test_check_measures_a_drawn_head(capsys):
    """`headcirc check` says what runs where, what it measured and what was drawn."""
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    assert "backend   openvino int8" in printed
    measured_mm, drawn_mm = re.search(r"HC (.*) mm, drawn with (.*) mm,", printed).groups()
    assert float(measured_mm) == pytest.approx(float(drawn_mm), rel=0.01)
    assert re.search(r"OK: within 3 % of what was drawn \([+-]0\.\d %; a drawing", printed)


class ShrinkingBackend(BrightnessBackend):
    """A runtime that loads, runs and is wrong: it sees the picture at four fifths of its size."""

    def infer(self, network_input):
        """Return probabilities of a head that is too small."""
        rows, columns = network_input.shape[2:]
        (truth,) = super().infer(network_input)
        small = cv2.resize(truth.probability_map, None, fx=0.8, fy=0.8)
        margins = ((0, rows - small.shape[0]), (0, columns - small.shape[1]))
        return [Prediction(np.pad(small, margins))]


@pytest.mark.parametrize(
    ("backend", "is_true"), [(ShrinkingBackend, False), (BrightnessBackend, True)]
)
def test_check_fails_where_the_number_is_wrong(capsys, monkeypatch, backend, is_true):
    """A number that is far from the drawn one is reported, and the status is 1."""
    bright = (255 * to_ellipse_coverage(DRAWN, DRAWN_ROWS, DRAWN_COLUMNS)).astype(np.uint8)
    monkeypatch.setattr("headcirc.cli.check.draw_check_head", lambda: bright)
    assert check_measures_truly(Pipeline(to_manifest(), backend())) is is_true
    printed = capsys.readouterr().out
    assert ("do not measure here" in printed) is not is_true
    assert ("OK: within 3 %" in printed) is is_true
