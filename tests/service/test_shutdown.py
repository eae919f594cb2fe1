import asyncio
import json
import socket
import threading
import time

import pytest
import uvicorn
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from tests.service.admission.test_overload import CONTENT, network, run  # noqa: F401 - a fixture
from tests.support.raw_http import call, never, to_form

HEAD = (
    "POST /v1/analyses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n"
    "Content-Type: multipart/form-data; boundary=b0undary\r\n\r\n"
)


@pytest.mark.parametrize("is_whole", [False, True], ids=["uploading", "waiting"])
def test_request_that_the_end_cuts_off_is_answered(pipeline, network, is_whole):  # noqa: F811
    """A problem document that says to come again, not the server's bare 500."""

    async def scenario(app):
        form = to_form(CONTENT)
        arriving = asyncio.Event()
        parts = [form if is_whole else form[:99]]

        async def receive():
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": not is_whole}
            arriving.set()
            return await never()

        asked = asyncio.ensure_future(call(app, receive))
        await (network.wait_until_entered() if is_whole else arriving.wait())
        asked.cancel()
        answer = await asked
        network.leave.set()
        return answer

    answer = run(pipeline, scenario)
    assert (answer.status, answer.json()["code"]) == (503, "not-ready")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "1"


def test_upload_that_outlasts_the_server_is_answered(pipeline, caplog):
    """On a real socket, after the time that is given to what is in flight."""
    config = uvicorn.Config(
        create_app(Settings(), pipeline), log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    with socket.create_connection(listener.getsockname(), timeout=20) as client:
        client.sendall(HEAD.encode() + to_form(CONTENT)[:99])
        while not server.server_state.tasks:
            time.sleep(0.01)
        server.should_exit = True
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    thread.join()
    listener.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["code"] == "not-ready"
    assert "Traceback" not in caplog.text
