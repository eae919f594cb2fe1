import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import headcirc
from headcirc.readers import decode_frame

PHANTOM = Path("examples/phantom.png")
PIXEL_SIZE_MM, DRAWN_MM = 0.1277, 184.0
LIGHT = """
import sys, warnings
before = list(warnings.filters)
import headcirc
assert warnings.filters == before
assert set(headcirc.__all__) <= set(dir(headcirc))
print([name for name in ("numpy", "cv2", "PIL", "onnxruntime") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def model():
    return headcirc.load_model(backend="onnxruntime", precision="int8", threads=1)


@pytest.fixture(scope="module")
def result(model):
    return model.measure(PHANTOM, pixel_size_mm=PIXEL_SIZE_MM)


def test_import_loads_no_library():
    """`import headcirc` is fast and changes nothing process-wide."""
    done = subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", headcirc.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(headcirc, name).__doc__


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'load_nothing'"):
        _ = headcirc.load_nothing


def test_head_is_measured_in_millimetres(model, result):
    """Circumference, diameters and an interval around it, of a phantom of known size."""
    assert result.head_circumference_mm == pytest.approx(DRAWN_MM, abs=3)
    low_mm, high_mm = result.interval_mm
    assert low_mm < result.head_circumference_mm < high_mm
    ratio = result.biparietal_diameter_mm / result.occipitofrontal_diameter_mm
    assert result.cephalic_index == pytest.approx(ratio)
    assert result.acceptable
    assert result.path == PHANTOM
    assert (model.name, model.backend) == ("attention-resunet-half", "onnxruntime")
    assert (model.version, model.precision) == (model.pipeline.manifest.version, "int8")


def test_overlay_is_the_picture_in_colour(result, tmp_path):
    """An array, a PNG file, and what a notebook shows."""
    overlay = result.overlay()
    rows, columns = result.mask.shape
    assert overlay.shape[0] > rows, "the caption adds rows"
    assert overlay.shape[1:] == (columns, 3)
    assert (overlay[..., 0] != overlay[..., 2]).any()
    result.save_overlay(tmp_path / "overlay.png")
    written = cv2.cvtColor(cv2.imread(str(tmp_path / "overlay.png")), cv2.COLOR_BGR2RGB)
    assert (written == overlay).all()
    assert result._repr_png_() == (tmp_path / "overlay.png").read_bytes()


@pytest.mark.parametrize("kind", ["text", "bytes", "grey", "rgb", "strided"])
def test_every_kind_of_source_gives_the_same_measurement(model, result, kind):
    """A path as text, a file's bytes, and arrays: the same pixels, the same number."""
    grey = cv2.imread(str(PHANTOM), cv2.IMREAD_GRAYSCALE)
    source = {
        "text": str(PHANTOM),
        "bytes": PHANTOM.read_bytes(),
        "grey": grey,
        "rgb": np.dstack([grey] * 3),
        "strided": np.asfortranarray(grey),
    }[kind]
    again = model.measure(source, pixel_size_mm=PIXEL_SIZE_MM)
    assert again.head_circumference_mm == result.head_circumference_mm
    assert again.path == (PHANTOM if kind == "text" else None)


def test_without_a_pixel_size_there_are_pixels_only(model):
    result = model.measure(PHANTOM)
    assert result.head_circumference_mm is None
    assert result.interval_mm is None
    assert result.head_circumference_px > 0
    assert "pixel-size-missing" in result.warnings


def test_without_a_head_nothing_is_measured(model):
    """The result has no head; this is not an error."""
    result = model.measure(np.zeros((54, 80), np.uint8), pixel_size_mm=0.1)
    assert result.warnings == ("no-head-found", "not-a-head-plane")
    assert not result.acceptable
    empty = (result.head_circumference_mm, result.head_circumference_px, result.ellipse)
    assert empty == (None, None, None)
    assert result.mask is None
    assert result.overlay().shape[1:] == (80, 3)


