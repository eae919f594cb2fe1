import asyncio

import pytest
from headcirc_service.app import create_app
from headcirc_service.settings import Settings, load_settings

from tests.service.admission.test_limits import HASHES
from tests.support.raw_http import call, never

PAGE = "/livez"


def ask(pipeline, *hosts: str, server: str = "127.0.0.1", version: str = "1.1", **settings):
    """Return the answer to a GET that came to `server` with these Host headers."""
    app = create_app(Settings(**settings), pipeline)

    async def framed(scope, receive, send):
        headers = [(b"host", each.encode()) for each in hosts]
        changed = {"method": "GET", "server": (server, 80), "http_version": version}
        await app({**scope, **changed, "headers": headers}, receive, send)

    return asyncio.run(call(framed, never, PAGE))


@pytest.mark.parametrize("hosts", [(), ("localhost", "localhost"), ("localhost", "evil.example")])
def test_request_has_exactly_one_host(pipeline, hosts):
    """Missing or doubled: 400, as HTTP/1.1 wants it, in a problem document."""
    answer = ask(pipeline, *hosts)
    assert (answer.status, answer.json()["code"]) == (400, "invalid-host")
    assert answer.headers["content-type"] == "application/problem+json"


def test_http_1_0_needs_no_host(pipeline):
    """As probes of some reverse proxies ask."""
    assert ask(pipeline, version="1.0").status == 200


@pytest.mark.parametrize("host", ["", "a b", "local/host", "localhost:x", "u@localhost", "[::1"])
def test_host_that_is_none_is_refused(pipeline, host):
    """Whatever is allowed."""
    assert ask(pipeline, host, allowed_hosts="*").status == 400


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8000", "127.0.0.1:8000", "127.0.0.2", "[::1]:8000"]
)
def test_loopback_answers_to_loopback_names(pipeline, host):
    """With a port or without."""
    assert ask(pipeline, host).status == 200


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.0.2.1"])
def test_stranger_s_name_does_not_reach_a_loopback_address(pipeline, host, server):
    """DNS rebinding: a page of the stranger's would read the answer as its own."""
    answer = ask(pipeline, host, server=server)
    assert (answer.status, answer.json()["code"]) == (400, "invalid-host")
    assert "HEADCIRC_ALLOWED_HOSTS" in answer.json()["detail"]


def test_key_protects_from_rebinding_by_itself(pipeline):
    """No page of a stranger's has one; a reverse proxy on the same machine may pass any name."""
    assert ask(pipeline, "measure.example", api_key_hashes=HASHES).status == 200


def test_other_addresses_answer_to_any_name(pipeline):
    """Until names are set: which ones there are is the network's to know."""
    assert ask(pipeline, "measure.example", server="192.0.2.1").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("measure.example", 200),
        ("a.lab.example", 200),
        ("lab.example", 400),
        ("evil-lab.example", 400),
        ("other.example", 400),
        ("192.0.2.1:8000", 200),
        ("localhost", 200),
    ],
)
def test_names_that_are_set_are_the_only_ones(pipeline, host, status):
    """Besides the address itself, which probes ask, with keys and without."""
    names = "Measure.example, *.lab.example"
    answer = ask(pipeline, host, server="192.0.2.1", allowed_hosts=names, api_key_hashes=HASHES)
    assert answer.status == status


@pytest.mark.parametrize("value", ["", ",", "*.*", "http://a", "a:80", "a b"])
def test_names_that_can_match_nothing_stop_the_start(monkeypatch, value):
    """A name has no scheme and no port."""
    monkeypatch.setenv("HEADCIRC_ALLOWED_HOSTS", value)
    with pytest.raises(ValueError, match="HEADCIRC_ALLOWED_HOSTS"):
        load_settings()
