import asyncio
import dataclasses
import hashlib
import json
import pickle
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from headcirc_service import schemas

from harness.service_process import start_service
from headcirc.answers import Millimetres, to_row
from headcirc.batch.files import UsageError
from headcirc.batch.remote import RemoteMeasure, escape_warnings
from headcirc.batch.stated import NOTHING
from headcirc.cli.commands import main
from headcirc.client import (
    AsyncHeadcircClient,
    HeadcircClient,
    ProblemError,
    RetryPolicy,
    UnexpectedAnswerError,
    UnreachableError,
    answers,
    calls,
)
from headcirc.client.retries import Attempts, read_retry_after_s
from headcirc.errors import InputError
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.readers.decode import decode_frame
from tests.support.dicom_sources import to_dicom_file, to_ultrasound

EXAMPLE = Path("examples/phantom.png")
CONTENT = EXAMPLE.read_bytes()
PIXEL_SIZE_MM = 0.1277
KEY = "a-key-of-the-tests"
AT_ONCE = RetryPolicy(first_wait_s=0.0, most_attempts=3)
NOWHERE = "http://127.0.0.1:9"
"""The port of `discard`, where nothing listens."""
PROBLEM = {"content-type": "application/problem+json"}


@pytest.fixture(scope="module")
def server():
    """Return a real service with the shipped model, which wants a key."""
    hashes = hashlib.sha256(KEY.encode()).hexdigest()
    with start_service(SHIPPED_MODEL_DIR, api_key_hashes=hashes) as service:
        yield service.url


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return path


def to_client(*replies: httpx.Response | Exception, **policy: float):
    """Return a client of a server that gives these replies in turn, and the requests it got."""
    requests, left = [], list(replies)

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        reply = left.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    retries = dataclasses.replace(AT_ONCE, **policy)
    transport = httpx.MockTransport(answer)
    return HeadcircClient("http://test", retries=retries, transport=transport), requests


def to_refusal(status: int, code: str, **headers: str) -> httpx.Response:
    facts = {"code": code, "detail": "what and why", "request_id": "ward-7"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=facts, headers=PROBLEM | given)


def to_models() -> httpx.Response:
    return httpx.Response(200, json={"models": []})


def test_every_method_against_the_real_service(server):
    """One picture, all that can be known of it: the parts agree with the whole."""
    with HeadcircClient(server, api_key=KEY) as client:
        analysis = client.analyze(CONTENT, pixel_size_mm=PIXEL_SIZE_MM)
        assert analysis.head.head_circumference_mm == pytest.approx(184.0, abs=3)
        assert analysis.image.pixel_size_source == "request"
        assert client.read_analysis(analysis.id) == analysis
        number = client.read_head_circumference(analysis.id)
        assert number.head_circumference_mm == analysis.head.head_circumference_mm
        assert client.measure_head_circumference(CONTENT, pixel_size_mm=PIXEL_SIZE_MM) == number
        mask = client.read_mask(analysis.id)
        assert mask == client.measure_mask(CONTENT)
        bare = client.read_overlay(analysis.id, caption=False)
        for picture in (mask, bare, client.read_image(analysis.id)):
            shape = decode_frame(picture).pixels.shape
            assert shape == (analysis.image.height_px, analysis.image.width_px)
        captioned = decode_frame(client.read_overlay(analysis.id)).pixels
        assert (captioned[: shape[0]] == decode_frame(bare).pixels).all()
        assert len(captioned) > shape[0]
        (model,) = client.list_models()
        assert (model.name, model.precision) == (analysis.model.name, analysis.model.precision)


def test_every_map_of_the_real_service(server):
    """Each layer and level that the model lists is a picture of the image's size, told apart."""
    with HeadcircClient(server, api_key=KEY) as client:
        (model,) = client.list_models()
        analysis = client.analyze(CONTENT, pixel_size_mm=PIXEL_SIZE_MM)
        ask = partial(client.read_saliency, analysis.id)
        maps = [ask(layer=layer, form="map") for layer in model.saliency_layers]
        gates = [client.read_attention(analysis.id, each) for each in model.attention_levels]
        assert len({*maps, *gates}) == len(maps) + len(gates) > 1
        shape = analysis.image.height_px, analysis.image.width_px
        assert {decode_frame(each).pixels.shape for each in maps + gates} == {shape}
        default = model.default_saliency_layer
        assert ask(form="map") == ask(layer=default, form="map") == ask(blend=1.0, form="map")
        assert len({ask(), ask(blend=0.5), ask(blend=0.0), ask(blend=1.0)}) == 3
        assert decode_frame(ask(caption=False)).pixels.shape == shape
        figures = client.read_saliency_figures(analysis.id)
        assert (figures.id, figures.layer) == (analysis.id, default)
        assert 0.0 < figures.concentration.head_share <= 1.0
        other = client.read_saliency_figures(analysis.id, layer=model.saliency_layers[-1])
        assert other.concentration != figures.concentration


