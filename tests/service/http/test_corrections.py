"""A person's ellipse over HTTP; `tests/headcirc/test_corrections.py` holds the figures."""

import io
import json
from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest
from PIL import Image

from headcirc.reports.dicom.obstetric_rows import find_violations
from tests.service.http.test_problems import check
from tests.support.dicom_sources import to_dicom_file, to_ultrasound
from tests.support.redis_server import run_redis
from tests.support.sr_tree import find, read_number
from tests.support.synthetic import draw_head, to_file

CONTENT = to_file(draw_head())
STATED = {"pixel_size_mm": "0.13", "gestational_age_days": "133"}
ELLIPSE = {
    "center_x_px": 410.0,
    "center_y_px": 262.0,
    "semi_major_px": 215.0,
    "semi_minor_px": 160.0,
    "angle_deg": 33.0,
}
DRAWN = {"ellipse": ELLIPSE, "by": "R. Tester", "note": "<img src=x onerror=alert(1)>"}


def measure(client, content=CONTENT, **stated):
    """Return a kept analysis and its version."""
    answer = client.post("/v1/analyses", files={"image": ("a.png", content)}, data=STATED | stated)
    return answer.json(), answer.headers["etag"]


def correct(client, body, etag, drawn=DRAWN):
    headers = {} if etag is None else {"if-match": etag}
    return client.put(body["links"]["correction"], json=drawn, headers=headers)


def reset(client, body, etag):
    headers = {} if etag is None else {"if-match": etag}
    return client.delete(body["links"]["correction"], headers=headers)


def test_correction_stands_beside_the_automatic_version(client):
    """Both in one answer; every later answer has them, and the version has changed."""
    body, etag = measure(client)
    assert (body["method"], body["correction"]) == ("automatic", None)
    answer = correct(client, body, etag)
    assert answer.status_code == 200, answer.text
    corrected = answer.json()
    assert corrected["method"] == "corrected"
    assert corrected["head"] == body["head"]
    correction = corrected["correction"]
    assert correction["head"]["ellipse"] == ELLIPSE
    assert (correction["by"], correction["note"]) == (DRAWN["by"], DRAWN["note"])
    assert correction["head"]["head_circumference_interval_mm"] is None
    kept = client.get(body["links"]["self"])
    assert kept.json() == corrected
    assert kept.headers["etag"] == answer.headers["etag"] != etag


def test_reset_brings_the_automatic_version_back(client):
    body, etag = measure(client)
    etag = correct(client, body, etag).headers["etag"]
    answer = reset(client, body, etag)
    assert answer.status_code == 200
    assert answer.json() == body | {"expires": answer.json()["expires"]}
    assert answer.headers["etag"] != etag
    assert client.get(body["links"]["self"]).json()["method"] == "automatic"


def test_same_file_gives_the_corrected_result(client):
    """It is kept under the question; a report about the same file has it too."""
    body, etag = measure(client)
    corrected = correct(client, body, etag).json()
    assert measure(client)[0] == corrected


def test_number_alone_is_the_one_that_counts(client):
    body, etag = measure(client)
    corrected = correct(client, body, etag).json()
    number = client.get(body["links"]["head_circumference"]).json()
    drawn, found = corrected["correction"]["head"], body["head"]
    assert number["method"] == "corrected"
    assert number["head_circumference_mm"] == drawn["head_circumference_mm"]
    assert number["growth"] == corrected["correction"]["growth"]
    assert number["automatic"]["head_circumference_mm"] == found["head_circumference_mm"]


def test_head_that_was_missed_can_be_drawn(client):
    """Its number, its chart and its link are there; a reset takes them away again."""
    black = to_file(np.zeros((540, 800), np.uint8))
    body, etag = measure(client, black)
    assert body["head"] is None
    assert "growth_png" not in body["links"]
    answer = correct(client, body, etag)
    corrected = answer.json()
    assert corrected["correction"]["difference_mm"] is None
    number = client.get(body["links"]["head_circumference"])
    assert (number.status_code, number.json()["automatic"]) == (200, None)
    assert client.get(corrected["links"]["growth_svg"]).status_code == 200
    assert "growth_png" not in reset(client, body, answer.headers["etag"]).json()["links"]


