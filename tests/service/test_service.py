import pytest
from headcirc_service.admission.keys import PROTECTED
from headcirc_service.app import create_app
from headcirc_service.settings import (
    Settings,
    load_settings,
    require_known_variables,
    to_public_settings,
)
from starlette.testclient import TestClient

from headcirc.backends.registry import BACKENDS
from tests.service.http.test_analyses import post


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_may_ask_for_the_headers_alone(client, path):
    """HEAD is answered as GET is, and `Allow` says so; the documents tell of GET only."""
    assert client.head(path).status_code == 200
    assert set(client.post(path).headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert set(client.get("/openapi.json").json()["paths"][path]) == {"get"}


def test_health_routes_answer(client):
    """Alive and ready, without paths or settings."""
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_models_are_told(client):
    """The served model, where it runs and why."""
    (model,) = client.get("/v1/models").json()["models"]
    assert model["name"] == "synthetic"
    assert model["backend"] == "brightness"
    assert (model["input_width_px"], model["input_height_px"]) == (256, 256)
    assert model["saliency_layers"] == []


def test_metrics_count_requests_stages_and_warnings(client):
    """After one measurement every metric of the contract is there, labelled by route."""
    post(client)
    client.get("/v1/nothing")
    text = client.get("/metrics").text
    labels = 'method="POST",route="/v1/analyses",status="201"'
    assert f"headcirc_request_duration_seconds_count{{{labels}}} 1.0" in text
    for stage in ("decode", "preprocess", "queue", "inference", "postprocess"):
        assert f'headcirc_stage_duration_seconds_count{{stage="{stage}"}} 1.0' in text
    assert 'headcirc_quality_warnings_total{code="pixel-size-missing"} 1.0' in text
    assert "headcirc_model_info{" in text
    assert "headcirc_queue_depth 0.0" in text
    assert "/v1/nothing" not in text


def test_openapi_describes_the_contract(client):
    """Every route of this version is in the document, with its problems."""
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/v1/analyses", "/v1/analyses/{analysis_id}", "/v1/analyses/{analysis_id}/mask",
        "/v1/analyses/{analysis_id}/image", "/v1/analyses/{analysis_id}/correction", "/v1/cine",
        "/v1/analyses/{analysis_id}/overlay", "/v1/analyses/{analysis_id}/head-circumference",
        "/v1/analyses/{analysis_id}/saliency", "/v1/analyses/{analysis_id}/attention",
        "/v1/analyses/{analysis_id}/growth.png", "/v1/analyses/{analysis_id}/growth.svg",
        "/v1/scale-bar", "/v1/sr", "/v1/seg", "/v1/capture",
        "/v1/mask", "/v1/head-circumference", "/v1/models", "/livez", "/readyz", "/metrics",
    } == set(paths)  # fmt: skip
    assert {"400", "413", "415", "422", "429"} <= set(paths["/v1/analyses"]["post"]["responses"])


def test_openapi_tells_of_problems_that_are_sent_and_no_others(client):
    """Refusals of pictures while many are drawn; no 422 of the framework's kind."""
    document = client.get("/openapi.json").json()
    assert "ValidationError" not in str(document)
    for part in ("image", "mask", "overlay"):
        told = document["paths"][f"/v1/analyses/{{analysis_id}}/{part}"]["get"]["responses"]
        assert {"401", "404", "406", "429", "503", "504"} <= set(told)
        assert ("422" in told) == (part == "overlay")


def test_openapi_of_an_open_service_asks_for_no_key(client):
    """Clients made from it would else refuse to call without one."""
    assert "security" not in str(client.get("/openapi.json").json())


def test_openapi_says_how_a_key_is_sent(pipeline):
    """As a bearer token, to all that the gate protects and to nothing else."""
    keyed = create_app(Settings(api_key_hashes="0" * 64), pipeline)
    document = TestClient(keyed).get("/openapi.json").json()
    ((name, scheme),) = document["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            expected = [{name: []}] if path.startswith(PROTECTED) else None
            assert operation.get("security") == expected, path


def test_stray_variable_stops_the_start():
    """A HEADCIRC_ variable that no setting reads is a typing error, told with the known ones."""
    with pytest.raises(ValueError, match=r"HEADCIRC_BACKND; known.*HEADCIRC_BACKEND"):
        require_known_variables({"HEADCIRC_BACKND": "auto", "PATH": "x"})


def test_unusable_value_stops_the_start(monkeypatch):
    """A value of the wrong kind is told with its variable's name, in a sentence."""
    monkeypatch.setenv("HEADCIRC_QUEUE_CAPACITY", "many")
    with pytest.raises(ValueError, match="HEADCIRC_QUEUE_CAPACITY: Input should be a valid int"):
        load_settings()


def test_settings_are_logged_without_paths():
    """Only the model folder's name is shown."""
    shown = to_public_settings(Settings())
    assert shown["artifact_dir"] == "shipped"


@pytest.mark.parametrize("name", ["auto", *BACKENDS])
def test_every_backend_of_the_registry_can_be_set(monkeypatch, name):
    """A new backend needs no entry in the settings."""
    monkeypatch.setenv("HEADCIRC_BACKEND", name)
    assert load_settings().backend == name


def test_unknown_backend_stops_the_start(monkeypatch):
    """The message lists the known ones."""
    monkeypatch.setenv("HEADCIRC_BACKEND", "abacus")
    with pytest.raises(ValueError, match=r"HEADCIRC_BACKEND: .*auto, tensorrt, openvino"):
        load_settings()
