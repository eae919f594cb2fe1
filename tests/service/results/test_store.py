import asyncio
import io
import json
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from headcirc_service.answers import to_analysis_body
from headcirc_service.results.redis_store import AWAY_S, KEY_PREFIX, RedisStore
from headcirc_service.results.store import MemoryStore, open_store
from headcirc_service.results.stored_analysis import (
    ANSWERS,
    HEADER,
    MAGIC,
    Change,
    read_stored,
    to_stored,
)
from headcirc_service.settings import Settings, load_settings, to_public_settings
from PIL import Image
from redis import Redis

from headcirc.answers import HeadEllipse
from headcirc.corrections import DrawnEllipse
from headcirc.geometry import PixelSpacing
from tests.headcirc.readers.test_decode import make_png_bomb
from tests.service.http.test_problems import CONTENT, check, post
from tests.support.redis_server import run_redis
from tests.support.synthetic import to_file

SPACING = PixelSpacing(0.13, 0.13)
MAXIMUM_PIXELS = 1_000_000


@pytest.fixture(scope="module")
def running_redis(tmp_path_factory):
    with run_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(running_redis):
    """Return an empty Redis: what a person has changed stays for the next test otherwise."""
    with Redis.from_url(running_redis.url) as connection:
        connection.flushall()
    return running_redis


@pytest.fixture
def mortal_redis(tmp_path):
    """Return a Redis that a test may kill and start again."""
    with run_redis(tmp_path) as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def make_store(request):
    """Return a function that opens one kind of store."""
    if request.param == "redis":
        server = request.getfixturevalue("redis_server")
        return lambda **limits: RedisStore(
            server.url, maximum_pixels=MAXIMUM_PIXELS, **{"ttl_s": 60, "max_bytes": 10**7} | limits
        )
    return lambda **limits: MemoryStore(**{"ttl_s": 60, "max_bytes": 10**7} | limits)


@pytest.fixture
def stored(pipeline):
    analysis = pipeline.analyze(CONTENT, pixel_spacing=SPACING)
    return to_stored(to_analysis_body("a" * 32, analysis, pipeline), analysis)


def use(store, scenario):
    """Run a scenario with a store, and close it."""

    async def live():
        try:
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(live())


# --- the contract: both stores ------------------------------------------------------------------


def test_what_is_put_comes_back_the_same(make_store, stored, pipeline):
    """The answer to the last digit, the mask and the overlay to the last pixel."""

    async def scenario(store):
        await store.put("a" * 32, stored)
        return await store.get("a" * 32)

    found = use(make_store(), scenario)
    analysis = pipeline.analyze(CONTENT, pixel_spacing=SPACING)
    assert found.body == stored.body
    assert np.array_equal(found.pixels, analysis.frame.pixels)
    assert np.array_equal(found.mask, analysis.head.mask.pixels)
    assert np.array_equal(found.draw_mask(), stored.draw_mask())
    assert np.array_equal(found.draw_overlay(), analysis.draw_overlay())


def test_picture_without_a_head_comes_back_without_one(make_store, pipeline):
    """No mask and no ellipse are kept, and its pictures are empty."""
    analysis = pipeline.analyze(to_file(np.zeros((50, 80), np.uint8)))
    empty = to_stored(to_analysis_body("b" * 32, analysis, pipeline), analysis)

    async def scenario(store):
        await store.put("b" * 32, empty)
        return await store.get("b" * 32)

    found = use(make_store(), scenario)
    assert found.body.head is None
    assert found.mask is None
    assert not found.draw_mask().any()


def test_unknown_id_is_none(make_store):
    """Nothing is found where nothing was put."""
    assert use(make_store(), lambda store: store.get("unknown")) is None


def test_time_to_live_of_zero_keeps_nothing(make_store, stored):
    """0 seconds mean that no result is kept at all."""

    async def scenario(store):
        await store.put("mayfly", stored)
        return await store.get("mayfly")

    assert use(make_store(ttl_s=0), scenario) is None


