from dataclasses import asdict, replace

import pytest
from headcirc_service.answers import to_analysis_body, to_head_circumference_body

from headcirc.geometry import PixelSpacing
from headcirc.model.uncertainty_model import to_uncertainty_model
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

FACTS = {
    "error": {"intercept": 0.0, "terms": {}},
    "size_exponent": 0.0,
    "large_error": {"intercept": -1.0, "terms": {}},
    "interval": {"level": 0.9, "factor": 3.0},
    "limits": {
        "large_error": 1.0,
        "lack_of_contrast": 1.0,
        "dark_share": 1.0,
    },
}


def test_both_bodies_state_the_interval_of_a_model_that_has_one():
    """Three times an expected error of 1 mm, to both sides, at the level of the manifest."""
    plain = to_synthetic_pipeline()
    pipeline = replace(
        plain, manifest=replace(plain.manifest, uncertainty=to_uncertainty_model(FACTS))
    )
    analysis = pipeline.analyze(to_file(draw_head()), pixel_spacing=PixelSpacing(0.13, 0.13))
    body = to_analysis_body("id", analysis, pipeline)
    measured_mm = body.head.head_circumference_mm
    expected = {"level": 0.9, "low": measured_mm - 3, "high": measured_mm + 3}
    for answer in (body.head, to_head_circumference_body(body)):
        stated = asdict(answer.head_circumference_interval_mm)
        assert stated == pytest.approx(expected)


def test_without_millimetres_there_is_no_interval():
    """Null, never a guess."""
    plain = to_synthetic_pipeline()
    pipeline = replace(
        plain, manifest=replace(plain.manifest, uncertainty=to_uncertainty_model(FACTS))
    )
    analysis = pipeline.analyze(to_file(draw_head()))
    assert to_analysis_body("id", analysis, pipeline).head.head_circumference_interval_mm is None