def test_correction_at_the_real_service(server):
    """The version that was read goes out; one that has changed since is a refusal."""
    with HeadcircClient(server, api_key=KEY) as client:
        analysis = client.analyze(CONTENT, pixel_size_mm=PIXEL_SIZE_MM, frame=0)
        assert analysis.etag.startswith('"')
        assert analysis.expires > analysis.created
        ellipse = dataclasses.replace(analysis.head.ellipse, angle_deg=1.0)
        corrected = client.correct(analysis, ellipse, by="RT", note="caput")
        assert corrected.correction.head.ellipse == ellipse
        assert client.read_analysis(analysis.id) == corrected
        other = dataclasses.replace(ellipse, angle_deg=2.0)
        with pytest.raises(ProblemError, match="precondition-failed"):
            client.correct(analysis, other, by="B")
        assert client.reset_correction(corrected).correction is None


def test_tag_that_a_proxy_has_weakened_is_sent_as_it_was():
    """Compressing proxies mark tags as weak, and the service matches none of those."""
    reply = httpx.Response(404, json={})
    client, requests = to_client(reply)
    analysis = calls.read_analysis_answer(
        httpx.Response(200, json=to_analysis_facts(), headers={"etag": 'W/"a1"'})
    )
    with pytest.raises(UnexpectedAnswerError):
        client.reset_correction(analysis)
    assert (requests[0].method, requests[0].headers["if-match"]) == ("DELETE", '"a1"')


def to_analysis_facts() -> dict[str, object]:
    """Return the JSON of a picture without a head."""
    model = {"name": "m", "version": "1", "backend": "b", "precision": "fp32"}
    sizes = dict.fromkeys(("pixel_size_x_mm", "pixel_size_y_mm", "pixel_size_source"))
    return {
        **{"id": "a", "created": "2026-01-02T03:04:05Z", "model": model, "head": None},
        **{"image": {"width_px": 8, "height_px": 8} | sizes, "timing_ms": {}, "links": {}},
        "quality": {"acceptable": False, "warnings": []},
    }


def test_growth_chart_of_the_real_service(server):
    """As picture and as document; earlier points change it; without an age it is refused."""
    with HeadcircClient(server, api_key=KEY) as client:
        stated = {"pixel_size_mm": PIXEL_SIZE_MM, "gestational_age_days": 143}
        analysis = client.analyze(CONTENT, **stated)
        assert analysis.growth.head_circumference.z_score == pytest.approx(0.7, abs=0.4)
        assert client.measure_head_circumference(CONTENT, **stated).growth == analysis.growth
        chart = client.read_growth_chart(analysis.id)
        assert decode_frame(chart).pixels.shape[1] == 900
        document = client.read_growth_chart(analysis.id, form="svg", earlier=[(105, 110.5)])
        assert document.count(b"<circle") == 2
        assert client.read_growth_chart(analysis.id, earlier=[(105, 110.5)]) != chart
        without_age = client.analyze(CONTENT, pixel_size_mm=PIXEL_SIZE_MM)
        assert without_age.growth is None
        with pytest.raises(ProblemError) as refused:
            client.read_growth_chart(without_age.id)
    assert (refused.value.status, refused.value.code) == (409, "gestational-age-missing")