# --- two people ------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "redis"])
def two_clients(request, make_client, tmp_path_factory):
    """Return two callers: of one service, or of two that share a Redis."""
    if request.param == "memory":
        client = make_client()
        yield client, client
        return
    with run_redis(tmp_path_factory.mktemp("redis")) as server:
        yield make_client(store_url=server.url), make_client(store_url=server.url)


def test_second_of_two_people_is_told(two_clients):
    """The first correction stays; with the new version the second person can decide."""
    first, second = two_clients
    body, etag = measure(first)
    seen = second.get(body["links"]["self"])
    assert seen.headers["etag"] == etag
    assert correct(first, body, etag).status_code == 200
    other = DRAWN | {"by": "B", "ellipse": ELLIPSE | {"angle_deg": 40.0}}
    check(correct(second, body, etag, other), 412, "precondition-failed")
    check(reset(second, body, etag), 412, "precondition-failed")
    now = second.get(body["links"]["self"])
    assert now.json()["correction"]["by"] == "R. Tester"
    assert correct(second, body, now.headers["etag"], other).status_code == 200
    assert first.get(body["links"]["self"]).json()["correction"]["by"] == "B"


def test_same_correction_sent_again_is_no_conflict(client):
    """A client whose connection broke before the answer tries again with the old version."""
    body, etag = measure(client)
    first = correct(client, body, etag)
    again = correct(client, body, etag)
    assert (again.status_code, again.json()) == (200, first.json())
    after = reset(client, body, first.headers["etag"])
    assert reset(client, body, first.headers["etag"]).json() == after.json()


@pytest.mark.parametrize("change", [correct, reset])
def test_version_must_be_stated(client, change):
    body, _ = measure(client)
    check(change(client, body, None), 428, "precondition-required")


def test_any_version_matches_a_star_and_a_list_is_read(client):
    body, etag = measure(client)
    assert correct(client, body, "*").status_code == 200
    now = client.get(body["links"]["self"]).headers["etag"]
    assert reset(client, body, f'"other", {now}').status_code == 200
    for wrong in (etag, f"W/{etag}", "other", ""):
        check(correct(client, body, wrong), 412, "precondition-failed")


# --- what is refused -------------------------------------------------------------------------


def test_expired_result_is_not_found(make_client):
    client = make_client(result_ttl_s=0)
    body, etag = measure(client)
    assert body["expires"] is None
    check(correct(client, body, etag), 404, "not-found")
    check(reset(client, body, etag), 404, "not-found")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"center_x_px": 900}, "invalid-ellipse"),
        ({"semi_minor_px": 0}, "invalid-ellipse"),
        ({"semi_minor_px": 300}, "invalid-ellipse"),
        ({"semi_major_px": 1e300, "semi_minor_px": 1e299}, "invalid-ellipse"),
        ({"angle_deg": 33}, None),
        ({"angle_deg": "33"}, "invalid-parameter"),
        ({"center_x_px": True}, "invalid-parameter"),
        ({"center_y_px": [262]}, "invalid-parameter"),
        ({"angle_deg": None}, "invalid-parameter"),
        ({"angle_deg": "much"}, "invalid-parameter"),
        ({"radius_px": 3}, "invalid-parameter"),
    ],
    ids=str,
)
def test_ellipse_is_checked(client, changes, code):
    body, etag = measure(client)
    answer = correct(client, body, etag, DRAWN | {"ellipse": ELLIPSE | changes})
    if code is None:
        assert answer.status_code == 200
        return
    check(answer, 422, code)
    assert client.get(body["links"]["self"]).json()["correction"] is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_number_that_is_not_finite_is_refused(client, value):
    """Python's own JSON has words for them, which no other reader knows."""
    body, etag = measure(client)
    text = json.dumps(DRAWN).replace("410.0", value)
    headers = {"if-match": etag, "content-type": "application/json"}
    answer = client.put(body["links"]["correction"], content=text, headers=headers)
    check(answer, 422, "invalid-parameter")


