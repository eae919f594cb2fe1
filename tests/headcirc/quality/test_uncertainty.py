import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from headcirc.geometry import Ellipse, GridMapping, HeadMask, PixelSpacing
from headcirc.model.uncertainty_model import IntervalFacts, LinearScore, Term, to_uncertainty_model
from headcirc.quality.uncertainty import FEATURES, Uncertainty, measure_uncertainty, to_interval
from headcirc.raster import to_ellipse_coverage
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

ROWS, COLUMNS = 240, 320
HEAD = Ellipse(160.0, 120.0, 90.0, 70.0, 0.4)
COVERAGE = to_ellipse_coverage(HEAD, ROWS, COLUMNS)
RING = to_ellipse_coverage(HEAD, ROWS, COLUMNS) - to_ellipse_coverage(
    replace(HEAD, semi_axis_major_px=82.0, semi_axis_minor_px=62.0), ROWS, COLUMNS
)
SKULL = np.rint(20 + 200 * RING).astype(np.uint8)
FACTS = {
    "error": {
        "intercept": math.log(2.0),
        "terms": {"lost share": {"center": 0.0, "scale": 0.1, "weight": 0.3}},
    },
    "size_exponent": 0.5,
    "large_error": {
        "intercept": -1.0,
        "terms": {"unsure mask": {"center": 0.02, "scale": 0.01, "weight": 1.0}},
    },
    "interval": {"level": 0.9, "factor": 1.5},
    "limits": {
        "large_error": 1.0,
        "lack_of_contrast": -0.2,
        "dark_share": 0.3,
    },
}


def measure(pixels=SKULL, probabilities=COVERAGE, ellipse=HEAD):
    """Measure a frame that fills a network's grid of its own size."""
    mask = HeadMask(probabilities > 0.5, 0.0, 0.98)
    mapping = GridMapping(*pixels.shape, *pixels.shape, 0, 0)
    return measure_uncertainty(
        pixels, np.ascontiguousarray(probabilities, np.float32), mapping, mask, ellipse
    )


def test_a_sharp_head_leaves_little_uncertainty():
    """An exact ellipse: nothing lost, displaced, unseen or dark, and a clear echo."""
    features = measure().features
    assert list(features) == list(FEATURES)
    for feature in ("unseen share", "lost share", "dark share"):
        assert features[feature] == 0
    assert features["worst displacement"] < 0.02
    assert features["unsure mask"] == pytest.approx(0.02)
    assert features["lack of contrast"] < -0.5