def test_fhir_bundle_of_the_real_service(server):
    """Subject and study are as stated; a name that is none of the service's is a TypeError."""
    with HeadcircClient(server, api_key=KEY) as client:
        analysis = client.analyze(CONTENT, pixel_size_mm=PIXEL_SIZE_MM)
        bundle = client.read_fhir_bundle(analysis.id, subject="Patient/1", study_uid="1.2.3")
        kinds = [each["resource"]["resourceType"] for each in bundle["entry"]]
        assert (kinds[0], kinds[-1]) == ("DiagnosticReport", "ImagingStudy")
        assert bundle["entry"][0]["resource"]["subject"] == {"reference": "Patient/1"}
        with pytest.raises(TypeError, match="patient cannot be stated"):
            client.read_fhir_bundle(analysis.id, patient="1")
        with pytest.raises(ProblemError) as refused:
            client.read_fhir_bundle(analysis.id, subject="Jane")
    assert (refused.value.status, refused.value.code) == (422, "invalid-parameter")


@pytest.mark.parametrize("content", [b"[]", b"no json"])
def test_fhir_answer_that_is_no_bundle_is_unexpected(content):
    reply = httpx.Response(200, content=content, headers={"content-type": "application/fhir+json"})
    client, _ = to_client(reply)
    with pytest.raises(UnexpectedAnswerError):
        client.read_fhir_bundle("a")


def test_reports_of_the_real_service(server):
    """A DICOM file of the phantom gives each kind of DICOM object about it."""
    pixels = decode_frame(CONTENT).pixels
    source = to_dicom_file(to_ultrasound(pixels, SequenceOfUltrasoundRegions=None))
    with HeadcircClient(server, api_key=KEY) as client:
        ask = partial(client.make_report, source, pixel_size_mm=PIXEL_SIZE_MM)
        made = [ask("sr"), ask("sr", template="5000"), ask("seg"), ask("capture")]
        assert len(set(made)) == 4
        assert {each[128:132] for each in made} == {b"DICM"}
        with pytest.raises(ProblemError) as refused:
            client.make_report(CONTENT, "sr", pixel_size_mm=PIXEL_SIZE_MM)
    assert refused.value.code == "unsupported-media-type"


@pytest.mark.parametrize(
    ("ask", "status", "code"),
    [
        (lambda client, id_: client.read_saliency(id_, layer="none"), 422, "invalid-parameter"),
        (lambda client, id_: client.read_saliency(id_, blend=2.0), 422, "invalid-parameter"),
        (lambda client, id_: client.read_saliency_figures("0"), 404, "not-found"),
        (lambda client, id_: client.read_attention(id_, 3), 422, "invalid-parameter"),
    ],
)
def test_maps_that_there_are_not_are_refused(server, ask, status, code):
    """A layer or level that the model lacks, a blend beyond 1, an analysis that is not kept."""
    with HeadcircClient(server, api_key=KEY) as client:
        analysis = client.analyze(CONTENT)
        with pytest.raises(ProblemError) as refused:
            ask(client, analysis.id)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_async_client_gives_the_same_answers(server):
    """Ten at once on one client, each the answer of the client that blocks."""

    async def ask():
        async with AsyncHeadcircClient(server, api_key=KEY) as client:
            sizes = [PIXEL_SIZE_MM + i / 1000 for i in range(10)]
            each = await asyncio.gather(
                *(client.analyze(CONTENT, pixel_size_mm=size) for size in sizes)
            )
            parts = await asyncio.gather(
                client.read_mask(each[0].id),
                client.list_models(),
                client.read_saliency(each[0].id, layer="decoder-64", blend=0.3),
                client.read_saliency_figures(each[0].id),
                client.read_attention(each[0].id, 64),
            )
            return each, *parts

    analyses, mask, models, saliency, figures, attention = asyncio.run(ask())
    assert len({analysis.id for analysis in analyses}) == 10
    with HeadcircClient(server, api_key=KEY) as client:
        assert client.analyze(CONTENT, pixel_size_mm=PIXEL_SIZE_MM) == analyses[0]
        assert client.read_mask(analyses[0].id) == mask
        assert client.list_models() == models
        kept = analyses[0].id
        assert client.read_saliency(kept, layer="decoder-64", blend=0.3) == saliency
        assert client.read_saliency_figures(kept) == figures
        assert client.read_attention(kept, 64) == attention