def test_unequal_pixels_are_stated_by_their_spacing(model):
    square = headcirc.PixelSpacing(row_mm=PIXEL_SIZE_MM, column_mm=PIXEL_SIZE_MM)
    wide = headcirc.PixelSpacing(row_mm=PIXEL_SIZE_MM, column_mm=1.2 * PIXEL_SIZE_MM)
    measured_mm = [
        model.measure(PHANTOM, pixel_size_mm=each).head_circumference_mm for each in (square, wide)
    ]
    assert measured_mm[0] == pytest.approx(DRAWN_MM, abs=3)
    assert measured_mm[1] > measured_mm[0] + 10


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((9, 9), np.float32),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros(9, np.uint8),
        np.zeros((0, 9), np.uint8),
    ],
    ids=["float", "alpha", "row", "empty"],
)
def test_array_that_is_not_a_picture_is_refused(model, pixels):
    """The error says what was given and what is needed."""
    with pytest.raises(headcirc.InputError, match=r"An array .* was given; pixels are uint8"):
        model.measure(pixels)


def test_pixel_size_that_is_not_plausible_is_refused(model):
    for spacing in (12.77, headcirc.PixelSpacing(row_mm=0.0, column_mm=0.1)):
        with pytest.raises(headcirc.InputError, match="pixel size"):
            model.measure(PHANTOM, pixel_size_mm=spacing)
        with pytest.raises(headcirc.InputError, match="pixel size"):
            model.measure_many([PHANTOM], pixel_size_mm=spacing)


def test_many_are_measured_in_order_and_none_stops_the_others(model, result, tmp_path):
    """A missing or damaged file has an error in its place."""
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(PHANTOM.read_bytes()[:999])
    sources = [PHANTOM, damaged, tmp_path / "missing.png", b"", PHANTOM.read_bytes()]
    first, *failed, last = model.measure_many(sources, pixel_size_mm=PIXEL_SIZE_MM)
    for each in (first, last):
        assert each.head_circumference_mm == result.head_circumference_mm
        assert each.error is None
    assert [each.path for each in failed] == [damaged, tmp_path / "missing.png", None]
    assert [type(each.error).__name__ for each in failed] == [
        "UnreadableImageError", "FileNotFoundError", "UnreadableImageError",
    ]  # fmt: skip
    for each in failed:
        assert (each.head_circumference_mm, each.acceptable, each.warnings) == (None, False, ())
        with pytest.raises(type(each.error)):
            each.overlay()


def test_folder_without_a_model_is_an_inference_error(tmp_path):
    with pytest.raises(headcirc.InferenceError, match="manifest"):
        headcirc.load_model(tmp_path)


def test_growth_needs_an_age_and_the_age_needs_none(model, result):
    """The age from the circumference is always there; z-scores only for a stated age."""
    assert result.gestational_age.hadlock_1984.text == "20w5d"
    assert result.growth is None
    aged = model.measure(PHANTOM, pixel_size_mm=PIXEL_SIZE_MM, gestational_age_days=143)
    assert aged.growth.gestational_age_days == 143
    assert aged.growth.head_circumference.z_score == pytest.approx(0.7, abs=0.4)
    assert aged.gestational_age == result.gestational_age


def test_growth_chart_is_written_as_its_name_says(model, tmp_path):
    """SVG and PNG of one drawing, with an earlier point."""
    aged = model.measure(PHANTOM, pixel_size_mm=PIXEL_SIZE_MM, gestational_age_days=143)
    svg, png = tmp_path / "chart.svg", tmp_path / "chart.png"
    aged.save_growth_chart(svg, earlier=[(105, 110.5)])
    aged.save_growth_chart(png)
    assert svg.read_text().count("<circle") == 2
    drawing = aged.growth_chart()
    assert decode_frame(png.read_bytes()).pixels.shape == (drawing.height_px, drawing.width_px)


def test_growth_chart_without_an_age_is_refused(result):
    with pytest.raises(headcirc.InputError, match="No gestational age was stated"):
        result.growth_chart()


@pytest.mark.parametrize("days", [0, 20.4, "140"])
def test_age_that_is_not_plausible_is_refused(model, days):
    for measure in (model.measure, lambda *each, **stated: model.measure_many([*each], **stated)):
        with pytest.raises(headcirc.InputError, match="whole number of days"):
            measure(PHANTOM, gestational_age_days=days)


def test_result_is_written_as_fhir(result):
    """In plain JSON types, the same each time."""
    bundle = result.to_fhir(subject="Patient/1")
    assert json.loads(json.dumps(bundle)) == bundle == result.to_fhir(subject="Patient/1")
    assert bundle["entry"][0]["resource"]["subject"] == {"reference": "Patient/1"}
    with pytest.raises(headcirc.InputError, match="FHIR reference"):
        result.to_fhir(subject="Jane")