def test_result_larger_than_all_room_is_not_kept(make_store, stored):
    """One result beyond the bytes that are allowed is not kept."""

    async def scenario(store):
        await store.put("giant", stored)
        return await store.get("giant")

    assert use(make_store(max_bytes=stored.count_bytes() - 1), scenario) is None


ELLIPSE = HeadEllipse(410.0, 262.0, 215.0, 160.0, 33.0)


def change(stored, by, revision):
    """Return a result that a person has corrected."""
    drawn = DrawnEllipse(ellipse=ELLIPSE, by=by, at="2026-01-02T03:04:05Z", note="<b>caput</b>")
    expires = "2026-01-02T03:14:05Z"
    return stored.to_changed(Change(revision=revision, expires=expires, drawn=drawn))


def test_correction_comes_back_the_same(make_store, stored):
    """Beside the automatic version, which goes alone again after a reset."""
    name = "a" * 32
    changed = change(stored, "A", "1")
    reset = changed.to_changed(Change(revision="2", expires=None, drawn=None))

    async def scenario(store):
        await store.put(name, stored)
        assert await store.replace(name, changed, revision="")
        found = await store.get(name)
        assert await store.replace(name, reset, revision="1")
        return found, await store.get(name)

    found, after = use(make_store(), scenario)
    assert (found.body, found.revision) == (changed.body, "1")
    assert found.body.head == stored.body.head
    assert found.body.correction.note == "<b>caput</b>"
    assert np.array_equal(found.draw_overlay(), changed.draw_overlay())
    assert not np.array_equal(found.draw_overlay(), stored.draw_overlay())
    assert (after.body, after.revision) == (replace(stored.body, expires=None), "2")


def test_of_many_writers_one_alone_replaces_a_version(make_store, stored):
    """Ten people save over the same version at the same time: nine are told."""
    name = "a" * 32

    async def scenario(store):
        await store.put(name, stored)
        saves = (
            store.replace(name, change(stored, f"P{number}", f"r{number}"), revision="")
            for number in range(10)
        )
        outcomes = await asyncio.gather(*saves)
        return outcomes, await store.get(name)

    outcomes, found = use(make_store(), scenario)
    assert outcomes.count(True) == 1
    assert found.revision == f"r{outcomes.index(True)}"
    assert found.body.correction.by == f"P{outcomes.index(True)}"


def test_same_question_measured_twice_keeps_the_correction(make_store, stored):
    """Another replica that measured it at the same time puts its result later."""
    name = "a" * 32

    async def scenario(store):
        await store.put(name, stored)
        await store.replace(name, change(stored, "A", "1"), revision="")
        await store.put(name, stored)
        return await store.get(name)

    assert use(make_store(), scenario).body.correction.by == "A"


def test_result_that_is_gone_is_not_replaced(make_store, stored):
    name = "a" * 32
    assert not use(
        make_store(), lambda store: store.replace(name, change(stored, "A", "1"), revision="")
    )


# --- each store's own ---------------------------------------------------------------------------


def test_memory_forgets_after_its_time(stored):
    """A result lives as long as it is said to, by the clock."""
    now = [0.0]

    async def scenario(store):
        await store.put("a", stored)
        now[0] = 9.9
        assert await store.get("a") is stored
        now[0] = 10.0
        assert await store.get("a") is None

    use(MemoryStore(ttl_s=10, max_bytes=10**7, clock=lambda: now[0]), scenario)


def test_memory_makes_room_by_dropping_the_oldest(stored):
    """Beyond its bytes the oldest results leave first."""

    async def scenario(store):
        for name in "abc":
            await store.put(name, stored)
        return [await store.get(name) is not None for name in "abc"]

    store = MemoryStore(ttl_s=10, max_bytes=int(2.5 * stored.count_bytes()))
    assert use(store, scenario) == [False, True, True]


