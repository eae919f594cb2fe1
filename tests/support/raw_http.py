"""Call an ASGI application without a client library, so that a test controls each message."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

BOUNDARY = "b0undary"


def to_form(content: bytes, **fields: str) -> bytes:
    """Return a multipart body with one file and text fields."""
    parts = [
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
    return b"".join([*parts, head.encode(), content, f"\r\n--{BOUNDARY}--\r\n".encode()])


@dataclass
class Answer:
    """The answer of the application."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict:
        return json.loads(self.body)


async def never() -> dict:
    """Wait forever without a message."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def call(
    app,
    receive: Callable[[], Awaitable[dict]],
    path: str = "/v1/analyses",
    *,
    client: str = "127.0.0.1",
    answer: Answer | None = None,
    **headers: str,
) -> Answer:
    """Post the messages of `receive` to an application and return its answer.

    A given `answer` fills while it arrives.
    """
    given = {"host": "127.0.0.1", "content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    given |= headers
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "client": (client, 1), "server": ("127.0.0.1", 80), "state": {},
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items()],
    }  # fmt: skip
    answer = Answer() if answer is None else answer

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer


def to_receive(*parts: bytes, then: Callable[[], Awaitable[dict]] = never):
    """Return a `receive` that yields the parts of a body, and then the messages of `then`."""
    left = list(parts)

    async def receive() -> dict:
        if left:
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left)}
        return await then()

    return receive
