"""Start the real service in a separate process, wait until it is ready, and stop it.

The process is polled with plain sockets, which need little CPU time. This module imports nothing
from `headcirc_service`, so benchmarks measure what callers get.
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
    """The service did not start, or returned an unexpected answer."""


@dataclass(frozen=True)
class RunningService:
    """A service that is ready.

    Attributes
    ----------
    port, pid : int
    ready_s : float
        Time from the start of the process to the first 200 of `/readyz`.
    """

    port: int
    pid: int
    ready_s: float

    @property
    def url(self) -> str:
        """Return the base URL of the service."""
        return f"http://{ADDRESS}:{self.port}"


@contextmanager
def start_service(
    model_dir: Path,
    *,
    port: int | None = None,
    program: Sequence[str] = PLAIN,
    patience_s: float = START_TIMEOUT_S,
    source_dir: Path | None = None,
    **settings: str,
) -> Iterator[RunningService]:
    """Run the real service; settings that are not given have their defaults.

    Parameters
    ----------
    model_dir : Path
    port : int, optional
        A free port by default.
    program : sequence of str
        Module and arguments of the server, without host and port.
    patience_s : float
        Time in which the service must become ready.
    source_dir : Path, optional
        Folder of another copy of the repository, whose code serves. By default the code that this
        process runs.
    **settings : str
        `backend="openvino"` sets `HEADCIRC_BACKEND`, and so on.

    Raises
    ------
    ServiceFailedError
        The service stopped or was not ready in time; the message ends with its log.
    """
    chosen = {"artifact_dir": str(model_dir.resolve()), **settings}
    port = port or find_free_port()
    command = [sys.executable, "-m", *program, "--host", ADDRESS, "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=_to_environment(chosen, source_dir),
            cwd=source_dir,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(port, process, log, patience_s)
            yield RunningService(port, process.pid, time.perf_counter() - began_s)
        finally:
            _stop(process)


def _to_environment(settings: dict[str, str], source_dir: Path | None) -> dict[str, str]:
    inherited = dict(os.environ)  # noqa: TID251 - the child's environment, without our settings
    environment = {k: v for k, v in inherited.items() if not k.startswith(SETTINGS_PREFIX)}
    if source_dir is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(source_dir), str(source_dir / "service")])
    return environment | {f"{SETTINGS_PREFIX}{k.upper()}": v for k, v in settings.items()}


def find_free_port() -> int:
    """Return a free port of the loopback interface."""
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
    raise ServiceFailedError(f"The service did not start ({reason}). Its log ends with:\n{tail}")


def _is_ready(port: int) -> bool:
    connection = HTTPConnection(ADDRESS, port, timeout=STOP_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == OK
    except (OSError, HTTPException):
        return False  # the service does not listen yet
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
