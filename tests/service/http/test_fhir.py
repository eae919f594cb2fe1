"""FHIR over HTTP; `tests/headcirc/reports/test_fhir.py` checks what stands in a Bundle."""

import numpy as np
import pytest
from fhir.resources.R4B.bundle import Bundle

from tests.service.http.test_analyses import CONTENT, post
from tests.support.dicom_files import ULTRASOUND, make_dicom
from tests.support.synthetic import draw_head, to_file

FHIR = "application/fhir+json"
BLACK = to_file(np.zeros((54, 80), np.uint8))


@pytest.fixture
def link(client):
    stated = {"pixel_size_mm": "0.13", "gestational_age_days": "133"}
    return post(client, **stated).json()["links"]["self"]


def ask(client, link, accept=FHIR, **query):
    return client.get(link, headers={"accept": accept}, params=query)


def test_kept_result_is_read_as_fhir(client, link):
    """The asked media type, valid, and the same bytes each time."""
    answer = ask(client, link, subject="Patient/1", focus="Patient/2")
    assert (answer.status_code, answer.headers["content-type"]) == (200, FHIR)
    assert "Accept" in answer.headers["vary"]
    bundle = Bundle.model_validate_json(answer.text)
    assert bundle.entry[0].resource.subject.reference == "Patient/1"
    assert ask(client, link, subject="Patient/1", focus="Patient/2").content == answer.content


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (FHIR, FHIR),
        ("application/FHIR+json; fhirVersion=4.0", FHIR),
        (f"{FHIR}, application/json", FHIR),
        (f"application/json;q=0.9, {FHIR}", FHIR),
        (f"{FHIR};q=0.5, application/json", "application/json"),
        (f"{FHIR};q=0, application/json", "application/json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/*", "application/json"),
    ],
)
def test_answer_is_fhir_only_for_those_who_name_it(client, link, accept, expected):
    """A browser or a program that takes anything gets what it always got."""
    assert ask(client, link, accept).headers["content-type"] == expected


def test_caller_that_takes_neither_is_refused(client, link):
    for accept in ("text/html", f"{FHIR};q=0", "application/xml"):
        problem = ask(client, link, accept)
        assert (problem.status_code, problem.json()["code"]) == (406, "not-acceptable")


@pytest.mark.parametrize(
    "query",
    [
        {"subject": "Jane Doe"},
        {"subject": "Observation/1"},
        {"focus": "x"},
        {"study_uid": "x"},
        {"series_uid": "1.2.3"},
        {"study_uid": "1.2.3", "instance_uid": "1.2.3"},
    ],
)
def test_references_that_cannot_be_used_are_refused(client, link, query):
    """The message does not repeat what was sent: it may be a name."""
    problem = ask(client, link, **query)
    assert (problem.status_code, problem.json()["code"]) == (422, "invalid-parameter")
    assert "Jane" not in problem.text


def test_study_is_named_where_it_is_stated(client, link):
    stated = {"study_uid": "1.2.3", "series_uid": "1.2.3.4"}
    bundle = Bundle.model_validate_json(ask(client, link, **stated).text)
    study = bundle.entry[-1].resource
    assert study.identifier[0].value == "urn:oid:1.2.3"
    assert bundle.entry[0].resource.imagingStudy[0].reference == bundle.entry[-1].fullUrl


def test_study_of_a_dicom_file_is_its_own(client):
    """Study, series and instance come from the file, and the JSON answer has none of them."""
    pixels = draw_head()
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "SOPInstanceUID": "1.2.5"}
    answer = post(client, content=make_dicom(pixels, **uids))
    assert "1.2.3" not in answer.text
    link = answer.json()["links"]["self"]
    study = Bundle.model_validate_json(ask(client, link).text).entry[-1].resource
    assert study.identifier[0].value == "urn:oid:1.2.3"
    (series,) = study.series
    assert (series.uid, series.instance[0].uid) == ("1.2.3.4", "1.2.5")
    assert series.instance[0].sopClass.code == f"urn:oid:{ULTRASOUND}"
    assert ask(client, link, study_uid="1.2.3").content == ask(client, link).content
    problem = ask(client, link, study_uid="1.2.9")
    assert (problem.status_code, problem.json()["code"]) == (422, "invalid-parameter")


@pytest.mark.parametrize("content", [CONTENT, BLACK])
def test_result_without_a_number_is_a_bundle_without_one(client, content):
    """No pixel size, or no head."""
    link = post(client, content=content).json()["links"]["self"]
    bundle = Bundle.model_validate_json(ask(client, link).text)
    assert bundle.entry[1].resource.valueQuantity is None
    assert bundle.entry[1].resource.dataAbsentReason is not None


def test_unknown_result_is_not_found(client):
    problem = ask(client, f"/v1/analyses/{'0' * 32}")
    assert (problem.status_code, problem.json()["code"]) == (404, "not-found")
