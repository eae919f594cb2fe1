"""Gestational age and growth over HTTP; `tests/headcirc/test_growth.py` holds the known answers."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from headcirc.growth import HEAD_CIRCUMFERENCE, to_z_score
from tests.service.http.test_analyses import CONTENT, post
from tests.support.dicom_files import make_dicom
from tests.support.synthetic import draw_head, to_file

STATED = {"pixel_size_mm": "0.13", "gestational_age_days": "133"}
BLACK = to_file(np.zeros((54, 80), np.uint8))


def test_stated_age_gives_growth_in_every_answer(client):
    """The same in the analysis, in the kept one, and in the number alone."""
    body = post(client, **STATED).json()
    growth = body["growth"]
    assert growth["gestational_age_days"] == 133
    assert growth["standard"] == "intergrowth21_2014"
    measured_mm = body["head"]["head_circumference_mm"]
    expected = to_z_score(HEAD_CIRCUMFERENCE, measured_mm, 133)
    assert growth["head_circumference"]["z_score"] == pytest.approx(expected)
    assert growth["biparietal_diameter"] is not None
    assert growth["occipitofrontal_diameter"] is not None
    assert client.get(body["links"]["self"]).json() == body
    for number in (
        client.get(body["links"]["head_circumference"]).json(),
        post(client, "/v1/head-circumference", **STATED).json(),
    ):
        assert number["growth"] == growth
        assert number["gestational_age"] == body["gestational_age"]


def test_other_gestational_age_is_another_question(client):
    """Two ages of one picture are kept apart."""
    first = post(client, **STATED).json()
    second = post(client, **STATED | {"gestational_age_days": "134"}).json()
    assert first["id"] != second["id"]
    assert first["head"] == second["head"]


def test_without_a_stated_age_there_is_no_growth(client):
    """The age that the circumference gives is there, and is not used for a centile."""
    body = post(client, pixel_size_mm="0.13").json()
    assert body["gestational_age"]["intergrowth21_2016"]["days"] is not None
    assert body["growth"] is None


def test_age_of_a_dicom_file_counts_where_none_is_stated(client):
    """The answer says where the age is from; a stated one that differs is used, and named."""
    dates = {"StudyDate": "20260611", "LastMenstrualDate": "20260129"}
    content = make_dicom(draw_head(), **dates)
    size = {"pixel_size_mm": "0.13"}
    body = post(client, content=content, **size).json()
    growth = body["growth"]
    assert (growth["gestational_age_days"], growth["gestational_age_source"]) == (133, "dicom")
    assert growth["gestational_age_in_file_days"] == 133
    expected = to_z_score(HEAD_CIRCUMFERENCE, body["head"]["head_circumference_mm"], 133)
    assert growth["head_circumference"]["z_score"] == pytest.approx(expected)
    assert "gestational-age-conflict" not in body["quality"]["warnings"]
    assert dates["LastMenstrualDate"] not in str(body)
    assert "stated in the DICOM file" in client.get(body["links"]["growth_svg"]).text
    other = post(client, content=content, gestational_age_days="140", **size).json()
    growth = other["growth"]
    assert (growth["gestational_age_days"], growth["gestational_age_source"]) == (140, "request")
    assert growth["gestational_age_in_file_days"] == 133
    assert "gestational-age-conflict" in other["quality"]["warnings"]
    assert other["quality"]["acceptable"] == body["quality"]["acceptable"]


def test_last_menstrual_date_of_an_earlier_pregnancy_is_noticed(client):
    """The head is far too small for 275 days; the number and the verdict about it stay."""
    size = {"pixel_size_mm": "0.13"}
    found = [
        post(client, content=make_dicom(draw_head(), StudyDate="20260611", **dates), **size).json()
        for dates in ({}, {"LastMenstrualDate": "20250909"})
    ]
    plain, dated = found
    assert dated["growth"]["gestational_age_days"] == 275
    assert dated["growth"]["head_circumference"]["z_score"] < -5
    assert dated["quality"]["warnings"] == [*plain["quality"]["warnings"], "extreme-z-score"]
    assert dated["quality"]["acceptable"] == plain["quality"]["acceptable"]
    assert dated["head"] == plain["head"]


@pytest.mark.parametrize("began", ["20240119", "20260611", "20260701", "20250701"])
def test_impossible_age_of_a_dicom_file_is_named_and_not_used(client, began):
    """An earlier pregnancy, the same day, or a later one."""
    dates = {"StudyDate": "20260611", "LastMenstrualDate": began}
    body = post(client, content=make_dicom(draw_head(), **dates), pixel_size_mm="0.13").json()
    assert body["growth"] is None
    assert "dicom-gestational-age-unusable" in body["quality"]["warnings"]


@pytest.mark.parametrize(
    ("days", "code"),
    [("97", "gestational-age-below-range"), ("300", "gestational-age-above-range")],
)
def test_age_outside_the_standard_is_an_answer_with_a_code(client, days, code):
    """201: the head is measured, its comparison is null."""
    answer = post(client, pixel_size_mm="0.13", gestational_age_days=days)
    assert answer.status_code == 201
    growth = answer.json()["growth"]
    assert (growth["code"], growth["head_circumference"]) == (code, None)


@pytest.mark.parametrize("content", [CONTENT, BLACK])
def test_without_millimetres_there_is_neither_age_nor_figure(client, content):
    """No pixel size, or no head: null, and a warning says which."""
    body = post(client, content=content, gestational_age_days="140").json()
    assert body["gestational_age"] is None
    assert body["growth"]["head_circumference"] is None
    assert body["quality"]["warnings"] != []


@pytest.mark.parametrize("days", ["0", "-1", "331", "20w0d", "140.5", "nan", "1e2", "9" * 30])
def test_implausible_age_is_refused(client, days):
    problem = post(client, pixel_size_mm="0.13", gestational_age_days=days)
    assert (problem.status_code, problem.json()["code"]) == (422, "invalid-gestational-age")
    assert "days" in problem.json()["detail"]
    assert days not in problem.json()["detail"].split()


def test_age_given_twice_is_refused(client):
    problem = post(client, gestational_age_days=["140", "141"])
    assert (problem.status_code, problem.json()["code"]) == (422, "invalid-gestational-age")


def test_empty_age_counts_as_left_out(client):
    assert post(client, gestational_age_days="").json()["growth"] is None


# --- the chart ----------------------------------------------------------------------------------


def test_chart_comes_as_picture_and_as_document(client):
    """Both are linked, and of their own types; the document names the number."""
    body = post(client, **STATED).json()
    png = client.get(body["links"]["growth_png"])
    assert png.headers["content-type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(png.content)))
    svg = client.get(body["links"]["growth_svg"])
    assert svg.headers["content-type"] == "image/svg+xml"
    root = ElementTree.fromstring(svg.text)
    assert picture.shape == (int(root.get("height")), int(root.get("width")), 3)
    assert f"HC {body['head']['head_circumference_mm']:.1f} mm" in svg.text
    assert len(root.findall("{*}circle")) == 1


def test_chart_has_the_earlier_points_of_the_request(client):
    links = post(client, **STATED).json()["links"]
    query = {"earlier": ["105:110.5", "119:130"]}
    root = ElementTree.fromstring(client.get(links["growth_svg"], params=query).text)
    assert len(root.findall("{*}circle")) == 3
    plain = client.get(links["growth_png"]).content
    assert client.get(links["growth_png"], params=query).content != plain


@pytest.mark.parametrize(
    "earlier", [["x"], ["134:150"], ["120:nan"], ["105:110"] * 21, ["105:110", ""]]
)
@pytest.mark.parametrize("form", ["growth_png", "growth_svg"])
def test_earlier_points_that_cannot_be_used_are_refused(client, earlier, form):
    """No days and mm, later than this measurement, too many."""
    link = post(client, **STATED).json()["links"][form]
    problem = client.get(link, params={"earlier": earlier})
    assert (problem.status_code, problem.json()["code"]) == (422, "invalid-parameter")


@pytest.mark.parametrize(
    ("content", "stated", "code"),
    [
        (CONTENT, {"pixel_size_mm": "0.13"}, "gestational-age-missing"),
        (CONTENT, {"gestational_age_days": "133"}, "pixel-size-missing"),
        (BLACK, STATED, "no-head-found"),
    ],
)
def test_without_a_number_or_an_age_there_is_no_chart(client, content, stated, code):
    """No link, and 409 where one asks all the same."""
    links = post(client, content=content, **stated).json()["links"]
    assert {"growth_png", "growth_svg"}.isdisjoint(links)
    for name in ("growth.png", "growth.svg"):
        problem = client.get(f"{links['self']}/{name}")
        assert (problem.status_code, problem.json()["code"]) == (409, code)


def test_chart_of_an_age_outside_the_standard_says_so(client):
    links = post(client, **STATED | {"gestational_age_days": "90"}).json()["links"]
    answer = client.get(links["growth_svg"])
    assert answer.status_code == 200
    assert "outside the growth standard" in answer.text


def test_chart_of_an_unknown_result_is_not_found(client):
    for name in ("growth.png", "growth.svg"):
        problem = client.get(f"/v1/analyses/{'0' * 32}/{name}")
        assert (problem.status_code, problem.json()["code"]) == (404, "not-found")


def test_caller_that_takes_no_svg_is_refused(client):
    links = post(client, **STATED).json()["links"]
    problem = client.get(links["growth_svg"], headers={"accept": "image/png"})
    assert (problem.status_code, problem.json()["code"]) == (406, "not-acceptable")