def test_change_begins_the_time_anew(stored):
    """In memory by its clock; the oldest entry is then another one."""
    now = [0.0]

    async def scenario(store):
        await store.put("a", stored)
        await store.put("b", stored)
        now[0] = 9.0
        await store.replace("a", change(stored, "A", "1"), revision="")
        now[0] = 18.9
        return [await store.get(name) is not None for name in "ab"]

    store = MemoryStore(ttl_s=10, max_bytes=10**7, clock=lambda: now[0])
    assert use(store, scenario) == [True, False]


def test_change_begins_the_time_in_redis_anew(redis_server, stored):
    name = "a" * 32

    async def scenario(store):
        await store.put(name, stored)
        await store._redis.expire(KEY_PREFIX + name, 5)
        await store.replace(name, change(stored, "A", "1"), revision="")
        return await store._redis.ttl(KEY_PREFIX + name)

    store = RedisStore(redis_server.url, ttl_s=60, max_bytes=10**7, maximum_pixels=MAXIMUM_PIXELS)
    assert 55 <= use(store, scenario) <= 60


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{}", b"[1]", b"\xff", b"x" * 9_000],
    ids=["empty", "without fields", "list", "no text", "too long"],
)
def test_damaged_change_is_a_miss(redis_server, stored, damaged):
    """Showing the automatic version in its place would lose a correction without a word."""
    name = "a" * 32

    async def scenario(store):
        await store.put(name, stored)
        await store._redis.hset(KEY_PREFIX + name, "change", damaged)
        return await store.get(name)

    store = RedisStore(redis_server.url, ttl_s=60, max_bytes=10**7, maximum_pixels=MAXIMUM_PIXELS)
    assert use(store, scenario) is None


def test_impossible_ellipse_from_the_store_is_a_miss(stored):
    """Others can write to it; nothing is drawn or computed from such a change."""
    far = replace(ELLIPSE, center_x_px=1e9)
    drawn = DrawnEllipse(ellipse=far, by="A", at="2026-01-02T03:04:05Z", note=None)
    changed = stored.to_changed(Change(revision="1", expires=None, drawn=drawn))
    content, change_bytes = stored.to_bytes(), changed.to_change_bytes()
    kept = read_stored(content, "a" * 32, maximum_pixels=MAXIMUM_PIXELS, change=change_bytes)
    assert kept is None


def test_redis_forgets_by_itself(redis_server, stored):
    """The time to live is Redis' own, so that it holds even where no service is left."""

    async def scenario(store):
        await store.put("timed", stored)
        return await store._redis.ttl(KEY_PREFIX + "timed")

    store = RedisStore(redis_server.url, ttl_s=60, max_bytes=10**7, maximum_pixels=MAXIMUM_PIXELS)
    assert 55 <= use(store, scenario) <= 60


def test_what_is_written_down_is_compact_and_nameless(stored):
    """Smaller than in memory; the parts are an answer and two pictures, nothing else."""
    content = stored.to_bytes()
    assert len(content) < stored.count_bytes() / 10  # a drawn head; speckle takes more
    assert read_stored(content, "a" * 32, maximum_pixels=MAXIMUM_PIXELS).body == stored.body


def test_pixel_aspect_that_the_network_saw_is_kept(pipeline):
    """It comes from the analysis, whatever pixel size the answer states, and survives Redis."""
    analysis = replace(pipeline.analyze(CONTENT, pixel_spacing=SPACING), pixel_aspect=1.25)
    kept = to_stored(to_analysis_body("a" * 32, analysis, pipeline), analysis)
    read = read_stored(kept.to_bytes(), "a" * 32, maximum_pixels=MAXIMUM_PIXELS)
    assert (kept.pixel_aspect, read.pixel_aspect) == (1.25, 1.25)


@pytest.mark.parametrize("pixel_aspect", [0.0, -1.0, 1e-300, 1e300, math.nan, math.inf])
def test_impossible_pixel_aspect_is_a_miss(stored, pixel_aspect):
    """The network's input could not be made with it."""
    content = replace(stored, pixel_aspect=pixel_aspect).to_bytes()
    assert read_stored(content, "a" * 32, maximum_pixels=MAXIMUM_PIXELS) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"older form", b"PK\x05\x06" + bytes(18), MAGIC + bytes(20), MAGIC + b"\xff" * 99],
)
def test_foreign_content_is_a_miss(content):
    """What another version wrote, or nobody of ours, is measured again."""
    assert read_stored(content, "a" * 32, maximum_pixels=MAXIMUM_PIXELS) is None


