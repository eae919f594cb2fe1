import hashlib
import logging

import headcirc_service.app
import pytest
from headcirc_service.settings import Settings, load_settings, to_public_settings

from headcirc.readers.jpeg_stream import MAXIMUM_JPEG_SCANS
from tests.service.http.test_problems import CONTENT, check, post
from tests.support.synthetic import draw_head, to_file

KEYS = ("first-key", "second-key")
HASHES = ",".join(hashlib.sha256(key.encode()).hexdigest() for key in KEYS)


def to_header(key: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"authorization": f"{scheme} {key}"}


@pytest.fixture
def locked(make_client):
    """Return a client of a service with two keys."""
    return make_client(api_key_hashes=HASHES)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/analyses/0", "/v1/none", "/metrics"])
@pytest.mark.parametrize(
    "headers",
    [{}, to_header("wrong"), to_header(""), to_header("first-key", "Basic"), to_header(HASHES)],
    ids=["no key", "wrong key", "empty key", "other scheme", "the hashes"],
)
def test_without_a_known_key_nothing_is_told(locked, path, headers):
    """No key, a wrong one, or the hash in place of the key: 401 that says how to send one."""
    answer = locked.get(path, headers=headers)
    check(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", KEYS)
def test_each_key_lets_in(locked, key):
    """Several keys are valid at once, so that one can be replaced without a gap."""
    files = {"image": ("a.png", CONTENT)}
    assert locked.post("/v1/analyses", files=files, headers=to_header(key)).status_code == 201
    assert locked.get("/metrics", headers=to_header(key, "bearer")).status_code == 200


def test_key_is_the_bytes_that_were_sent(make_client):
    """As `sha256sum` has them, also beyond ASCII."""
    key = "Schlüssel-à".encode()
    client = make_client(api_key_hashes=hashlib.sha256(key).hexdigest())
    sent = {"authorization": b"Bearer " + key}
    assert client.get("/v1/models", headers=sent).status_code == 200


def test_a_body_without_a_key_is_not_read(locked, pipeline):
    """A picture without a key costs no inference."""
    check(post(locked, CONTENT), 401, "unauthorized")
    assert pipeline.backend.calls == []


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs", "/openapi.json", "/"])
def test_open_routes_need_no_key(locked, path):
    """Probes and documentation answer everybody."""
    assert locked.get(path).status_code == 200


def test_keys_are_refused_as_hashes_and_never_shown(monkeypatch):
    """A key where its hash belongs stops the start unrepeated; hashes are not logged."""
    monkeypatch.setenv("HEADCIRC_API_KEY_HASHES", "my-secret-key")
    with pytest.raises(ValueError, match=r"API_KEY_HASHES: .*64 hexadecimal") as refusal:
        load_settings()
    assert "my-secret-key" not in str(refusal.value)
    monkeypatch.setenv("HEADCIRC_API_KEY_HASHES", f"{HASHES.upper()}, ")
    settings = load_settings()
    assert ",".join(settings.api_key_hashes) == HASHES
    assert to_public_settings(settings)["api_key_hashes"] == 2


@pytest.mark.parametrize(("hashes", "warnings"), [(None, 1), (HASHES, 0)])
def test_open_service_on_a_public_address_warns(monkeypatch, caplog, pipeline, hashes, warnings):
    """Loud without keys, silent with them."""
    if hashes is not None:
        monkeypatch.setenv("HEADCIRC_API_KEY_HASHES", hashes)
    monkeypatch.setattr(headcirc_service.app, "load_pipeline", lambda *_, **__: pipeline)
    headcirc_service.app.create_public_app()
    assert sum("OPEN TO EVERYBODY" in each.message for each in caplog.records) == warnings


@pytest.mark.parametrize(
    ("host", "factory"),
    [
        ("127.0.0.1", "create_app"),
        ("::1", "create_app"),
        ("localhost", "create_app"),
        ("0.0.0.0", "create_public_app"),  # noqa: S104 - nothing is bound
        ("::", "create_public_app"),
        ("ultrasound.example", "create_public_app"),
    ],
)
def test_command_line_knows_a_public_address(monkeypatch, host, factory):
    """Every address but this machine's own is public."""
    import uvicorn

    from headcirc.cli import serve
    from headcirc.cli.commands import main

    started = []
    monkeypatch.setattr(serve, "require_free_address", lambda host, port: None)
    monkeypatch.setattr(uvicorn, "run", lambda target, **_: started.append(target))
    assert main(["serve", "--host", host]) == 0
    assert started == [f"headcirc_service.app:{factory}"]


@pytest.mark.parametrize("named", ["*", "gateway", "10.0.0.0/33", "10.0.0.1/8"])
def test_reverse_proxy_that_is_no_address_stops_the_start(monkeypatch, named):
    """A name would trust nobody, and a star everybody."""
    monkeypatch.setenv("HEADCIRC_TRUSTED_GATEWAYS", named)
    with pytest.raises(ValueError, match=r"TRUSTED_GATEWAYS: .*addresses or networks"):
        load_settings()


def test_other_origins_are_let_in_only_when_named(make_client):
    """CORS is off by default; a named origin can read answers and refusals, another cannot."""
    origin = {"origin": "https://viewer.example"}
    assert "access-control-allow-origin" not in make_client().get("/livez", headers=origin).headers
    client = make_client(cors_origins="https://viewer.example", api_key_hashes=HASHES)
    for path in ("/livez", "/v1/models"):
        allowed = client.get(path, headers=origin).headers["access-control-allow-origin"]
        assert allowed == "https://viewer.example"
    asked = origin | {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    assert client.options("/v1/analyses", headers=asked).status_code == 200
    stranger = client.get("/livez", headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in stranger.headers


def test_failure_can_be_read_by_a_named_origin(make_client, pipeline):
    """What nobody foresaw, too, is a problem document that passes CORS."""

    def fail(network_input):
        raise RuntimeError

    pipeline.backend.infer = fail
    client = make_client(cors_origins="https://viewer.example")
    origin = {"origin": "https://viewer.example"}
    answer = client.post("/v1/analyses", files={"image": ("a.png", CONTENT)}, headers=origin)
    check(answer, 500, "internal-error")
    assert answer.headers["access-control-allow-origin"] == "https://viewer.example"


def test_preflight_is_an_answer_like_any_other(make_client):
    """It has a request id and the security headers."""
    client = make_client(cors_origins="https://viewer.example")
    asked = {"origin": "https://viewer.example", "access-control-request-method": "POST"}
    headers = client.options("/v1/analyses", headers=asked | {"x-request-id": "mine"}).headers
    assert headers["x-request-id"] == "mine"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("asked", ["foo", "bytes=99999999-", "bytes=0-3"])
@pytest.mark.parametrize("path", ["/", "/docs", "/web/main.js"])
def test_pages_are_sent_whole(client, path, asked):
    """A range is ignored, good or bad, and no answer says that it would not be."""
    whole, answer = client.get(path), client.get(path, headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, whole.content)
    assert answer.headers["accept-ranges"] == "none"


def test_every_answer_has_security_headers(client):
    """Answers, problems and pages alike; nothing may be loaded from another host, or inline."""
    for path in ("/livez", "/v1/nothing", "/", "/docs"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy


def test_too_many_parts_are_refused(client):
    """Two files, nine fields or a long field: one answer that says what is read."""
    two = [("image", ("a.png", CONTENT)), ("image", ("b.png", CONTENT))]
    check(client.post("/v1/analyses", files=two), 422, "invalid-parameter")
    fields = {f"field_{i}": "1" for i in range(9)}
    check(post(client, CONTENT, **fields), 422, "invalid-parameter")
    check(post(client, CONTENT, note="x" * 1001), 422, "invalid-parameter")


def test_large_file_is_no_long_field(client):
    """The limit on text fields does not touch files, whatever their size (here 1.3 MB)."""
    content = to_file(draw_head(rows=1080, columns=1200), "BMP")
    assert len(content) > 1_000_000
    assert post(client, content).status_code == 201


def test_jpeg_of_many_scans_is_refused_before_it_is_decoded(client):
    """Each scan costs a pass over all pixels; a progressive JPEG as cameras write it is read."""
    content = to_file(draw_head(), "JPEG", progressive=True)
    assert post(client, content).status_code == 201
    end = content.rindex(b"\xff\xd9")
    start = content.rindex(b"\xff\xda")
    many = content[:end] + content[start:end] * MAXIMUM_JPEG_SCANS + content[end:]
    check(post(client, many), 413, "image-too-large")


def test_logs_and_metrics_hold_nothing_of_the_request(client, caplog):
    """No file name, no field, no content: not even where the form is broken."""
    caplog.set_level(logging.DEBUG)
    secret = b"DOE^JANE"
    files = {"image": ("doe-jane.png", secret)}
    client.post("/v1/analyses", files=files, data={"patient": "DOE^JANE"})
    headers = {"content-type": "multipart/form-data; boundary=b"}
    client.post("/v1/analyses", content=b"--b" + secret, headers=headers)
    client.get("/v1/DOE^JANE")
    own = [each.getMessage() for each in caplog.records if not each.name.startswith("httpx")]
    assert own  # what is left without the test's own client
    written = [*own, *client.get("/metrics").text.splitlines()]
    assert not [line for line in written if "doe" in line.lower()]


def test_default_settings_are_open_and_closed_to_other_origins():
    """Keys are off by default, for use on one's own machine; so is CORS."""
    assert (Settings().api_key_hashes, Settings().cors_origins) == ((), ())
