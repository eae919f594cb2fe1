from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from headcirc.errors import InferenceError
from headcirc.geometry import CalibratedRegion, Ellipse, PixelSpacing
from headcirc.measurement import measure_head
from headcirc.model.prediction import Prediction
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline


@pytest.mark.parametrize(
    ("ellipse", "rows", "columns"),
    [
        (Ellipse(400.0, 270.0, 220.0, 170.0, 0.5), 540, 800),
        (Ellipse(300.0, 260.0, 150.0, 120.0, 2.0), 543, 783),
        (Ellipse(512.0, 380.0, 260.0, 200.0, 1.2), 768, 1024),
        (Ellipse(150.0, 450.0, 120.0, 90.0, 1.4), 900, 300),
    ],
)
@pytest.mark.parametrize("spacing", [PixelSpacing(0.13, 0.13), PixelSpacing(0.2, 0.1)])
def test_whole_corridor_measures_drawn_heads(ellipse, rows, columns, spacing):
    """Bytes to millimetres through the network's grid and back: within 0.3 % of the truth."""
    content = to_file(draw_head(ellipse, rows=rows, columns=columns))
    analysis = to_synthetic_pipeline().analyze(content, pixel_spacing=spacing)
    expected_mm = measure_head(ellipse, spacing).head_circumference_mm
    assert analysis.head.measurement.head_circumference_mm == pytest.approx(expected_mm, rel=0.003)


def test_network_is_shown_a_head_in_the_shape_that_it_has():
    """Where pixels are not square: it would err by millimetres in a head that it sees squeezed."""
    pipeline, content = to_synthetic_pipeline(), to_file(draw_head())
    for spacing, sizes in ((None, (256, 256)), (PixelSpacing(0.1, 0.2), (128, 256))):
        mapping = pipeline.prepare(content, pixel_spacing=spacing).mapping
        assert (mapping.content_rows, mapping.content_columns) == sizes


def test_without_a_pixel_size_there_are_no_millimetres():
    """The head is found, its figures in mm are None, and a warning says why."""
    analysis = to_synthetic_pipeline().analyze(to_file(draw_head()))
    assert analysis.head.measurement is None
    assert analysis.head.head_circumference_px > 1000
    assert "pixel-size-missing" in analysis.quality.warnings


def test_pixel_sizes_that_make_no_head_s_shape_are_told():
    """A head of index 0.77 becomes one of 0.39 by a wrong height of its pixels: not acceptable."""
    content = to_file(draw_head(Ellipse(400.0, 270.0, 220.0, 170.0, 0.0)))
    for height_mm, warnings in ((0.13, ()), (0.065, ("implausible-size",))):
        spacing = PixelSpacing(row_mm=height_mm, column_mm=0.13)
        analysis = to_synthetic_pipeline().analyze(content, pixel_spacing=spacing)
        assert 40 < analysis.head.measurement.head_circumference_mm < 400
        assert analysis.quality.warnings == warnings
        assert analysis.quality.acceptable is (not warnings)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_backend_that_answers_no_numbers_has_failed(value):
    """It is an error, which a service's readiness tells, and not a picture without a head."""
    pipeline = to_synthetic_pipeline()
    pipeline.backend.infer = lambda pictures: [Prediction(np.full_like(pictures[0, 0], value))]
    with pytest.raises(InferenceError, match="NaN or infinity"):
        pipeline.analyze(to_file(draw_head()))


def test_black_picture_has_no_head():
    """No head is a result: None, and not acceptable."""
    analysis = to_synthetic_pipeline().analyze(to_file(np.zeros((540, 800), np.uint8)))
    assert analysis.head is None
    assert not analysis.quality.acceptable


@pytest.mark.parametrize("center_y_px", [-40.0, 580.0])
def test_head_whose_centre_is_not_in_the_picture_is_not_measured(center_y_px):
    """Less than half was seen: there is no head, rather than one whose pixel size is denied."""
    content = to_file(draw_head(Ellipse(400.0, center_y_px, 220.0, 170.0, 0.1)))
    analysis = to_synthetic_pipeline().analyze(content, pixel_spacing=PixelSpacing(0.1, 0.1))
    assert analysis.head is None
    assert analysis.quality.warnings == ("no-head-found",)


def test_same_bytes_give_the_same_answer():
    """Nothing in the corridor depends on chance or on earlier pictures."""
    pipeline, content = to_synthetic_pipeline(), to_file(draw_head())
    first = pipeline.analyze(content).head
    pipeline.analyze(to_file(draw_head(Ellipse(300, 200, 100, 90, 0))))
    assert pipeline.analyze(content).head.ellipse == first.ellipse


def test_timing_of_what_was_prepared_is_never_written_to(monkeypatch):
    """Each stage's time is in the analysis, and a prepared frame stays as it was made."""
    pipeline = to_synthetic_pipeline()
    prepared = pipeline.prepare(to_file(draw_head()))
    frozen = replace(prepared, timing_ms=MappingProxyType(dict(prepared.timing_ms)))
    monkeypatch.setattr(type(pipeline), "prepare", lambda *_, **__: frozen)
    analysis = pipeline.analyze(b"")
    assert set(analysis.timing_ms) == {"decode", "preprocess", "inference", "postprocess"}
    assert set(prepared.timing_ms) == {"decode", "preprocess"}


def test_analysis_states_the_pixel_aspect_that_the_network_saw():
    """It is that of the network's input, also where the head lies in a region of another shape."""
    pipeline = to_synthetic_pipeline()
    shown = pipeline.prepare(to_file(draw_head()), pixel_spacing=PixelSpacing(0.1, 0.12))
    region = CalibratedRegion(0, 0, 799, 539, PixelSpacing(0.1, 0.1), source="file")
    prepared = replace(shown, frame=replace(shown.frame, calibrations=(region,)))
    analysis = pipeline.finish(prepared, pipeline.infer(prepared.network_input)[0])
    assert analysis.pixel_aspect == pytest.approx(1.2)
