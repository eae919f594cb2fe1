from dataclasses import replace

import pytest

from evaluation.choices import THRESHOLDS, compare, to_summary
from evaluation.ellipse_fits import FITS
from tests.support.drawn_hc18 import HEAD_MM, write_image
from tests.support.synthetic import MASK_FACTS, to_synthetic_pipeline


def to_strict(pipeline):
    """Return a pipeline for which no picture shows a head."""
    mask = replace(MASK_FACTS, minimum_mean_probability=1.1)
    return replace(pipeline, manifest=replace(pipeline.manifest, mask=mask))


def test_drawn_head_has_its_circumference_under_every_choice(tmp_path):
    """Every fit is right to 1 %; a higher threshold makes the head smaller."""
    found = compare([(to_synthetic_pipeline(), write_image(tmp_path, 10))])
    for name in FITS:
        assert found[f"fit {name}"]["mean_absolute_error_mm"] < 0.01 * HEAD_MM
    signed_mm = [found[f"threshold {value}"]["signed_error_mm"] for value in THRESHOLDS]
    assert signed_mm == sorted(signed_mm, reverse=True)
    assert (found["images"], found["no_head"]) == (1, 0)


def test_each_image_is_measured_by_its_own_model(tmp_path):
    """One of two models finds no head, so one image of two has no answer."""
    pipeline = to_synthetic_pipeline()
    images = [write_image(tmp_path, exam) for exam in (10, 11)]
    found = compare([(pipeline, images[0]), (to_strict(pipeline), images[1])])
    assert {found[f"fit {name}"]["no_answer"] for name in FITS} == {1}
    assert (found["images"], found["no_head"]) == (2, 1)


def test_summary_by_hand():
    """Two answers and a missing one; without any answer there is no error."""
    found = to_summary([2.0, -4.0, float("nan")])
    assert list(found.values()) == [3.0, 3.0, -1.0, 4.0, 1]
    assert list(to_summary([float("nan")]).values()) == [None, None, None, None, 1]


@pytest.mark.parametrize("name", FITS)
def test_every_fit_is_compared(tmp_path, name):
    """A fit without a figure would be missing from the report."""
    assert f"fit {name}" in compare([(to_synthetic_pipeline(), write_image(tmp_path, 10))])