@pytest.mark.parametrize(
    ("content", "stated", "status", "code"),
    [
        (b"text", {}, 415, "unsupported-media-type"),
        (CONTENT[:900], {}, 400, "unreadable-image"),
        (CONTENT, {"pixel_size_mm": 9.0}, 422, "invalid-pixel-size"),
        (CONTENT, {"frame": 3}, 422, "invalid-frame"),
        (CONTENT, {}, 422, "pixel-size-missing"),
    ],
)
def test_refusals_are_typed(server, content, stated, status, code):
    """Status, code, detail and the id under which the service logged it."""
    with HeadcircClient(server, api_key=KEY) as client, pytest.raises(ProblemError) as refused:
        client.measure_head_circumference(content, **stated)
    error = refused.value
    assert (error.status, error.code) == (status, code)
    assert error.detail
    assert error.request_id


@pytest.mark.parametrize("key", [None, "wrong"])
def test_without_the_key_nothing_is_told(server, key):
    """401 is no matter of patience: it is asked once."""
    with HeadcircClient(server, api_key=key) as client, pytest.raises(ProblemError) as refused:
        client.list_models()
    assert refused.value.code == "unauthorized"


def test_id_is_no_path(server):
    """What is given as an id stays one part of the path."""
    with HeadcircClient(server, api_key=KEY) as client, pytest.raises(ProblemError) as refused:
        client.read_analysis("../models")
    assert refused.value.status == 404


@pytest.mark.parametrize("status", [429, 503])
def test_busy_server_is_asked_again(status):
    """As often as the policy says, with the same picture each time."""
    busy = to_refusal(status, "overloaded", retry_after="0")
    client, requests = to_client(busy, busy, to_models())
    assert client.list_models() == ()
    assert len(requests) == 3
    client, requests = to_client(busy, busy, busy, to_models())
    with pytest.raises(ProblemError, match="overloaded"):
        client.analyze(CONTENT)
    assert [CONTENT in each.content for each in requests] == [True] * 3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("kind", ["text/html", "", "application/json"])
def test_reverse_proxy_that_finds_no_service_is_asked_again(status, kind):
    """Its page is no answer of the service: tried again, and in the end nobody was there."""
    away = httpx.Response(status, text="<html>Bad Gateway", headers={"content-type": kind})
    client, requests = to_client(away, away, to_models())
    assert client.list_models() == ()
    assert len(requests) == 3
    client, requests = to_client(away, away, away, to_models())
    with pytest.raises(UnreachableError, match=f"A reverse proxy answered {status}"):
        client.analyze(CONTENT)
    assert len(requests) == 3


def test_async_client_asks_a_reverse_proxy_again():
    """As the client that blocks does."""
    left = [httpx.Response(502, text="Bad Gateway"), to_models()]
    transport = httpx.MockTransport(lambda _: left.pop(0))

    async def ask() -> tuple[answers.ModelFacts, ...]:
        async with AsyncHeadcircClient("http://test", retries=AT_ONCE, transport=transport) as each:
            return await each.list_models()

    assert asyncio.run(ask()) == ()


def test_wait_that_exceeds_the_deadline_is_not_waited():
    """The server is not asked before the time that it named, so it is not asked again."""
    busy = to_refusal(429, "overloaded", retry_after="3600")
    client, requests = to_client(busy, to_models())
    with pytest.raises(ProblemError) as refused:
        client.list_models()
    assert refused.value.request_id == "ward-7"
    assert len(requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 415, 422, 500, 504])
def test_other_refusals_are_final(status):
    """Asked again they would be the same, or would double a load that is too much."""
    client, requests = to_client(to_refusal(status, "some-code"))
    with pytest.raises(ProblemError):
        client.list_models()
    assert len(requests) == 1


@pytest.mark.parametrize("content", ["a/patient's name.png", EXAMPLE, bytearray(CONTENT)])
def test_what_is_not_a_picture_s_bytes_is_not_sent(content):
    """A path would be sent as if it were the file; the service would learn a patient's name."""
    client, requests = to_client()
    with pytest.raises(TypeError, match=f"is a {type(content).__name__}; give its file's bytes"):
        client.analyze(content)
    assert not requests


@pytest.mark.parametrize("stated", [{"pixel_size": 0.1}, {"pixel_size_mm": 0.1, "x_mm": 0.2}])
def test_what_cannot_be_stated_is_not_passed_over(stated):
    """A pixel size by another name would be sent, not heeded, and no millimetres would come."""
    client, requests = to_client()
    with pytest.raises(TypeError, match="cannot be stated; pixel_size_mm, pixel_size_x_mm, "):
        client.analyze(CONTENT, **stated)
    assert not requests


