"""Start and stop a real Redis from Debian's package."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.service_process import find_free_port

ADDRESS = "127.0.0.1"
PATIENCE_S = 10.0


class RedisServer:
    """A Redis server on a free port that writes nothing to the disk."""

    def __init__(self, folder: Path) -> None:
        self._command = shutil.which("redis-server")
        if self._command is None:
            pytest.skip("redis-server is missing; install Debian's package: make system-deps")
        self._folder = folder
        self.port = find_free_port()
        self.url = f"redis://{ADDRESS}:{self.port}/0"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ["--port", str(self.port), "--bind", ADDRESS, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._command, *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        until_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < until_s, "redis-server never answered"

    def _answers(self) -> bool:
        try:
            with socket.create_connection((ADDRESS, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        self._process.kill()
        self._process.wait()


@contextmanager
def run_redis(folder: Path) -> Iterator[RedisServer]:
    """Run a server that a test may kill and restart."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