def frame_parts(stored, body: bytes) -> bytes:
    """Return what is kept of a result, with another answer."""
    content = stored.to_bytes()
    _, aspect, old_bytes, *pictures = HEADER.unpack_from(content)
    return (
        HEADER.pack(MAGIC, aspect, len(body), *pictures) + body + content[HEADER.size + old_bytes :]
    )


def rewrite(stored, **changes):
    """Return what is kept of a result, with its answer changed."""
    told = ANSWERS.dump_python(stored.body)
    for path, value in changes.items():
        *outer, last = path.split("__")
        place = told
        for each in outer:
            place = place[each]
        place[last] = value
    return frame_parts(stored, json.dumps(told).encode())  # which writes NaN and Infinity


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "b" * 32},
        {"links__self": "https://evil.example/"},
        {"image__width_px": 799},
        {"image__height_px": 10**9},
        {"image__width_px": -1},
        {"image__pixel_size_x_mm": 0.0},
        {"image__pixel_size_y_mm": math.nan},
        {"head__ellipse__center_x_px": math.inf},
        {"head__ellipse__center_y_px": -1e12},
        {"head__ellipse__semi_major_px": 1e300},
        {"head__ellipse__semi_minor_px": -1.0},
        {"timing_ms": {"total": math.nan}},
    ],
    ids=str,
)
def test_answer_that_cannot_be_ours_is_a_miss(stored, changes):
    """Another result's, of another picture, or with figures that nothing can be drawn from."""
    content = rewrite(stored, **changes)
    assert read_stored(content, "a" * 32, maximum_pixels=MAXIMUM_PIXELS) is None


@pytest.mark.parametrize("warnings", [("w" * 100_000,), ("word",) * 20_000])
def test_answer_that_is_longer_than_any_of_ours_is_a_miss(stored, warnings):
    """Its caption took longer to write than a request may take, or had no end."""
    told = ANSWERS.dump_python(stored.body)
    told["quality"]["warnings"] = list(warnings)
    content = frame_parts(stored, json.dumps(told).encode())
    assert read_stored(content, "a" * 32, maximum_pixels=MAXIMUM_PIXELS) is None


def test_damage_of_any_kind_is_a_miss(stored):
    """Cut anywhere, or with any byte changed: read as it was, or not at all."""
    content = stored.to_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(content), 60):
        assert read_stored(content[:at], "a" * 32, maximum_pixels=MAXIMUM_PIXELS) is None
        changed = bytearray(content)
        changed[at] ^= 1 << rng.integers(0, 8)
        found = read_stored(bytes(changed), "a" * 32, maximum_pixels=MAXIMUM_PIXELS)
        if found is not None:
            found.draw_overlay()
            ANSWERS.dump_json(found.body)


def test_kept_pictures_are_not_inflated_beyond_their_size(stored):
    """A small entry with a large picture is refused at the picture's header."""
    body = ANSWERS.dump_json(stored.body)
    bomb = make_png_bomb(20_000, 20_000)
    content = HEADER.pack(MAGIC, 1.0, len(body), len(bomb), len(bomb), 0) + body + bomb + bomb
    tracemalloc.start()
    assert read_stored(content, "a" * 32, maximum_pixels=10**9) is None
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 10_000_000 + 10 * len(content)


