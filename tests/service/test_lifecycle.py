import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from http.client import HTTPConnection

import pytest

from tests.service.http.test_problems import CONTENT, check, post
from tests.support.raw_http import BOUNDARY, to_form

PATIENCE_S = 60.0
SERVICE = """
import os, sys, threading
import headcirc_service.app
from headcirc.cli.commands import main
from tests.support.synthetic import to_synthetic_pipeline

pipeline = to_synthetic_pipeline()
infer = pipeline.backend.infer

def held(network_input):
    print("in the network", flush=True)
    sys.stdin.readline()
    return infer(network_input)

pipeline.backend.infer = held
headcirc_service.app.load_pipeline = lambda *_, **__: pipeline
sys.exit(main(["serve", "--port", sys.argv[1]]))
"""
"""The real server, with a network that waits for a line before it answers."""


class Process:
    """A service of its own process; its lines can be waited for."""

    def __init__(self, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HEADCIRC_")}  # noqa: TID251 - a child's
        self.popen = subprocess.Popen(
            [sys.executable, "-c", SERVICE, str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment | {"PYTHONPATH": os.pathsep.join((".", "service"))} | settings,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait_for("Uvicorn running")

    def _read(self) -> None:
        for line in self.popen.stdout:
            self._lines.put(line)

    def wait_for(self, words: str) -> None:
        while words not in self._lines.get(timeout=PATIENCE_S):
            pass

    def release(self) -> None:
        """Let one inference go on."""
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def get(self, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status

    def post(self) -> HTTPConnection:
        """Send a picture and return before the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/v1/analyses", to_form(CONTENT), headers)
        return connection

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self._reader.join(PATIENCE_S)
        self.popen.stdin.close()
        self.popen.stdout.close()


@pytest.fixture
def start():
    """Return a function that starts a service and ends it after the test."""
    started = []

    def begin(**settings):
        started.append(Process(**settings))
        return started[-1]

    yield begin
    for each in started:
        each.end()


def test_sigterm_turns_readiness_off_and_finishes_what_is_in_flight(start):
    """Not ready at once, still answering; the request at work is answered; then exit 0."""
    process = start(HEADCIRC_DRAIN_MS="3000")
    assert process.get("/readyz") == 200
    waiting = process.post()
    process.wait_for("in the network")
    process.popen.send_signal(signal.SIGTERM)
    process.wait_for("shutting down")
    assert (process.get("/readyz"), process.get("/livez")) == (503, 200)
    process.wait_for("Shutting down")
    process.release()
    assert waiting.getresponse().status == 201
    waiting.close()
    assert process.popen.wait(PATIENCE_S) == 0


def test_idle_service_ends_at_once_with_zero(start):
    """Without work and without a drain there is nothing to wait for."""
    process = start()
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(PATIENCE_S) == 0


def test_event_loop_lets_new_connections_in_beside_busy_ones(monkeypatch):
    """Asyncio's loop, not uvloop's, which starves new connections while others are busy."""
    import uvicorn

    from headcirc.cli.commands import main

    given = []
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: given.append(options["loop"]))
    assert main(["serve"]) == 0
    assert given == ["asyncio"]


def test_one_process_serves_whatever_the_environment_says(monkeypatch):
    """Platforms set WEB_CONCURRENCY for all; two processes would not find each other's results."""
    import uvicorn

    from headcirc.cli.commands import main

    given = []
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    monkeypatch.setattr(
        uvicorn, "run", lambda target, **options: given.append(uvicorn.Config(target, **options))
    )
    assert main(["serve"]) == 0
    assert given[0].workers == 1


def test_failing_backend_turns_readiness_off_until_it_works_again(make_client, pipeline, caplog):
    """The log says what failed and of what, readiness only that; a probe finds the recovery."""
    infer, tried = pipeline.backend.infer, threading.Event()

    def fail(network_input):
        raise MemoryError("secret /path")

    def recover(network_input):
        tried.set()
        return infer(network_input)

    client = make_client()
    assert client.get("/readyz").status_code == 200
    pipeline.backend.infer = fail
    check(post(client, CONTENT), 500, "internal-error")
    answer = client.get("/readyz")
    check(answer, 503, "not-ready")
    (told,) = (each for each in caplog.messages if each.startswith("not ready"))
    assert "secret" not in answer.text + told
    for words in (pipeline.backend.name, "MemoryError"):
        assert words in told
        assert words not in answer.text
    assert client.get("/livez").status_code == 200
    client.app.state.measurer._probing.exception(PATIENCE_S)
    pipeline.backend.infer = recover
    client.get("/readyz")
    assert tried.wait(PATIENCE_S)
    client.app.state.measurer._probing.result(PATIENCE_S)
    assert client.get("/readyz").status_code == 200
