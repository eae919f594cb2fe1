"""A service with a site file states the recalibration in every answer."""

from dataclasses import replace

import pytest
from headcirc_service.settings import Settings, to_public_settings

from headcirc.model.site import to_site
from tests.headcirc.model.test_site import FACTS
from tests.support.synthetic import to_synthetic_pipeline

SITE = to_site(FACTS, "d" * 64)


@pytest.fixture
def pipeline():
    return replace(to_synthetic_pipeline(), site=SITE)


def post(client, content):
    return client.post(
        "/v1/analyses", files={"image": content}, data={"pixel_size_mm": "0.13"}
    ).json()


@pytest.fixture
def content():
    from tests.support.synthetic import draw_head, to_file

    return to_file(draw_head())


def test_answer_states_the_recalibration_and_the_raw_circumference(client, content):
    body = post(client, content)
    head = body["head"]
    assert head["head_circumference_mm"] - head["head_circumference_raw_mm"] == pytest.approx(4.4)
    assert body["site"] == {
        "offset_mm": 4.4,
        "scale": 1,
        "interval_factor": 1.25,
        "cases": 41,
        "date": "2026-01-31",
    }
    number = client.get(body["links"]["head_circumference"]).json()
    assert number["site"] == body["site"]
    assert number["head_circumference_raw_mm"] == head["head_circumference_raw_mm"]


def test_models_state_the_guarantee(client):
    (model,) = client.get("/v1/models").json()["models"]
    assert model["site"]["guarantee"] == "words"
    assert (model["site"]["level"], model["site"]["sha256"]) == (0.9, "d" * 64)


def test_kept_result_is_found_with_its_recalibration(client, content):
    body = post(client, content)
    kept = client.get(body["links"]["self"]).json()
    assert kept["site"] == body["site"]
    overlay = client.get(body["links"]["overlay"])
    assert overlay.status_code == 200


def test_result_of_another_site_file_has_another_id(make_client, content):
    """Replicas of two sites may share a store."""
    corrected = post(make_client(), content)
    plain = post(_make_plain(make_client), content)
    assert corrected["id"] != plain["id"]
    assert plain["site"] is None


def _make_plain(make_client):
    client = make_client()
    measurer = client.app.state.measurer
    measurer.pipeline = replace(measurer.pipeline, site=None)
    return client


def test_log_of_the_settings_has_no_path(tmp_path):
    path = tmp_path / "site.json"
    path.write_text("{}")
    shown = to_public_settings(Settings(site_file=path))
    assert shown["site_file"] == "set"
    assert to_public_settings(Settings())["site_file"] is None
