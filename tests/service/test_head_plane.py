"""The service's answer has the probability of a head plane, and the warning below the limit."""

from dataclasses import replace

import numpy as np
import pytest

from headcirc.model.manifest import HeadPlaneFacts
from headcirc.pipeline import Pipeline
from tests.support.synthetic import BrightnessBackend, draw_head, to_file, to_manifest


@pytest.fixture
def pipeline():
    manifest = replace(to_manifest(), head_plane=HeadPlaneFacts(acceptable_probability=0.5))
    return Pipeline(manifest, BrightnessBackend())


@pytest.mark.parametrize(("probability", "is_warned"), [(0.2, True), (0.9, False)])
def test_answer_has_the_head_plane(client, pipeline, probability, is_warned):
    """It stays with a kept result, and a warning makes the result not acceptable."""
    pipeline.backend.head_plane_probability = probability
    form = {"files": {"image": to_file(draw_head())}, "data": {"pixel_size_mm": "0.13"}}
    body = client.post("/v1/analyses", **form).json()
    assert body["head_plane_probability"] == probability
    assert ("not-a-head-plane" in body["quality"]["warnings"]) is is_warned
    assert body["quality"]["acceptable"] is not is_warned
    assert body["head"] is not None
    kept = client.get(body["links"]["self"]).json()
    assert kept["head_plane_probability"] == probability


@pytest.mark.parametrize(("probability", "found"), [(0.05, "does not look like"), (0.9, "in the")])
def test_refusal_names_the_plane_where_it_is_the_reason(client, pipeline, probability, found):
    """Without a head, the text says whether the picture looks like a head plane."""
    pipeline.backend.head_plane_probability = probability
    black = np.zeros((200, 300), np.uint8)
    form = {"files": {"image": to_file(black)}, "data": {"pixel_size_mm": "0.13"}}
    refused = client.post("/v1/head-circumference", **form)
    assert refused.status_code == 422
    assert refused.json()["code"] == "no-head-found"
    assert found in refused.json()["detail"]
