"""The real service as a process of its own: start it, wait for it, stop it.

It is polled with plain sockets, which cost next to nothing on the cores where it starts. Nothing
of `service` is imported, so what is measured is what is served.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

ADDRESS = "127.0.0.1"
PLAIN = ("headcirc.cli.commands", "serve")
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.02
SETTINGS_PREFIX = "HEADCIRC_"
LOG_TAIL_CHARACTERS = 2000
OK = 200


class ServiceFailedError(Exception):
    """The service did not start, or gave an answer that the contract does not have."""


@dataclass(frozen=True)
class RunningService:
    """A service that answers.

    Attributes
    ----------
    port, pid : int
    ready_s : float
        From the start of its process to the first 200 of `/readyz`.
    """

    port: int
    pid: int
    ready_s: float

    @property
    def url(self) -> str:
        """Return the address that requests go to."""
        return f"http://{ADDRESS}:{self.port}"


@contextmanager
def start_service(
    model_dir: Path,
    *,
    port: int | None = None,
    program: Sequence[str] = PLAIN,
    patience_s: float = START_TIMEOUT_S,
    **settings: str,
) -> Iterator[RunningService]:
    """Run the real service; what `settings` does not name has its default.

    Parameters
    ----------
    model_dir : Path
    port : int, optional
        By default one that is free.
    program : sequence of str
        Module and arguments that serve, but for host and port.
    patience_s : float
        Within which it must be ready.
    **settings : str
        `backend="openvino"` becomes `HEADCIRC_BACKEND`, and so on.

    Raises
    ------
    ServiceFailedError
        It stopped, or was not ready in time; the message ends with what it logged.
    """
    chosen = {"artifact_dir": str(model_dir.resolve()), **settings}
    port = port or find_free_port()
    command = [sys.executable, "-m", *program, "--host", ADDRESS, "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            command, env=_to_environment(chosen), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_ready(port, process, log, patience_s)
            yield RunningService(port, process.pid, time.perf_counter() - began_s)
        finally:
            _stop(process)


def _to_environment(settings: dict[str, str]) -> dict[str, str]:
    inherited = dict(os.environ)  # noqa: TID251 - a child's environment, rid of our settings
    environment = {k: v for k, v in inherited.items() if not k.startswith(SETTINGS_PREFIX)}
    return environment | {f"{SETTINGS_PREFIX}{k.upper()}": v for k, v in settings.items()}


def find_free_port() -> int:
    """Return a port of the loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(
    port: int, process: subprocess.Popen[bytes], log: IO[bytes], patience_s: float
) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and process.poll() is None:
        if _is_ready(port):
            return
        time.sleep(POLL_INTERVAL_S)
    log.seek(0)
    tail = log.read().decode(errors="replace")[-LOG_TAIL_CHARACTERS:]
    ended = process.returncode is not None
    reason = f"ended with {process.returncode}" if ended else f"not ready in {patience_s:g} s"
    raise ServiceFailedError(f"The service did not start ({reason}). It said:\n{tail}")


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(ADDRESS, port, timeout=STOP_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == OK
    except (OSError, HTTPException):
        return False  # it does not listen yet
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