def test_entry_that_is_larger_than_any_result_is_not_fetched(redis_server, stored):
    """Nor is one of another kind than ours: each is a miss, and is measured again."""

    async def scenario(store):
        key = KEY_PREFIX + "a" * 32
        await store._redis.set(key, bytes(2_000_000))
        assert await store.get("a" * 32) is None
        await store._redis.delete(key)
        await store._redis.hset(key, "result", bytes(2_000_000))
        assert await store.get("a" * 32) is None
        await store._redis.delete(key)
        await store._redis.rpush(key, "a", "b")
        assert await store.get("a" * 32) is None
        await store.put("a" * 32, stored)
        return await store.get("a" * 32)

    store = RedisStore(redis_server.url, ttl_s=60, max_bytes=10**6, maximum_pixels=MAXIMUM_PIXELS)
    assert use(store, scenario).body == stored.body


# --- the service with Redis ---------------------------------------------------------------------


def test_replicas_share_results(make_client, redis_server, pipeline):
    """What one service measured another one knows: no inference, same pictures."""
    first = make_client(store_url=redis_server.url)
    body = post(first, CONTENT, pixel_size_mm="0.131").json()
    second = make_client(store_url=redis_server.url)
    calls = len(pipeline.backend.calls)
    assert post(second, CONTENT, pixel_size_mm="0.131").json() == body
    assert len(pipeline.backend.calls) == calls
    mask = second.get(body["links"]["mask"]).content
    assert mask == first.get(body["links"]["mask"]).content
    assert Image.open(io.BytesIO(mask)).size == (800, 540)
    assert 'headcirc_store_reads_total{outcome="hit"} 2.0' in second.get("/metrics").text


def test_redis_killed_mid_run_costs_only_what_was_kept(make_client, mortal_redis, monkeypatch):
    """POST still answers, GET says store-unavailable, and Redis' return is noticed by itself."""
    now = [0.0]
    monkeypatch.setattr(RedisStore.__init__, "__kwdefaults__", {"clock": lambda: now[0]})
    client = make_client(store_url=mortal_redis.url)
    link = post(client, CONTENT, pixel_size_mm="0.1").json()["links"]["self"]
    assert client.get(link).status_code == 200
    mortal_redis.kill()
    for _ in range(2):  # found out, then known
        answer = client.get(link)
        check(answer, 503, "store-unavailable")
        assert answer.headers["retry-after"] == "1"
        assert post(client, CONTENT, pixel_size_mm="0.1").status_code == 201
    assert client.get("/readyz").status_code == 200
    assert 'headcirc_rejected_total{reason="store-unavailable"} 2.0' in client.get("/metrics").text
    mortal_redis.start()
    now[0] += AWAY_S
    assert client.get(link).status_code == 404  # this Redis began empty
    assert post(client, CONTENT, pixel_size_mm="0.1").status_code == 201
    assert client.get(link).status_code == 200


def test_redis_that_is_not_there_at_start_stops_nothing(make_client, mortal_redis):
    """The service starts and measures without its store."""
    mortal_redis.kill()
    client = make_client(store_url=mortal_redis.url)
    assert post(client, CONTENT, pixel_size_mm="0.1").status_code == 201


def test_address_is_checked_and_never_shown(monkeypatch):
    """A wrong scheme stops the start without repeating the address, which may hold a password."""
    monkeypatch.setenv("HEADCIRC_STORE_URL", "http://:passw0rd@host")
    with pytest.raises(ValueError, match=r"STORE_URL: .*redis://") as refusal:
        load_settings()
    assert "passw0rd" not in str(refusal.value)
    settings = Settings(store_url="redis://:passw0rd@host")
    assert "passw0rd" not in str(to_public_settings(settings)) + str(settings)


@pytest.mark.parametrize("password", ["passw0rd#1", "passw0rd/1", "passw0rd?1"])
def test_password_that_ends_the_address_is_not_repeated(monkeypatch, password):
    """What stands before its '#' would be read as the port; the remedy is told instead."""
    monkeypatch.setenv("HEADCIRC_STORE_URL", f"redis://:{password}@host:6379/0")
    with pytest.raises(ValueError, match=r"STORE_URL: .*%23") as refusal:
        load_settings()
    assert "passw0rd" not in str(refusal.value)


def test_default_store_is_in_the_process():
    """Without an address nothing is asked of a network."""
    assert isinstance(open_store(Settings()), MemoryStore)
