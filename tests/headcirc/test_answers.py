"""One declaration of the output fields: no field is lost on its way to JSON, client and CSV."""

import json
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import get_args, get_origin, get_type_hints

import pytest
from pydantic import TypeAdapter

from headcirc.answers import (
    NO_HEAD,
    NO_PIXEL_SIZE,
    AnalysisFacts,
    Correction,
    Head,
    HeadCircumference,
    Interval,
    Millimetres,
    ModelFacts,
    Row,
    SaliencyFigures,
    to_analysis_facts,
    to_gestational_age,
    to_growth,
    to_row,
)
from headcirc.client.answers import Analysis, to_answer
from headcirc.geometry import CalibratedRegion, PixelSpacing
from headcirc.growth import AGE_FROM_REQUEST, KnownAge
from headcirc.measurement import HeadMeasurement
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

SPACING = PixelSpacing(row_mm=0.2, column_mm=0.1)
AGE_DAYS = 140
NOT_IN_ROWS = {
    *(f"site.{name}" for name in ("offset_mm", "scale", "interval_factor", "cases", "date")),
    "id",
    "created",
    "timing_ms",
    "model.name",
    "model.version",
    "model.backend",
    "model.precision",
    "model.sha256",
    "image.width_px",
    "image.height_px",
    "image.orientation",
    *(f"image.dicom.{name}" for name in ("frame", "frames", "left_px", "top_px")),
    *("image.dicom.stored_width_px", "image.dicom.stored_height_px"),
    "head.head_circumference_interval_mm.level",
    "head.ellipse.center_x_px",
    "head.ellipse.center_y_px",
    "head.ellipse.semi_major_px",
    "head.ellipse.semi_minor_px",
    "head.ellipse.angle_deg",
    "head.area_mm2",
    *(
        f"gestational_age.{method}.{name}"
        for method in ("hadlock_1984", "intergrowth21_2016")
        for name in (
            *("weeks", "text", "code"),
            *(f"interval_days.{end}" for end in ("low", "high", "verified")),
            *(f"measured_interval_days.{end}" for end in ("level", "low", "high")),
        )
    ),
    *("growth.gestational_age_in_file_days", "growth.standard", "growth.code"),
    *("growth.biparietal_diameter.centile", "growth.occipitofrontal_diameter.centile"),
    *(
        f"growth.{measure}.{name}_interval.{end}"
        for measure in ("head_circumference", "biparietal_diameter", "occipitofrontal_diameter")
        for name in ("z_score", "centile")
        for end in ("level", "low", "high")
    ),
}
"""What a table leaves out: what identifies the request, or is of no use in a spreadsheet."""
CORRECTED_IN_ROWS = {
    *("correction.by", "correction.at", "correction.note"),
    *("correction.difference_mm", "correction.exceeds_half_width"),
    *(
        f"correction.head.{name}_mm"
        for name in ("head_circumference", "biparietal_diameter", "occipitofrontal_diameter")
    ),
    *(f"correction.growth.head_circumference.{name}" for name in ("z_score", "centile")),
}
"""What a table has of a correction; all else that follows from it is left out."""
NOT_FROM_AN_ANSWER = {"image", "error"}
"""Columns about the file."""
JOINED = {"quality.warnings": "warnings"}
"""Columns that `to_row` makes of more than one value."""


def to_paths(kind, prefix=""):
    """Return the path of every single value in an answer's type."""
    found = set()
    for name, hint in get_type_hints(kind).items():
        inner = hint
        if get_origin(hint) is UnionType:
            inner = next(each for each in get_args(hint) if each is not NoneType)
        path = prefix + name
        found |= to_paths(inner, f"{path}.") if is_dataclass(inner) else {path}
    return found


@pytest.fixture(scope="module")
def pipeline():
    return to_synthetic_pipeline()


@pytest.fixture(scope="module")
def analysis(pipeline):
    return pipeline.analyze(
        to_file(draw_head()), pixel_spacing=SPACING, gestational_age_days=AGE_DAYS
    )


def test_every_field_of_an_answer_has_a_column_or_is_left_out_on_purpose():
    """A new field fails here until it is in `Row`, or in the list of what tables leave out."""
    in_rows = {each.metadata["path"] for each in fields(Row) if "path" in each.metadata}
    left_out = NOT_IN_ROWS | to_paths(Correction, "correction.") - CORRECTED_IN_ROWS
    assert in_rows | {*JOINED} | left_out == to_paths(AnalysisFacts)
    assert not in_rows & left_out
    assert not (in_rows | {*JOINED}) & NOT_IN_ROWS


def test_every_column_comes_from_an_answer_or_is_about_the_file():
    without_path = {each.name for each in fields(Row) if "path" not in each.metadata}
    assert without_path == NOT_FROM_AN_ANSWER | {*JOINED.values()}