def test_lost_connection_is_tried_again():
    """A question may be repeated: the same question has the same answer."""
    client, requests = to_client(httpx.ConnectError(""), httpx.ReadError(""), to_models())
    assert client.list_models() == ()
    assert len(requests) == 3


def test_nobody_there_is_told():
    """After the last attempt, in a sentence."""
    with (
        HeadcircClient(NOWHERE, retries=AT_ONCE) as client,
        pytest.raises(UnreachableError, match="does not answer"),
    ):
        client.list_models()


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"models": [{}]}),
        httpx.Response(200, json={"models": "none"}),
        httpx.Response(200, json=[]),
        httpx.Response(404, text="nginx"),
        httpx.Response(404, text="nginx", headers=PROBLEM),
        httpx.Response(302, headers={"location": "http://elsewhere"}),
    ],
)
def test_other_programs_are_not_taken_for_headcirc(reply):
    """An answer that the contract does not have is told, not guessed at."""
    client, _ = to_client(reply)
    with pytest.raises(UnexpectedAnswerError):
        client.list_models()


def test_answer_that_cannot_be_unpacked_is_told():
    """By both clients, as an answer that the contract does not have, without asking again."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        broken = httpx.ByteStream(b"no gzip")
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=broken)

    transport = httpx.MockTransport(answer)
    with (
        HeadcircClient("http://test", retries=AT_ONCE, transport=transport) as client,
        pytest.raises(UnexpectedAnswerError, match="proxy"),
    ):
        client.list_models()

    async def ask() -> None:
        async with AsyncHeadcircClient("http://test", retries=AT_ONCE, transport=transport) as each:
            await each.list_models()

    with pytest.raises(UnexpectedAnswerError, match="proxy"):
        asyncio.run(ask())
    assert len(asked) == 2


def test_unknown_fields_are_passed_over():
    """The contract may grow; a number may arrive without its point; null stays None."""
    facts = {"width_px": 8, "height_px": 5, "pixel_size_x_mm": 1, "pixel_size_y_mm": None}
    image = answers.to_answer(answers.Image, facts | {"pixel_size_source": None, "new": 1})
    assert image == answers.Image(8, 5, 1.0, None, None)
    for wrong in ({"width_px": "8"}, {"width_px": True}, {"width_px": None}):
        with pytest.raises(UnexpectedAnswerError, match=r"Image\.width_px"):
            answers.to_answer(answers.Image, facts | {"pixel_size_source": None} | wrong)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_number_that_is_none_is_not_taken_for_one(value):
    """JSON knows neither; Python's reader takes them."""
    facts = {"width_px": 8, "height_px": 5, "pixel_size_x_mm": json.loads(value)}
    with pytest.raises(UnexpectedAnswerError, match=r"Image\.pixel_size_x_mm"):
        answers.to_answer(
            answers.Image, facts | {"pixel_size_y_mm": None, "pixel_size_source": None}
        )


def test_answer_of_an_older_service_is_read():
    """A field that older services lack gets its stated value; any other must be there."""
    facts = {"head_circumference_mm": 1.0, "biparietal_diameter_mm": 1.0, "cephalic_index": 1.0}
    facts |= {"occipitofrontal_diameter_mm": 1.0}
    assert answers.to_answer(Millimetres, facts).head_circumference_interval_mm is None
    del facts["cephalic_index"]
    with pytest.raises(UnexpectedAnswerError, match=r"no Millimetres\.cephalic_index"):
        answers.to_answer(Millimetres, facts)


def test_client_reads_every_field_that_the_service_adds():
    """The rest of an answer is the same type on both sides."""
    kinds = answers.Analysis, schemas.AnalysisBody
    names = [[field.name for field in dataclasses.fields(kind)] for kind in kinds]
    assert names[0] == [*names[1], "etag"], "the tag is a header of the answer"


def test_waits_double_up_to_the_longest_and_end():
    """Without jitter: 1, 2, 4, 5 and no fifth, because six attempts were not granted."""
    policy = RetryPolicy(
        most_attempts=5, deadline_s=100, first_wait_s=1, longest_wait_s=5, jitter=0
    )
    attempts = Attempts(policy, clock=lambda: 0.0)
    assert [attempts.to_wait_s() for _ in range(5)] == [1, 2, 4, 5, None]


