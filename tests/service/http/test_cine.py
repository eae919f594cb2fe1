import asyncio
import json
import threading

import pytest
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from headcirc.errors import InferenceError
from tests.service.http.test_problems import check
from tests.support.cines import (
    COLUMNS,
    MM_PER_PX,
    ROWS,
    draw_empty,
    draw_frames,
    to_circumference_mm,
    write_video,
)
from tests.support.dicom_files import PATIENT_ID, PATIENT_NAME, make_dicom, make_region
from tests.support.raw_http import Answer, call, to_form, to_receive
from tests.support.synthetic import to_file

FRAMES = draw_frames(7)
MIDDLE_MM = to_circumference_mm(3)
PATIENCE_S = 20.0


def to_dicom(frames=FRAMES, **changes):
    delta = (MM_PER_PX / 10, MM_PER_PX / 10)
    region = make_region((0, 0, COLUMNS - 1, ROWS - 1), delta)
    return make_dicom(frames, regions=[region], FrameTime=40, **changes)


CONTENT = to_dicom()


def post(client, *contents, accept="*/*", **fields):
    files = [("image", (f"IM{index}", each)) for index, each in enumerate(contents)]
    return client.post("/v1/cine", files=files, data=fields, headers={"accept": accept})


def read_lines(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_dicom_cine_is_a_line_for_each_frame_and_a_summary(client):
    start, *frames, summary = read_lines(post(client, CONTENT))
    assert (start["type"], start["frames"]) == ("start", 7)
    assert start["model"]["name"] == "synthetic"
    assert [each["frame"] for each in frames] == list(range(7))
    assert [each["time_ms"] for each in frames] == [40.0 * index for index in range(7)]
    assert all(each["image"]["pixel_size_source"] == "dicom" for each in frames)
    assert summary["type"] == "summary"
    assert summary["head_circumference_mm"] == pytest.approx(MIDDLE_MM, rel=0.01)
    assert (summary["frames_agreeing"], summary["frames_measured"]) == (7, 7)
    assert summary["best"]["detail"]


def test_a_frame_of_a_cine_is_what_it_is_alone(client):
    """So a click on the track can ask for the frame as a picture."""
    frames = read_lines(post(client, CONTENT))[1:-1]
    form = {"files": {"image": CONTENT}, "data": {"frame": 4}}
    alone = client.post("/v1/analyses", **form).json()
    assert frames[4]["head"] == alone["head"]
    assert frames[4]["image"] == alone["image"]
    assert frames[4]["quality"] == alone["quality"]


@pytest.mark.parametrize(("name", "codec"), [("cine.mp4", "mp4v"), ("cine.avi", "MJPG")])
def test_a_video_is_measured_with_the_stated_pixel_size(client, tmp_path, name, codec):
    content = write_video(tmp_path / name, FRAMES, codec=codec).read_bytes()
    summary = read_lines(post(client, content, pixel_size_mm=MM_PER_PX))[-1]
    assert summary["head_circumference_mm"] == pytest.approx(MIDDLE_MM, rel=0.01)
    unknown = read_lines(post(client, content))[-1]
    assert (unknown["head_circumference_mm"], unknown["code"]) == (None, "pixel-size-missing")
    form = {"files": {"image": content}, "data": {"frame": 3}}
    assert client.post("/v1/analyses", **form).status_code == 201


def test_pictures_are_measured_in_turn(client):
    """One that is damaged has an error of its own."""
    files = [to_file(each) for each in [*FRAMES[:3], draw_empty(), *FRAMES[3:]]]
    files.insert(2, b"no picture")
    lines = read_lines(post(client, *files, pixel_size_mm=MM_PER_PX))
    assert lines[3]["error"]["code"] == "unsupported-media-type"
    assert (lines[3]["head"], lines[3]["quality"]) == (None, None)
    counts = [lines[-1][f"frames{each}"] for each in ("", "_unreadable", "_measured")]
    assert counts == [9, 1, 7]


@pytest.mark.parametrize(
    ("contents", "fields", "status", "code"),
    [
        ([b"no picture"], {}, 415, "unsupported-media-type"),
        ([CONTENT[:-2000]], {}, 400, "unreadable-image"),
        ([CONTENT], {"pixel_size_mm": "0.3"}, 422, "pixel-size-conflict"),
        ([CONTENT], {"pixel_size_mm": "9"}, 422, "invalid-pixel-size"),
        ([CONTENT], {"pixel_size_mm": ["0.5", "0.5"]}, 422, "invalid-pixel-size"),
        ([to_file(FRAMES[0])], {"scale_mark_mm": "10"}, 422, "scale-bar-not-found"),
        ([to_dicom(NumberOfFrames=900_000)], {}, 413, "image-too-large"),
        ([b"\0\0\0\x14ftypmp42" + bytes(100)], {}, 400, "unreadable-image"),
    ],
)
def test_what_cannot_be_measured_is_a_problem_document(client, contents, fields, status, code):
    """Before any line is sent."""
    check(post(client, *contents, **fields), status, code)


def test_a_form_without_a_picture_is_refused(client):
    check(client.post("/v1/cine", data={"pixel_size_mm": "1"}), 422, "missing-image")


def test_too_many_pictures_are_refused(client, monkeypatch):
    monkeypatch.setattr("headcirc_service.http.cine_routes.MOST_PICTURES", 3)
    check(post(client, *[b"x"] * 4), 422, "invalid-parameter")


def test_a_caller_that_takes_no_lines_is_refused(client):
    answer = post(client, CONTENT, accept="image/png")
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")


def test_an_error_after_the_first_line_is_the_last_line(client, pipeline):
    """With a code, and without what the error said."""
    infer, calls = pipeline.backend.infer, []

    def fail_later(network_input):
        calls.append(1)
        if len(calls) > 2:
            raise InferenceError(f"secret of {PATIENT_NAME}")
        return infer(network_input)

    pipeline.backend.infer = fail_later
    answer = post(client, CONTENT)
    lines = read_lines(answer)
    assert lines[0]["type"] == "start"
    assert (lines[-1]["type"], lines[-1]["code"]) == ("error", "internal-error")
    assert lines[-1]["status"] == 500
    assert lines[-1]["request_id"] == answer.headers["x-request-id"]
    assert PATIENT_NAME not in answer.text
    assert 'headcirc_rejected_total{reason="internal-error"} 1.0' in client.get("/metrics").text


def test_a_cine_that_takes_too_long_ends_with_a_line(make_client, pipeline):
    infer, entered = pipeline.backend.infer, []

    def dawdle(network_input):
        if entered:
            threading.Event().wait(5.0)
        entered.append(1)
        return infer(network_input)

    pipeline.backend.infer = dawdle
    lines = read_lines(post(make_client(cine_timeout_ms=4_000), CONTENT))
    assert lines[0]["type"] == "start"
    assert (lines[-1]["type"], lines[-1]["code"]) == ("error", "timeout")


def test_no_line_names_the_patient(client):
    answer = post(client, CONTENT)
    assert PATIENT_NAME not in answer.text
    assert PATIENT_ID not in answer.text


def test_frames_are_counted_by_outcome(client):
    post(client, to_dicom([*FRAMES[:3], draw_empty()]))
    text = client.get("/metrics").text
    assert 'headcirc_cine_frames_total{outcome="acceptable"} 3.0' in text
    assert 'headcirc_cine_frames_total{outcome="no-head"} 1.0' in text
    assert 'headcirc_quality_warnings_total{code="no-head-found"} 1.0' in text


def test_the_size_of_a_body_is_that_of_files_with_frames(make_client, tmp_path):
    """A video may be as large as a DICOM cine; also one frame of it."""
    video = write_video(tmp_path / "cine.avi", FRAMES, codec="MJPG").read_bytes()
    limited = make_client(max_upload_bytes=len(video) // 2, max_dicom_bytes=2 * len(video))
    assert post(limited, video, pixel_size_mm=MM_PER_PX).status_code == 200
    form = {"files": {"image": video}, "data": {"frame": 1}}
    assert limited.post("/v1/analyses", **form).status_code == 201
    smaller = make_client(max_upload_bytes=1000, max_dicom_bytes=len(video) // 2)
    check(post(smaller, video), 413, "image-too-large")


# --- clients that leave, and the limits on cines at work ----------------------------------------


def run(pipeline, scenario, **settings):
    """Run a scenario against a live application."""

    async def live():
        app = create_app(Settings(**settings), pipeline)
        async with app.router.lifespan_context(app):
            return await asyncio.wait_for(scenario(app), PATIENCE_S)

    return asyncio.run(live())


class HeldNetwork:
    """The network of a pipeline, held open after the first frames."""

    def __init__(self, pipeline, *, free=2):
        self.runs, self.leave = 0, threading.Event()
        self._infer, self._free = pipeline.backend.infer, free
        pipeline.backend.infer = self

    def __call__(self, network_input):
        self.runs += 1
        if self.runs > self._free:
            assert self.leave.wait(PATIENCE_S)
        return self._infer(network_input)


def test_a_client_that_leaves_stops_the_work(pipeline):
    """At most a frame more runs, the threads end, and the place is free again."""
    network = HeldNetwork(pipeline)
    before = threading.active_count()

    async def scenario(app):
        left = asyncio.Event()

        async def leave():
            await left.wait()
            return {"type": "http.disconnect"}

        form, answer = to_form(to_dicom(draw_frames(60))), Answer()
        receive = to_receive(form, then=leave)
        asking = asyncio.ensure_future(call(app, receive, "/v1/cine", answer=answer))
        while network.runs < 3 or not answer.body:  # it leaves in the middle of the answer
            await asyncio.sleep(0.01)
        left.set()
        await asyncio.sleep(0.05)
        network.leave.set()
        await asking
        again = await call(app, to_receive(to_form(CONTENT)), "/v1/cine")
        return answer, again

    answer, again = run(pipeline, scenario)
    assert (answer.status, again.status) == (200, 200)
    assert b'"summary"' not in answer.body
    assert network.runs <= 4 + 7
    assert threading.active_count() <= before + 2  # the service's own threads


def test_pictures_are_measured_while_a_cine_runs(pipeline):
    """Frames wait in line with pictures, and a picture waits for no cine."""
    network = HeldNetwork(pipeline)
    network.leave.set()

    async def scenario(app):
        cine = asyncio.ensure_future(
            call(app, to_receive(to_form(to_dicom(draw_frames(300)))), "/v1/cine")
        )
        while network.runs < 3:
            await asyncio.sleep(0.005)
        picture = await call(app, to_receive(to_form(to_file(FRAMES[0]))))
        was_running = not cine.done()
        return picture.status, was_running, (await cine).status

    assert run(pipeline, scenario) == (201, True, 200)


def test_more_cines_than_places_wait_and_then_are_refused(pipeline):
    """Each waits as long as a request may take."""
    network = HeldNetwork(pipeline, free=0)

    async def scenario(app):
        asked = [
            asyncio.ensure_future(call(app, to_receive(to_form(CONTENT)), "/v1/cine"))
            for _ in range(8)
        ]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        refused = [each.result() for each in done]
        network.leave.set()
        answers = await asyncio.gather(*asked)
        return refused, answers

    refused, answers = run(pipeline, scenario)
    assert {each.json()["code"] for each in refused} == {"overloaded"}
    assert [each.status for each in answers].count(200) == 6
    assert [each.status for each in answers].count(429) == 2


def test_the_gate_refuses_a_cine_while_the_queue_is_full(make_client, pipeline):
    """It is a POST like the others: refused from its headers."""

    async def refuse_to_send():
        raise AssertionError("the body was read")

    async def scenario(app):
        app.state.measurer.workers.depth = 10_000
        refused = await call(app, refuse_to_send, "/v1/cine")
        app.state.measurer.workers.depth = 0
        return refused

    assert run(pipeline, scenario).status == 429