def test_every_figure_of_the_measurement_is_in_the_answer():
    """What `measure_head` computes reaches the caller under the same name."""
    assert {each.name for each in fields(HeadMeasurement)} <= {each.name for each in fields(Head)}


def test_every_figure_in_millimetres_is_also_in_the_short_answer():
    assert issubclass(HeadCircumference, Millimetres)
    assert issubclass(Head, Millimetres)


def test_columns_are_those_of_earlier_releases():
    """Programs read these tables; a new column goes before `acceptable`, with a changelog entry."""
    assert [each.name for each in fields(Row)] == [
        "image",
        "head_circumference_mm",
        "head_circumference_low_mm",
        "head_circumference_high_mm",
        "head_circumference_raw_mm",
        "biparietal_diameter_mm",
        "occipitofrontal_diameter_mm",
        "cephalic_index",
        "gestational_age_hadlock_1984_days",
        "gestational_age_intergrowth21_2016_days",
        "gestational_age_days",
        "gestational_age_source",
        "head_circumference_z_score",
        "head_circumference_centile",
        "biparietal_diameter_z_score",
        "occipitofrontal_diameter_z_score",
        "head_circumference_px",
        "pixel_size_x_mm",
        "pixel_size_y_mm",
        "pixel_size_source",
        "pixel_size_confidence",
        "head_plane_probability",
        "method",
        "corrected_head_circumference_mm",
        "corrected_biparietal_diameter_mm",
        "corrected_occipitofrontal_diameter_mm",
        "corrected_head_circumference_z_score",
        "corrected_head_circumference_centile",
        "correction_difference_mm",
        "correction_exceeds_half_width",
        "corrected_by",
        "corrected_at",
        "correction_note",
        "acceptable",
        "warnings",
        "error",
    ]


def test_client_reads_back_what_was_measured(analysis, pipeline):
    """Through JSON and back every field keeps its value."""
    answer = to_analysis_facts(analysis, pipeline, analysis_id="a")
    facts = json.loads(TypeAdapter(AnalysisFacts).dump_json(answer))
    assert to_answer(AnalysisFacts, facts) == answer
    assert to_answer(Analysis, facts | {"links": {}}) == Analysis(**vars(answer), links={})


@pytest.mark.parametrize("kind", [AnalysisFacts, HeadCircumference, ModelFacts, SaliencyFigures])
def test_every_type_of_an_answer_is_described(kind):
    """Its docstring is what the OpenAPI document says about it."""
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    parts = [schema, *schema.get("$defs", {}).values()]
    assert all(each["description"][-1] == "." for each in parts)


def test_row_holds_the_measured_figures(analysis, pipeline):
    """The same names and values as in the answer, and both pixel sizes."""
    measured = analysis.head.measurement
    row = to_row(to_analysis_facts(analysis, pipeline))
    assert row.head_circumference_mm == measured.head_circumference_mm
    assert row.biparietal_diameter_mm == measured.biparietal_diameter_mm
    assert row.occipitofrontal_diameter_mm == measured.occipitofrontal_diameter_mm
    assert row.cephalic_index == measured.cephalic_index
    assert row.head_circumference_px == analysis.head.head_circumference_px
    assert (row.pixel_size_x_mm, row.pixel_size_y_mm) == (0.1, 0.2)
    assert row.acceptable is analysis.quality.acceptable
    assert (row.image, row.error) == ("", "")


def test_row_holds_the_ends_of_the_interval(analysis, pipeline):
    answer = to_analysis_facts(analysis, pipeline)
    head = replace(answer.head, head_circumference_interval_mm=Interval(0.9, 1.0, 2.0))
    row = to_row(replace(answer, head=head))
    assert (row.head_circumference_low_mm, row.head_circumference_high_mm) == (1.0, 2.0)


def to_figures(hc_mm, *, half_mm=None, bpd_mm=None, ofd_mm=None):
    """Return a head's figures, with an interval of `half_mm` to both sides."""
    interval = None if half_mm is None else Interval(0.9, hc_mm - half_mm, hc_mm + half_mm)
    return Millimetres(
        head_circumference_mm=hc_mm,
        head_circumference_raw_mm=hc_mm,
        head_circumference_interval_mm=interval,
        biparietal_diameter_mm=bpd_mm,
        occipitofrontal_diameter_mm=ofd_mm,
        cephalic_index=None,
    )


def test_interval_is_carried_through_to_the_age():
    """Each end is the age of that circumference; the method's own error stands beside it."""
    found = to_gestational_age(to_figures(200.0, half_mm=50.0))
    hadlock, intergrowth = found.hadlock_1984, found.intergrowth21_2016
    assert hadlock.weeks == pytest.approx(22.160, abs=0.0006)
    assert hadlock.text == "22w1d"
    measured = hadlock.measured_interval_days
    assert (measured.level, measured.low, measured.high) == (
        0.9,
        pytest.approx(7 * 18.073, abs=0.005),
        pytest.approx(7 * 27.148, abs=0.005),
    )
    own = hadlock.interval_days
    assert (own.low, own.high, own.verified) == (
        pytest.approx(hadlock.days - 7 * 1.48),
        pytest.approx(hadlock.days + 7 * 1.48),
        True,
    )
    assert intergrowth.interval_days is None
    assert intergrowth.measured_interval_days.low == pytest.approx(127.27, abs=0.006)