@pytest.mark.parametrize(
    "drawn",
    [
        {},
        {"ellipse": ELLIPSE},
        {"by": "RT"},
        DRAWN | {"by": ""},
        DRAWN | {"by": "x" * 64},
        DRAWN | {"by": 7},
        DRAWN | {"note": "x" * 501},
        DRAWN | {"note": "two\nlines"},
        DRAWN | {"at": "2020-01-01T00:00:00Z"},
        [],
        "text",
    ],
    ids=lambda drawn: str(drawn)[:40],
)
def test_body_of_another_form_is_refused(client, drawn):
    """The time is the service's own, so that it cannot be stated."""
    body, etag = measure(client)
    check(correct(client, body, etag, drawn), 422, "invalid-parameter")


def test_size_and_kind_of_the_body_are_limited(client):
    body, etag = measure(client)
    path, headers = body["links"]["correction"], {"if-match": etag}
    check(correct(client, body, etag, DRAWN | {"note": "x" * 9_000}), 413, "body-too-large")
    check(client.put(path, data=STATED, headers=headers), 415, "unsupported-media-type")
    kind = {"content-type": "application/json"}
    check(client.put(path, content=b"{", headers=headers | kind), 422, "invalid-parameter")
    answer = client.put(path, content=b"null", headers=headers | kind)
    assert answer.json()["detail"] == "body: Input should be an object."
    packed = headers | kind | {"content-encoding": "gzip"}
    check(client.put(path, content=b"{}", headers=packed), 415, "unsupported-media-type")


def test_other_key_cannot_correct(make_client):
    """With results kept apart by key, another key's result is not there."""
    hashes = {
        "one": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "two": "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
    }
    client = make_client(api_key_hashes=list(hashes.values()), result_scope="key")
    files = {"image": ("a.png", CONTENT)}
    own, other = ({"authorization": f"Bearer {key}"} for key in hashes)
    answer = client.post("/v1/analyses", files=files, data=STATED, headers=own)
    path, tag = answer.json()["links"]["correction"], {"if-match": answer.headers["etag"]}
    check(client.put(path, json=DRAWN, headers=other | tag), 404, "not-found")
    check(client.put(path, json=DRAWN, headers=tag), 401, "unauthorized")
    assert client.put(path, json=DRAWN, headers=own | tag).status_code == 200


def test_logs_hold_nothing_that_a_person_wrote(client, caplog):
    body, etag = measure(client)
    caplog.set_level("DEBUG")
    correct(client, body, etag)
    correct(client, body, etag, DRAWN | {"note": "two\nlines", "by": "Doe"})
    shown = caplog.text
    assert "/v1/analyses/{analysis_id}/correction" in shown
    for text in ("Tester", "onerror", "Doe", "two"):
        assert text not in shown


# --- how long it is kept ---------------------------------------------------------------------


def test_answers_say_when_the_result_expires(make_client):
    """A correction restarts the time."""
    client = make_client(result_ttl_s=60)
    body, etag = measure(client)
    corrected = correct(client, body, etag).json()
    for begun, expires in (
        (body["created"], body["expires"]),
        (corrected["correction"]["at"], corrected["expires"]),
    ):
        lasts = datetime.fromisoformat(expires) - datetime.fromisoformat(begun)
        assert lasts == timedelta(seconds=60)


# --- what others read ------------------------------------------------------------------------


def test_overlay_shows_both_ellipses_and_says_who_corrected(client):
    body, etag = measure(client)
    before = client.get(body["links"]["overlay"], params={"caption": False}).content
    correct(client, body, etag)
    after = client.get(body["links"]["overlay"], params={"caption": False}).content
    pixels = [np.asarray(Image.open(io.BytesIO(each))) for each in (before, after)]
    green, cyan = (124, 240, 110), (0, 214, 255)
    has = [[(each == color).all(axis=2).any() for color in (green, cyan)] for each in pixels]
    assert has == [[False, True], [True, True]]
    captioned = client.get(body["links"]["overlay"]).content
    assert Image.open(io.BytesIO(captioned)).size[1] > 540


