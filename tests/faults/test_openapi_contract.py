import re
from collections import Counter

import pytest
import schemathesis
from headcirc_service.app import create_app
from headcirc_service.settings import Settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from harness.service_process import start_service
from headcirc.client import HeadcircClient
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file, to_synthetic_pipeline

FEW, MANY = 20, 400
DOCUMENT = create_app(Settings(), to_synthetic_pipeline()).openapi()
SMALL = draw_head(SMALL_HEAD, rows=54, columns=80)
PICTURE = to_file(SMALL)
PICTURES = [PICTURE, PICTURE[:200], b"", to_file(SMALL, "JPEG")]
LEFT_OUT = {
    # A schema cannot describe what a picture is or which sizes exclude each other, and
    # schemathesis reports the bytes of a picture that a test inserts as a fault.
    GenerationMode.POSITIVE: [positive_data_acceptance, negative_data_rejection],
    GenerationMode.NEGATIVE: [],
}
MEASURABLE = {"image": PICTURE, "pixel_size_mm": 0.1}


def has_input(operation: dict) -> bool:
    """Return whether a request has a body or a query that can be invalid."""
    return "requestBody" in operation or any(
        each["in"] == "query" for each in operation.get("parameters", [])
    )


CASES = [
    pytest.param((method, path, mode), id=f"{mode.name.lower()} {method} {path}")
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if mode is GenerationMode.POSITIVE or has_input(operation)
]


@pytest.fixture(scope="module")
def served():
    """Return the OpenAPI document of a running service and the id of a stored analysis."""
    schemathesis.openapi.media_type(
        "application/octet-stream", st.one_of(st.sampled_from(PICTURES), st.binary(max_size=99))
    )
    with start_service(SHIPPED_MODEL_DIR) as service:
        with HeadcircClient(service.url) as client:
            kept = client.analyze(PICTURE, pixel_size_mm=0.1)
        yield schemathesis.openapi.from_url(f"{service.url}/openapi.json"), kept.id


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("asked", CASES)
def test_generated_requests_keep_the_contract(served, record, examples, asked):
    """Whatever is sent, there is no 5xx, and status, media type and body match the document."""
    (schema, kept_id), (method, path, mode) = served, asked
    operation = schema[path][method.upper()]
    statuses = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def ask(case, is_known):
        if is_known and mode is GenerationMode.POSITIVE:  # random bytes are seldom a picture
            if "analysis_id" in case.path_parameters:
                case.path_parameters["analysis_id"] = kept_id
            if method == "post":
                case.body = MEASURABLE
        answer = case.call_and_validate(excluded_checks=LEFT_OUT[mode])
        statuses[answer.status_code] += 1

    ask()
    assert max(statuses) < 500
    name = "_".join(re.findall("[a-z]+", f"openapi {mode.name.lower()} {method} {path}"))
    if examples == MANY:
        record(name, requests=statuses.total(), statuses=dict(statuses))