def test_flatness_follows_the_width_of_the_ramp():
    """The slope of a ramp of width w is 1/w: here 12 and 24 px, of a radius of 80."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    circle = Ellipse(160.0, 120.0, 80.0, 80.0, 0.0)
    outwards_px = np.hypot(x - 160, y - 120) - 80
    for width_px in (12.0, 24.0):
        ramp = np.clip(0.5 - outwards_px / width_px, 0, 1)
        found = measure(probabilities=ramp, ellipse=circle).features["flatness"]
        assert found == pytest.approx(-math.log(80 / width_px), abs=0.1)


def test_features_do_not_depend_on_the_size_of_the_frame():
    """The same picture with half and twice the pixels, on one network grid, has the same."""
    pipeline, features = to_synthetic_pipeline(), []
    large = draw_head()
    for scale in (0.5, 1.0, 2.0):
        frame = cv2.resize(large, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        features.append(pipeline.analyze(to_file(frame)).head.uncertainty.features)
    for feature in FEATURES:
        values = [each[feature] for each in features]
        assert max(values) - min(values) < 0.05, feature


def test_lost_share_is_the_share_of_the_outline_without_an_edge():
    """Where the probabilities do not fall to the right of the head, about a half is lost."""
    circle = Ellipse(160.0, 120.0, 80.0, 80.0, 0.0)
    probabilities = to_ellipse_coverage(circle, ROWS, COLUMNS)
    probabilities[:, 160:] = 1.0
    features = measure(probabilities=probabilities, ellipse=circle).features
    assert features["lost share"] == pytest.approx(0.5, abs=0.03)
    assert features["worst displacement"] == pytest.approx(0.2, rel=0.1)


def test_unseen_share_is_the_outline_outside_the_frame():
    """Half of a circle with its centre on the border is visible."""
    circle = Ellipse(0.0, 120.0, 80.0, 80.0, 0.0)
    probabilities = to_ellipse_coverage(circle, ROWS, COLUMNS)
    features = measure(probabilities=probabilities, ellipse=circle).features
    assert features["unseen share"] == pytest.approx(0.5, abs=0.02)


def test_dark_share_is_the_share_of_the_skull_in_shadow():
    """A skull whose right half is black is dark there."""
    circle = Ellipse(160.0, 120.0, 80.0, 80.0, 0.0)
    ring = to_ellipse_coverage(circle, ROWS, COLUMNS) - to_ellipse_coverage(
        Ellipse(160.0, 120.0, 72.0, 72.0, 0.0), ROWS, COLUMNS
    )
    skull = np.rint(20 + 200 * ring).astype(np.uint8)
    skull[:, 160:] = 4
    coverage = to_ellipse_coverage(circle, ROWS, COLUMNS)
    features = measure(pixels=skull, probabilities=coverage, ellipse=circle).features
    assert features["dark share"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (20, 7), (9, 400)])
def test_any_frame_has_finite_features(shape):
    """Tiny and narrow frames give no error and no NaN."""
    features = measure(
        np.full(shape, 7, np.uint8), np.ones(shape, np.float32), Ellipse(2.0, 2.0, 9.0, 8.0, 0.0)
    ).features
    assert all(math.isfinite(value) for value in features.values())


def test_scores_are_weighted_sums_of_clipped_features():
    """Two deviations add twice as much as one; beyond four nothing is added."""
    score = LinearScore(1.0, {"a": Term(10.0, 2.0, 0.5)})
    assert score.weigh({"a": 12.0}) == pytest.approx(1.5)
    assert score.weigh({"a": 14.0}) == pytest.approx(2.0)
    assert score.weigh({"a": 1000.0}) == pytest.approx(3.0)
    assert score.weigh({"a": -1000.0}) == pytest.approx(-1.0)


def test_interval_is_factor_times_expected_error_and_never_below_zero():
    """1.5 times 4 mm to both sides; None without millimetres or an uncertainty model."""
    uncertainty, facts = Uncertainty({}, 4.0, 0.0), to_uncertainty_model(FACTS)
    facts = replace(facts, interval=IntervalFacts(0.9, 1.5))
    interval = to_interval(200.0, uncertainty, facts=facts)
    assert (interval.level, interval.low_mm, interval.high_mm) == pytest.approx((0.9, 194, 206))
    assert to_interval(20.0, Uncertainty({}, 40.0, 0.0), facts=facts).low_mm == 0
    assert to_interval(None, uncertainty, facts=facts) is None
    assert to_interval(200.0, uncertainty, facts=None) is None
    assert to_interval(200.0, Uncertainty({}, None, None), facts=facts) is None


def test_expected_error_grows_with_size_and_uncertainty():
    """2 mm at 180 mm, twice that at four times the size; without a size, that of 180 mm."""
    facts = to_uncertainty_model(FACTS)
    assert facts.to_expected_error_mm({"lost share": 0.0}, 180.0) == pytest.approx(2)
    assert facts.to_expected_error_mm({"lost share": 0.0}, None) == pytest.approx(2)
    assert facts.to_expected_error_mm({"lost share": 0.0}, 720.0) == pytest.approx(4)
    lost = facts.to_expected_error_mm({"lost share": 0.2}, 180.0)
    assert lost == pytest.approx(2 * math.exp(0.6))


def test_pipeline_gives_an_interval_only_with_a_model_and_millimetres():
    """The recorded facts widen around the measured number; no pixel size, no interval."""
    plain = to_synthetic_pipeline()
    known = replace(
        plain, manifest=replace(plain.manifest, uncertainty=to_uncertainty_model(FACTS))
    )
    content, spacing = to_file(draw_head()), PixelSpacing(0.1, 0.1)
    assert plain.analyze(content, pixel_spacing=spacing).head.interval is None
    assert known.analyze(content).head.interval is None
    head = known.analyze(content, pixel_spacing=spacing).head
    middle_mm = (head.interval.low_mm + head.interval.high_mm) / 2
    assert middle_mm == pytest.approx(head.measurement.head_circumference_mm)
    half_mm = 1.5 * head.uncertainty.expected_error_mm
    assert head.interval.high_mm - middle_mm == pytest.approx(half_mm)


def test_unknown_or_missing_uncertainty_fact_is_refused():
    """The manifest's section is read strictly."""
    with pytest.raises(KeyError):
        to_uncertainty_model(
            {key: FACTS[key] for key in ("error", "interval", "limits", "size_exponent")}
        )
    with pytest.raises(TypeError):
        to_uncertainty_model(FACTS | {"limits": FACTS["limits"] | {"other": 1.0}})