def test_jitter_only_adds():
    """Never earlier than the server asked, and at most by its share later."""
    for _ in range(50):
        wait_s = Attempts(RetryPolicy(jitter=0.5)).to_wait_s(10.0)
        assert 10.0 <= wait_s <= 15.0


def test_deadline_ends_the_attempts():
    """What is left shrinks with the clock; a wait beyond it is not begun."""
    now = [0.0]
    attempts = Attempts(RetryPolicy(deadline_s=10, jitter=0), clock=lambda: now[0])
    assert attempts.to_wait_s(4.0) == 4.0
    now[0] = 7.0
    assert attempts.left_s == 3.0
    assert attempts.to_wait_s(4.0) is None


def test_retry_after_may_be_a_date():
    """Seconds, an HTTP date, or nothing that can be read."""
    assert read_retry_after_s("7") == 7.0
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3500 < read_retry_after_s(soon) <= 3600
    assert read_retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert read_retry_after_s(None) is read_retry_after_s("soon") is None
    assert read_retry_after_s("²") is None
    assert read_retry_after_s("Wed, 21 Oct 99999999999 07:28:00 GMT") is None


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://x",
        "http://",
        "",
        "http://x:port",
        "http://x:99999",
        "http://[::1",
        "http://x\0",
    ],
)
def test_address_that_is_none_is_refused(url):
    """Told at once, with an example."""
    with pytest.raises(ValueError, match="looks like"):
        HeadcircClient(url)


@pytest.mark.parametrize("key", ["", f"{KEY}\n", f" {KEY}", "schlüssel"])
def test_key_that_cannot_be_sent_is_refused(key):
    """Told at once, and not after seconds that the server did not answer; the key is not told."""
    with pytest.raises(ValueError, match="one line of printable ASCII") as told:
        HeadcircClient("http://test", api_key=key)
    assert KEY not in str(told.value)


def test_refusal_says_when_to_ask_again():
    """Where patience ended, the caller knows how long the service wants to be left alone."""
    client, _ = to_client(to_refusal(429, "overloaded", retry_after="600"))
    with pytest.raises(ProblemError) as refusal:
        client.list_models()
    assert refusal.value.retry_after_s == 600


def test_refusal_can_leave_a_process_pool():
    """A worker's error arrives whole; one that cannot be unpickled breaks the pool."""
    problem = ProblemError(429, code="overloaded", detail="Full.", request_id="r", retry_after_s=2)
    arrived = pickle.loads(pickle.dumps(problem))  # noqa: S301 - our own
    assert (type(arrived), str(arrived)) == (ProblemError, str(problem))
    assert vars(arrived) == vars(problem)


def test_type_checkers_see_the_types():
    """PEP 561: without its marker all of the client is `Any` to those who depend on it."""
    assert Path("headcirc/py.typed").exists()


def test_service_that_has_gone_for_good_ends_the_run():
    """Twelve images in a row without an answer; one answer between begins the count anew."""
    gone = httpx.ConnectError("refused")
    replies = [gone] * 11 + [to_refusal(400, "unreadable-image")] + [gone] * 12
    client, _ = to_client(*replies, most_attempts=1)
    measure = RemoteMeasure(client)
    for _ in range(11 + 1 + 11):
        with pytest.raises(InputError):
            measure(CONTENT, NOTHING)
    with pytest.raises(UsageError, match=r"12 images in a row .* What was measured is kept"):
        measure(CONTENT, NOTHING)


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(502, text="Bad Gateway"),
        httpx.Response(503, text="Service Unavailable"),
        httpx.Response(504, text="Gateway Time-out"),
        to_refusal(502, "some-code"),
        to_refusal(503, "not-ready"),
    ],
)
def test_service_that_is_away_behind_a_reverse_proxy_ends_the_run(reply):
    """Twelve images that only the reverse proxy answered are twelve without an answer."""
    client, _ = to_client(*[reply] * 12, most_attempts=1)
    measure = RemoteMeasure(client)
    for _ in range(11):
        with pytest.raises(InputError):
            measure(CONTENT, NOTHING)
    with pytest.raises(UsageError, match="12 images in a row"):
        measure(CONTENT, NOTHING)