def test_growth_chart_is_that_of_the_corrected_number(client):
    body, etag = measure(client)
    before = client.get(body["links"]["growth_svg"]).text
    corrected = correct(client, body, etag).json()
    after = client.get(body["links"]["growth_svg"]).text
    assert before != after
    assert f"HC {corrected['correction']['head']['head_circumference_mm']:.1f} mm" in after
    assert "Corrected by R. Tester" in after


def test_fhir_has_both_versions(client):
    body, etag = measure(client)
    corrected = correct(client, body, etag).json()
    accept = {"accept": "application/fhir+json"}
    bundle = client.get(body["links"]["self"], headers=accept).json()
    observations = [
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Observation"
    ]
    circumferences = [
        each for each in observations if each["code"]["text"].startswith("Head circumference")
    ]
    drawn, found = circumferences
    head = corrected["correction"]["head"]
    assert drawn["valueQuantity"]["value"] == round(head["head_circumference_mm"], 1)
    assert drawn["method"]["text"].startswith("Corrected by a person")
    assert drawn["performer"] == [{"display": "R. Tester"}]
    assert DRAWN["note"] in [each["text"] for each in drawn["note"]]
    assert "<img" not in drawn["text"]["div"]
    assert found["valueQuantity"]["value"] == round(body["head"]["head_circumference_mm"], 1)
    assert found["method"]["text"].startswith("Segmentation by a neural network")
    assert "performer" not in found


DICOM = to_dicom_file(to_ultrasound())


@pytest.fixture
def corrected_dicom(client):
    body, etag = measure(client, DICOM, pixel_size_mm="0.2")
    before = ask_report(client, "sr")
    return before, correct(client, body, etag).json()


def ask_report(client, route):
    files, fields = {"image": ("a.dcm", DICOM)}, STATED | {"pixel_size_mm": "0.2"}
    answer = client.post(f"/v1/{route}", files=files, data=fields)
    assert answer.status_code == 200, answer.text
    return pydicom.dcmread(io.BytesIO(answer.content))


def test_structured_report_has_both_versions(client, corrected_dicom):
    """The one that counts names its author and no algorithm; it is another instance than before."""
    before, corrected = corrected_dicom
    made = ask_report(client, "sr")
    assert made.SOPInstanceUID != before.SOPInstanceUID
    numbers = [read_number(each)[0] for each in find(made, "11984-2")]
    heads = (corrected["correction"]["head"], corrected["head"])
    assert numbers == [pytest.approx(each["head_circumference_mm"], abs=0.005) for each in heads]
    names = [str(each.PersonName) for each in find(made, "121008")]
    assert names == ["R. Tester^"]
    qualities = [each.ConceptCodeSequence[0].CodeValue for each in find(made, "quality")]
    assert qualities == ["corrected", "corrected", "acceptable"]
    assert len(find(made, "111001")) == 1, "the algorithm of the automatic outline alone"


def test_longest_name_fits_its_attribute(client):
    """DICOM limits a name to 64 characters, with the mark that the report puts behind it."""
    body, etag = measure(client, DICOM, pixel_size_mm="0.2")
    assert correct(client, body, etag, DRAWN | {"by": "\u5c71" * 63}).status_code == 200
    (name,) = (str(each.PersonName) for each in find(ask_report(client, "sr"), "121008"))
    assert len(name) == 64


def test_obstetric_report_has_the_number_that_counts_alone(client, corrected_dicom):
    made = ask_report(client, "sr?template=5000")
    (circumference,) = find(made, "11984-2")
    head = corrected_dicom[1]["correction"]["head"]
    expected = pytest.approx(head["head_circumference_mm"], abs=0.005)
    assert read_number(circumference)[0] == expected
    assert not find(made, "111001")
    assert find_violations(made, is_corrected=True) == []
    (comment,) = find(made, "121106")
    assert "Corrected by R. Tester" in comment.TextValue
    assert f"{corrected_dicom[1]['head']['head_circumference_mm']:.1f} mm" in comment.TextValue


def test_capture_and_segmentation_are_still_made(client, corrected_dicom):
    """The mask is the network's: a person drew an ellipse, not a mask."""
    assert "Not verified" in ask_report(client, "capture").ImageComments
    assert ask_report(client, "seg").Modality == "SEG"
