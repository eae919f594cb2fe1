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
    Head,
    HeadCircumference,
    Interval,
    Millimetres,
    ModelFacts,
    Row,
    SaliencyFigures,
    to_analysis_facts,
    to_row,
)
from headcirc.client.answers import Analysis, to_answer
from headcirc.geometry import CalibratedRegion, PixelSpacing
from headcirc.measurement import HeadMeasurement
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

SPACING = PixelSpacing(row_mm=0.2, column_mm=0.1)
NOT_IN_ROWS = {
    "id",
    "created",
    "timing_ms",
    "gestational_age",
    "model.name",
    "model.version",
    "model.backend",
    "model.precision",
    "image.width_px",
    "image.height_px",
    "image.orientation",
    "head.head_circumference_interval_mm.level",
    "head.ellipse.center_x_px",
    "head.ellipse.center_y_px",
    "head.ellipse.semi_major_px",
    "head.ellipse.semi_minor_px",
    "head.ellipse.angle_deg",
    "head.area_mm2",
}
"""What a table leaves out: what identifies the request, or is of no use in a spreadsheet."""
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
    return pipeline.analyze(to_file(draw_head()), pixel_spacing=SPACING)


def test_every_field_of_an_answer_has_a_column_or_is_left_out_on_purpose():
    """A new field fails here until it is in `Row`, or in the list of what tables leave out."""
    in_rows = {each.metadata["path"] for each in fields(Row) if "path" in each.metadata}
    assert in_rows | {*JOINED} | NOT_IN_ROWS == to_paths(AnalysisFacts)
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
        "biparietal_diameter_mm",
        "occipitofrontal_diameter_mm",
        "cephalic_index",
        "head_circumference_px",
        "pixel_size_x_mm",
        "pixel_size_y_mm",
        "pixel_size_source",
        "pixel_size_confidence",
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


def test_row_without_a_head_says_so(analysis, pipeline):
    answer = replace(to_analysis_facts(analysis, pipeline), head=None)
    assert to_row(answer) == Row(error=NO_HEAD)


def test_row_without_millimetres_states_no_pixel_size(analysis, pipeline):
    """A calibrated region beside the head says nothing about the head."""
    aside = CalibratedRegion(0.0, 0.0, 1.0, 1.0, SPACING, "dicom")
    head = replace(analysis.head, measurement=None, interval=None)
    frame = replace(analysis.frame, calibrations=(aside,))
    answer = to_analysis_facts(replace(analysis, head=head, region=None, frame=frame), pipeline)
    assert answer.image.pixel_size_x_mm == 0.1
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