def test_text_of_a_server_is_escaped():
    """What a server calls a fault or a warning writes no control characters to a terminal."""
    facts = {"code": "c", "detail": "=1+1\x1b[2J\nnext line", "request_id": "r"}
    refusal = httpx.Response(400, json=facts, headers=PROBLEM)
    client, _ = to_client(refusal)
    with pytest.raises(InputError) as refused:
        RemoteMeasure(client)(CONTENT, NOTHING)
    assert str(refused.value) == "=1+1\\x1b[2J\\nnext line"
    quality = answers.Quality(acceptable=False, warnings=("\x1b[2J",))
    image = answers.Image(8, 5, None, None, None)
    model = answers.Model("m", "1", "b", "p")
    analysis = answers.Analysis(
        id="i",
        created="",
        model=model,
        image=image,
        head=None,
        head_plane_probability=None,
        quality=quality,
        site=None,
        timing_ms={},
        links={},
    )
    assert to_row(escape_warnings(analysis)).warnings == "\\x1b[2J"


def analyze(capsys, *arguments: str) -> tuple[int, str, str]:
    """Run `headcirc analyze` and return its exit status and what it wrote."""
    status = main(["analyze", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_command_line_gives_the_same_rows_as_without_a_server(server, key_file, tmp_path, capsys):
    """JSON, CSV, pictures and exit status: one good image, one bad, and one without a scale."""
    (tmp_path / "bad.png").write_bytes(b"no image at all")
    (tmp_path / "unknown.png").write_bytes(CONTENT)
    sizes = tmp_path / "sizes.csv"
    sizes.write_text(f"filename,pixel_size_mm\n{EXAMPLE.name},{PIXEL_SIZE_MM}\n")
    images = [str(EXAMPLE), str(tmp_path / "bad.png"), str(tmp_path / "unknown.png")]
    runs = []
    for name, remote in (
        ("here", []),
        ("there", ["--server", server, "--api-key-file", str(key_file)]),
        ("bare here", ["--bare-overlays"]),
        ("bare there", ["--bare-overlays", "--server", server, "--api-key-file", str(key_file)]),
    ):
        out, table = tmp_path / name, tmp_path / f"{name}.csv"
        options = ["--pixel-sizes", str(sizes), "--csv", str(table), "--overlay-dir", str(out)]
        status, printed, _ = analyze(capsys, *images, *options, "--json", *remote)
        rows = [json.loads(line) for line in printed.splitlines()]
        pictures = {each.name: each.read_bytes() for each in out.rglob("*.png")}
        runs.append((status, rows, table.read_text(), pictures))
    here, there, bare_here, bare_there = runs
    assert here == there
    assert bare_here == bare_there
    assert here[3] != bare_here[3]
    assert here[0] == 1
    assert here[3].keys() == {"phantom_overlay.png", "unknown_overlay.png"}
    assert [row["error"][:19] for row in here[1]] == [
        "",
        "The content is no i",
        "no pixel size is kn",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--server", "nonsense"], "looks like http"),
        (["--server", "{server}"], "No API key was sent"),
        (["--server", "{server}", "--api-key-file", "absent"], "cannot be read"),
        (["--server", "{server}", "--backend", "openvino"], "the server's to choose"),
        (["--api-key-file", "LICENSE"], "name it by --server"),
        (["--server", "{server}", "--api-key-file", "LICENSE"], "one line"),
    ],
)
def test_bad_use_of_a_server_ends_with_status_2(server, options, message, capsys):
    """Told in a sentence before any picture is sent."""
    given = [each.format(server=server) for each in options]
    status, _, told = analyze(capsys, str(EXAMPLE), *given)
    assert status == 2
    assert message in told
    assert KEY not in told


def test_picture_that_the_service_no_longer_keeps_does_not_cost_the_number(tmp_path, capsys):
    """A service that keeps nothing still measures: the row has the number and says what lacks."""
    with start_service(SHIPPED_MODEL_DIR, result_ttl_s="0") as service:
        options = ["--server", service.url, "--overlay-dir", str(tmp_path)]
        status, printed, _ = analyze(
            capsys, str(EXAMPLE), "--pixel-size-mm", str(PIXEL_SIZE_MM), *options
        )
    assert status == 1
    assert "HC 18" in printed
    assert "the overlay is missing" in printed


def test_document_s_blocks_run(server, tmp_path, monkeypatch, capsys):
    """Each block of docs/client.md, sent to the real service, prints what it says."""
    blocks = re.findall(r"```python\n(.*?)```", Path("docs/client.md").read_text(), re.DOTALL)
    (tmp_path / "examples").mkdir()
    (tmp_path / EXAMPLE).write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        with_key = block.replace(", api_key=None", "").replace(
            '"http://127.0.0.1:8000"', f'"{server}", api_key="{KEY}"'
        )
        exec(with_key, {})  # noqa: S102 - the document's own
    printed = capsys.readouterr().out
    assert re.match(r"18\d\.\d mm \(\)\nunsupported-media-type 415", printed)
    assert decode_frame((tmp_path / "overlay.png").read_bytes()).pixels.shape[1] == 800


def test_client_does_not_import_what_measures():
    """Neither numpy nor OpenCV: a caller elsewhere needs httpx alone."""
    import subprocess
    import sys

    program = "import sys, headcirc.client; print({'numpy', 'cv2', 'PIL'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# --- cines ----------------------------------------------------------------------------------------

START = {"type": "start", "created": "2026-01-01T12:00:00Z", "frames": 1, "site": None}
START |= {"model": {"name": "m", "version": "1", "backend": "b", "precision": "int8"}}
FAULT = {"type": "error", "code": "timeout", "detail": "late", "status": 504, "request_id": "r"}


def to_ndjson(*lines):
    return "".join(json.dumps(each) + "\n" for each in lines).encode()


def stream(*answers, retries=AT_ONCE):
    """Return the lines that a client gets from a server that gives these answers in turn."""
    left = [*answers]
    transport = httpx.MockTransport(lambda _: left.pop(0))
    with HeadcircClient(NOWHERE, transport=transport, retries=retries) as client:
        return list(client.stream_cine(CONTENT))


def test_a_cine_of_a_real_service_is_read_line_by_line(server):
    """Pictures in turn; both clients get the same lines."""
    stated = {"pixel_size_mm": PIXEL_SIZE_MM}
    with HeadcircClient(server, api_key=KEY) as client:
        lines = list(client.stream_cine([CONTENT] * 3, **stated))

    async def collect():
        async with AsyncHeadcircClient(server, api_key=KEY) as client:
            return [line async for line in client.stream_cine([CONTENT] * 3, **stated)]

    assert [each.type for each in lines] == ["start", "frame", "frame", "frame", "summary"]
    assert lines[-1].frames_agreeing == 3
    assert lines[1].head_circumference_mm == lines[-1].head_circumference_mm
    assert asyncio.run(collect())[1:-1] == lines[1:-1]
    with HeadcircClient(server, api_key=KEY) as client, pytest.raises(ProblemError) as refused:
        list(client.stream_cine(b"no picture"))
    assert refused.value.code == "unsupported-media-type"


def test_an_error_line_is_a_problem():
    with pytest.raises(ProblemError) as raised:
        stream(httpx.Response(200, content=to_ndjson(START, FAULT)))
    facts = raised.value
    assert (facts.status, facts.code, facts.request_id) == (504, "timeout", "r")


def test_a_cine_that_ends_without_its_summary_was_cut():
    with pytest.raises(UnreachableError, match="before the cine was measured"):
        stream(httpx.Response(200, content=to_ndjson(START)))


def test_an_unknown_line_is_not_the_services():
    for content in (b"<html>\n", b'{"type": "other"}\n', b"[]\n"):
        with pytest.raises(UnexpectedAnswerError):
            stream(httpx.Response(200, content=content))


def test_a_busy_service_is_asked_again_before_the_first_line():
    """As every other call does."""
    busy = {"code": "overloaded", "detail": "full", "request_id": "r"}
    refusal = httpx.Response(429, json=busy, headers={**PROBLEM, "retry-after": "0"})
    with pytest.raises(UnreachableError):
        stream(refusal, httpx.Response(200, content=to_ndjson(START)))
    with pytest.raises(ProblemError) as refused:
        stream(refusal, refusal, refusal)
    assert refused.value.code == "overloaded"


def test_a_cine_takes_bytes_alone():
    with HeadcircClient(NOWHERE) as client:
        with pytest.raises(TypeError, match="give its file's bytes"):
            next(client.stream_cine(["path.png"]))
        with pytest.raises(TypeError, match="frame cannot be stated"):
            next(client.stream_cine(CONTENT, frame=1))