def test_end_of_the_interval_out_of_range_is_none():
    """The age holds; the end of the interval that the method cannot date does not."""
    found = to_gestational_age(to_figures(70.0, half_mm=5.0)).hadlock_1984
    assert found.days is not None
    assert found.measured_interval_days.low is None
    assert found.measured_interval_days.high > found.days


def test_age_out_of_range_is_none_with_a_code():
    found = to_gestational_age(to_figures(60.0, half_mm=20.0)).hadlock_1984
    assert found.code == "head-circumference-below-range"
    assert (found.days, found.weeks, found.text) == (None, None, None)
    assert (found.interval_days, found.measured_interval_days) == (None, None)


def test_growth_compares_three_measures_at_the_stated_age():
    """The standard's medians at 20 weeks have a z-score of 0 and the 50th centile."""
    found = to_growth(
        to_figures(172.5, half_mm=14.9, bpd_mm=48.4, ofd_mm=60.7), KnownAge(140, AGE_FROM_REQUEST)
    )
    assert (found.gestational_age_days, found.standard, found.code) == (
        140,
        "intergrowth21_2014",
        None,
    )
    for each in (found.head_circumference, found.biparietal_diameter):
        assert each.z_score == pytest.approx(0, abs=0.03)
        assert each.centile == pytest.approx(50, abs=1)
    assert found.occipitofrontal_diameter.z_score == pytest.approx(0, abs=0.03)
    interval = found.head_circumference.z_score_interval
    assert (interval.low, interval.high) == (
        pytest.approx(-2.0, abs=0.02),
        pytest.approx(2.0, abs=0.02),
    )
    centiles = found.head_circumference.centile_interval
    assert (centiles.low, centiles.high) == (
        pytest.approx(2.28, abs=0.1),
        pytest.approx(97.72, abs=0.1),
    )
    assert found.biparietal_diameter.z_score_interval is None


def test_there_is_no_growth_without_a_stated_age():
    """The age that the circumference gives would make every head average."""
    assert to_growth(to_figures(172.5), None) is None


@pytest.mark.parametrize(
    ("days", "code"),
    [(97, "gestational-age-below-range"), (281, "gestational-age-above-range")],
)
def test_growth_out_of_range_has_a_code_and_no_figures(days, code):
    found = to_growth(to_figures(172.5, bpd_mm=48.4, ofd_mm=60.7), KnownAge(days, AGE_FROM_REQUEST))
    assert found.code == code
    assert found.head_circumference is None
    assert found.biparietal_diameter is None
    assert found.occipitofrontal_diameter is None


@pytest.mark.parametrize("figures", [None, to_figures(None)])
def test_growth_without_millimetres_has_no_figures(figures):
    """The stated age comes back; nothing is compared."""
    found = to_growth(figures, KnownAge(140, AGE_FROM_REQUEST))
    assert (found.gestational_age_days, found.head_circumference, found.code) == (140, None, None)


def test_row_holds_age_and_growth(analysis, pipeline):
    answer = to_analysis_facts(analysis, pipeline)
    row = to_row(answer)
    assert row.gestational_age_days == AGE_DAYS
    assert row.gestational_age_hadlock_1984_days == answer.gestational_age.hadlock_1984.days
    assert row.head_circumference_z_score == answer.growth.head_circumference.z_score
    assert row.head_circumference_centile == answer.growth.head_circumference.centile


def test_row_without_a_head_says_so(analysis, pipeline):
    answer = replace(to_analysis_facts(analysis, pipeline), head=None)
    assert to_row(answer) == Row(error=NO_HEAD)


def test_row_without_millimetres_states_no_pixel_size(analysis, pipeline):
    """A calibrated region beside the head says nothing about the head."""
    aside = CalibratedRegion(0.0, 0.0, 1.0, 1.0, SPACING, "dicom")
    head = replace(analysis.head, measurement=None, interval=None)
    frame = replace(analysis.frame, calibrations=(aside,))
    answer = to_analysis_facts(replace(analysis, head=head, region=None, frame=frame), pipeline)
    assert answer.image.pixel_size_x_mm is None
    row = to_row(answer)
    assert (row.pixel_size_x_mm, row.pixel_size_y_mm) == (None, None)
    assert row.error == NO_PIXEL_SIZE
    assert row.head_circumference_px == analysis.head.head_circumference_px


def test_types_need_the_standard_library_only():
    """A caller of the client has neither numpy nor pydantic."""
    program = (
        "import sys, headcirc.answers; "
        "print({'numpy', 'cv2', 'PIL', 'pydantic', 'httpx'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
