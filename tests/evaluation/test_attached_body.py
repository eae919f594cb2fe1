import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.attached_body import (
    COLUMNS,
    EVALUATION_RESULTS_DIR,
    HEADS,
    RESULT_NAME,
    ROWS,
    count,
    draw,
    judge,
    measure,
    prepare,
    to_error,
    to_markdown,
    to_mean_radius_px,
    to_pairs,
)
from headcirc.model.manifest import load_manifest
from headcirc.model.prediction import Prediction
from headcirc.pipeline import SHIPPED_MODEL_DIR, Pipeline
from headcirc.quality.assessment import touches_border
from tests.support.synthetic import BrightnessBackend

PIPELINE = Pipeline(load_manifest(SHIPPED_MODEL_DIR), BrightnessBackend())
MIDDLE_MM = HEADS[1][0]


def choose(overlap, *, smallest_share=0.0):
    """Return the pairs of the middle head with one overlap and no very small body."""
    return [
        pair
        for pair in to_pairs()
        if (pair.head_circumference_mm, pair.overlap) == (MIDDLE_MM, overlap)
        and to_mean_radius_px(pair.body) ** 2 > smallest_share * to_mean_radius_px(pair.head) ** 2
    ]


@pytest.mark.parametrize("overlap", [0.05, 0.33])
def test_wrong_outline_of_a_head_with_a_body_is_refused(overlap):
    """The shipped limits accept none of these answers: the bodies are too large to ignore."""
    pairs = choose(overlap, smallest_share=0.2)[::6]
    (counts,) = measure(PIPELINE, pairs).values()
    assert counts["maps"] == 3 * len(pairs) > 0
    assert counts["acceptable"] == 0


def test_head_beside_a_small_body_is_measured():
    """A body of a tenth of the head's area, with a gap, changes the circumference by under 1 %."""
    pair = choose(-0.1)[0]
    prepared = prepare(PIPELINE, pair.pixel_size_mm)
    for probability_map in draw(pair, prepared):
        analysis = PIPELINE.finish(prepared, Prediction(probability_map, 1.0))
        assert analysis.quality.acceptable
        assert to_error(analysis, pair) < 0.01


@pytest.mark.parametrize(("overlap", "components"), [(-0.1, 2), (0.05, 1), (0.33, 1)])
def test_overlap_joins_head_and_body(overlap, components):
    """A gap leaves two components above the threshold; an overlap leaves one."""
    pair = choose(overlap, smallest_share=0.9)[0]
    likely = next(draw(pair, prepare(PIPELINE, pair.pixel_size_mm)))
    found, _ = cv2.connectedComponents((likely > PIPELINE.manifest.mask.threshold).view(np.uint8))
    assert found - 1 == components


def test_every_head_lies_in_the_frame():
    """No head is cut by the border; a body may be."""
    for pair in to_pairs():
        assert not touches_border(pair.head, ROWS, COLUMNS)


def test_answers_are_counted_by_verdict_and_error():
    """An error over 10 % counts as one over 5 % too."""
    answers = [(True, 0.01), (True, 0.06), (True, 0.2), (False, 0.01), (False, 0.3), (False, None)]
    assert list(count(answers).values()) == [6, 3, 2, 1, 1, 1, 1]


@pytest.mark.parametrize(("overlap", "met"), [("0.33", False), ("0.5", True)])
def test_acceptable_large_error_fails_up_to_a_third(overlap, met):
    """Larger overlaps are counted but not judged."""
    counts = count([(True, 0.06)])
    assert judge({overlap: counts})["met"] is met


def test_page_has_the_table():
    """The table of the page is that of the result."""
    report = json.loads((EVALUATION_RESULTS_DIR / RESULT_NAME).read_text())
    assert to_markdown(report["overlaps"]) in Path("docs/uncertainty.md").read_text()
