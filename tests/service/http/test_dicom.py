import asyncio
import logging

import numpy as np
import pytest
from headcirc_service.admission.large_files import LargeFiles
from headcirc_service.app import create_app
from headcirc_service.errors import OverloadedError
from headcirc_service.settings import Settings

from headcirc.geometry import to_ellipse_perimeter
from tests.service.http.test_problems import check
from tests.support.dicom_files import (
    CM_PER_PX,
    PATIENT_ID,
    PATIENT_NAME,
    make_dicom,
    make_region,
)
from tests.support.raw_http import call, never, to_form
from tests.support.synthetic import HEAD, draw_head, to_file

BOX = (100, 40, 899, 579)
SCREEN = np.zeros((600, 1000), np.uint8)
SCREEN[40:580, 100:900] = draw_head()
SCREEN[5:30, 20:900:7] = 255
CONTENT = make_dicom(SCREEN, regions=[make_region(BOX)])
TYPE = "application/dicom"


def post(client, content=CONTENT, route="/v1/analyses", **fields):
    return client.post(route, files={"image": ("IM0001", content, TYPE)}, data=fields)


def test_file_states_its_own_pixel_size(client):
    """Circumference, source and place of the picture in the stored frame."""
    answer = post(client)
    assert answer.status_code == 201
    body = answer.json()
    expected_mm = 10 * CM_PER_PX * to_ellipse_perimeter(220, 170)
    assert body["head"]["head_circumference_mm"] == pytest.approx(expected_mm, rel=0.003)
    image = body["image"]
    assert image["pixel_size_source"] == "dicom"
    assert (image["width_px"], image["height_px"]) == (800, 540)
    assert image["dicom"] == {
        "frame": 0,
        "frames": 1,
        "left_px": 100,
        "top_px": 40,
        "stored_width_px": 1000,
        "stored_height_px": 600,
    }
    assert body["head"]["ellipse"]["center_x_px"] == pytest.approx(HEAD.center_x_px, abs=0.5)
    assert body["quality"]["warnings"] == []
    assert post(client).json() == body


def test_routes_that_promise_a_number_need_no_stated_size(client):
    assert post(client, route="/v1/head-circumference").status_code == 200
    assert post(client, route="/v1/mask").headers["content-type"] == "image/png"


def test_stated_size_beyond_one_percent_is_a_conflict(client):
    assert post(client, pixel_size_mm=10 * CM_PER_PX * 1.005).status_code == 201
    check(post(client, pixel_size_mm="0.2"), 422, "pixel-size-conflict")


def test_unusable_calibration_is_a_warning_and_no_number(client):
    content = make_dicom(SCREEN, regions=[make_region((100, 40, 1899, 579))])
    quality = post(client, content).json()["quality"]
    assert {"dicom-calibration-unusable", "pixel-size-missing"} <= {*quality["warnings"]}
    check(post(client, content, "/v1/head-circumference"), 422, "pixel-size-missing")


def test_frame_of_a_cine_is_chosen(client):
    content = make_dicom([np.zeros_like(SCREEN), SCREEN], regions=[make_region(BOX)])
    check(post(client, content), 422, "invalid-frame")
    check(post(client, content, frame=2), 422, "invalid-frame")
    body = post(client, content, frame=1).json()
    assert (body["image"]["dicom"]["frame"], body["image"]["dicom"]["frames"]) == (1, 2)
    assert body["head"] is not None
    assert post(client, content, frame=0).json()["head"] is None


def test_other_objects_and_syntaxes_are_refused_with_their_reason(client):
    video = make_dicom(SCREEN, syntax="1.2.840.10008.1.2.4.102", encoded=[b"\0" * 64])
    check(post(client, video), 415, "unsupported-media-type")
    check(post(client, CONTENT[: len(CONTENT) // 2]), 400, "unreadable-image")


def test_nothing_that_identifies_the_patient_leaves_the_service(client, caplog):
    """Not in answers, kept results, pictures, logs or refusals."""
    caplog.set_level(logging.DEBUG)
    damaged = CONTENT.replace(b"MONOCHROME2 ", PATIENT_NAME[:12].encode())
    body = post(client).json()
    texts = [post(client, damaged).text, str(body)]
    texts += [client.get(body["links"][name]).text for name in ("self", "head_circumference")]
    texts += [client.get("/metrics").text, caplog.text]
    for secret in (PATIENT_NAME, PATIENT_NAME[:8], PATIENT_ID, "IM0001"):
        assert not any(secret in text for text in texts)
    stored = client.app.state.measurer._store
    assert PATIENT_NAME not in repr(vars(stored))


# --- limits -----------------------------------------------------------------------------------


def test_dicom_has_a_limit_of_its_own(make_client):
    """A cine may be larger than a picture; the detail names the limit that holds."""
    client = make_client(max_upload_bytes=20_000, max_dicom_bytes=len(CONTENT) + 5_000)
    assert post(client).status_code == 201
    cine = make_dicom([SCREEN, SCREEN], regions=[make_region(BOX)])
    check(post(client, cine, frame=0), 413, "image-too-large")
    noise = np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)
    refused = post(client, to_file(noise))
    check(refused, 413, "image-too-large")
    assert "at most 20,000" in refused.json()["detail"]


def test_smaller_limit_for_dicom_holds_too(make_client):
    client = make_client(max_dicom_bytes=100_000)
    refused = post(client)
    check(refused, 413, "image-too-large")
    assert "at most 100,000" in refused.json()["detail"]


def test_large_files_in_memory_are_few():
    """The queue was sized for pictures; small files do not count."""
    files = LargeFiles(1_000, most=1)
    with files.take(2_000):
        with pytest.raises(OverloadedError, match="1 files of more than 1,000 bytes"):
            files.take(1_001).__enter__()
        with files.take(1_000):
            assert files.count == 1
    assert files.count == 0
    with files.take(2_000):
        pass


def test_kind_of_a_large_body_is_known_from_its_first_bytes(pipeline):
    """A DICOM file arrives beyond the limit for pictures; another file is refused at once."""
    settings = Settings(max_upload_bytes=50_000)
    cine = make_dicom([SCREEN, SCREEN], regions=[make_region(BOX)])
    assert send_in_parts(pipeline, settings, cine) == (201, 1)
    status, share = send_in_parts(pipeline, settings, b"\x89PNG\r\n\x1a\n" + bytes(len(cine)))
    assert status == 413
    assert share < 0.1


def send_in_parts(pipeline, settings, content, part_bytes=4_000):
    """Return the status, and which share of the body was read."""
    body = to_form(content, frame="0")
    parts = [body[at : at + part_bytes] for at in range(0, len(body), part_bytes)]
    read = 0

    async def receive():
        nonlocal read
        if read == len(parts):
            return await never()
        read += 1
        return {"type": "http.request", "body": parts[read - 1], "more_body": read < len(parts)}

    async def run():
        app = create_app(settings, pipeline)
        async with app.router.lifespan_context(app):
            return await call(app, receive, content_length=str(len(body)))

    return asyncio.run(run()).status, read / len(parts)
