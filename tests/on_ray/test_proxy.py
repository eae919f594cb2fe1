import asyncio

import httpx
import pytest
import uvicorn
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp

from deploy.ray.proxy import ServiceAnswers


def ask(answer: ASGIApp, path: str = "/v1/models", **headers: str) -> httpx.Response:
    """Return what leaves the proxy when Serve, behind it, answers so."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(ServiceAnswers(answer))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("status", "seen", "code"),
    [
        (429, 429, "overloaded"),
        (408, 503, "not-ready"),
        (500, 503, "not-ready"),
        (503, 503, "not-ready"),
    ],
)
def test_refusals_of_serve_become_problem_documents(status, seen, code):
    """What Serve says in plain text leaves as the service's document, with a time to come back."""
    answer = ask(PlainTextResponse("Internal Server Error", status), **{"X-Request-ID": "mine"})
    assert answer.status_code == seen
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json()["code"], answer.json()["request_id"]) == (code, "mine")
    assert answer.headers.get_list("x-request-id") == ["mine"]


async def say_nothing(scope, receive, send):
    """Return without an answer."""


async def fail(scope, receive, send):
    """Fail before there is an answer."""
    raise RuntimeError("a replica died")


@pytest.mark.parametrize("serve", [say_nothing, fail])
def test_missing_answer_becomes_a_problem_document(serve):
    """Where Serve fails or says nothing, its server would say 500; the caller may ask again."""
    answer = ask(serve)
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")


def test_problems_of_the_service_pass_unchanged():
    """A 500 that is a problem document already is the service's own word."""
    own = JSONResponse({"code": "internal-error"}, 500, media_type="application/problem+json")
    answer = ask(own)
    assert (answer.status_code, answer.json()) == (500, {"code": "internal-error"})


def test_second_request_id_is_dropped():
    """The service's id, which comes first, is kept; Serve's id is dropped."""
    both = PlainTextResponse("x")
    both.raw_headers += [(b"x-request-id", b"first"), (b"x-request-id", b"second")]
    assert ask(both).headers.get_list("x-request-id") == ["first"]


def test_own_routes_of_serve_are_left_alone():
    """`/-/healthz` is Serve's, and its 503 stays as Serve says it."""
    assert ask(PlainTextResponse("no", 503), "/-/healthz").text == "no"


@pytest.mark.parametrize("target", ["/v1/models", "/-/healthz"])
def test_nothing_follows_connect(target):
    """Serve's own server, httptools', would take its body for further requests."""
    probe = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(probe)}\r\n\r\n"

    async def exchange() -> bytes:
        app = ServiceAnswers(PlainTextResponse("answered"))
        config = uvicorn.Config(app, lifespan="off", log_config=None)
        config.load()
        state = uvicorn.server.ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: config.http_protocol_class(config, state, {}), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.writelines([head.encode(), probe, probe])
        answer = await reader.read(-1)
        writer.close()
        server.close()
        return answer

    answer = asyncio.run(exchange())
    assert answer.startswith(b"HTTP/1.1 405")
    assert (answer.count(b"HTTP/1.1"), answer.count(b"answered")) == (1, 0)
