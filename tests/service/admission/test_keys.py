import hashlib

import pytest
from headcirc_service.settings import load_settings

from tests.service.admission.test_limits import HASHES, KEYS, to_header
from tests.service.http.test_problems import CONTENT, check


def to_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "value", ["", " ", ",", " , ,", to_hash(b""), to_hash(b"\n"), f"{HASHES},{to_hash(b'')}"]
)
def test_protection_that_is_set_and_protects_nothing_stops_the_start(monkeypatch, value):
    """Empty, commas alone, or the SHA-256 of an empty text: a variable was lost on the way."""
    monkeypatch.setenv("HEADCIRC_API_KEY_HASHES", value)
    with pytest.raises(ValueError, match=r"HEADCIRC_API_KEY_HASHES: .*empty"):
        load_settings()


def test_service_that_requires_keys_does_not_start_without(monkeypatch):
    """The variable that is missing is named; with it the service starts."""
    monkeypatch.setenv("HEADCIRC_REQUIRE_API_KEYS", "true")
    with pytest.raises(ValueError, match=r"REQUIRE_API_KEYS: .*HEADCIRC_API_KEY_HASHES"):
        load_settings()
    monkeypatch.setenv("HEADCIRC_API_KEY_HASHES", HASHES)
    assert load_settings().require_api_keys


def test_results_are_not_kept_apart_by_keys_that_there_are_not(monkeypatch):
    """A scope of keys needs keys."""
    monkeypatch.setenv("HEADCIRC_RESULT_SCOPE", "key")
    with pytest.raises(ValueError, match=r"RESULT_SCOPE: .*HEADCIRC_API_KEY_HASHES"):
        load_settings()


@pytest.mark.parametrize("sent", ["Bearer", "Bearer ", "Bearer    ", "Bearer \t"])
def test_empty_key_is_unauthorized(make_client, sent):
    """Whatever blanks stand in place of the key."""
    client = make_client(api_key_hashes=HASHES)
    check(client.get("/v1/models", headers={"authorization": sent}), 401, "unauthorized")


def post_as(client, key: str):
    files = {"image": ("a.png", CONTENT)}
    return client.post("/v1/analyses", files=files, headers=to_header(key))


def test_by_default_every_key_finds_every_result(make_client):
    """Keys are not tenants: the second caller is told that the file was measured before."""
    client = make_client(api_key_hashes=HASHES)
    first, second = (post_as(client, key) for key in KEYS)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]


def test_results_of_a_key_are_found_by_that_key_alone(make_client):
    """Another key's same file is measured again, and a known id is of no use to it."""
    client = make_client(api_key_hashes=HASHES, result_scope="key")
    first, second = (post_as(client, key) for key in KEYS)
    assert (first.status_code, second.status_code) == (201, 201)
    assert post_as(client, KEYS[0]).status_code == 200
    links = first.json()["links"]
    for link in ("self", "mask", "overlay", "head_circumference"):
        check(client.get(links[link], headers=to_header(KEYS[1])), 404, "not-found")
    assert client.get(links["self"], headers=to_header(KEYS[0])).json() == first.json()
    assert client.get(second.json()["links"]["self"], headers=to_header(KEYS[1])).is_success
