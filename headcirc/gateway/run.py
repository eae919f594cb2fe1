"""Run the gateway: the listener here, the worker in a process of its own, until a signal."""

import fcntl
import logging
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headcirc.gateway.listener import ImageListener
from headcirc.gateway.metrics import GatewayMetrics
from headcirc.gateway.queue import Queue
from headcirc.gateway.settings import GatewaySettings, SettingsError

logger = logging.getLogger("headcirc.gateway")
LOCK = "lock"
SHORTEST_LIFE_S, LONGEST_PAUSE_S = 10.0, 60.0
"""A worker that ends sooner is started again after a pause, which doubles up to the longest."""
STOP_TIMEOUT_S = 10.0
FORGET_INTERVAL_S = 3600.0
LOCK_TIMEOUT_S, LOCK_INTERVAL_S = 5.0, 0.1


class WorkerProcess:
    """Starts the worker, and starts it again whenever it ends.

    Parameters
    ----------
    settings_path : Path
    metrics : GatewayMetrics
    lock : int
        File descriptor of the folder's lock, which the worker holds too.
    """

    def __init__(self, settings_path: Path, metrics: GatewayMetrics, lock: int) -> None:
        self._lock = lock
        self._command = [sys.executable, "-m", "headcirc.gateway.worker", str(settings_path)]
        self._metrics = metrics
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_running, daemon=True)

    def start(self) -> None:
        """Keep a worker running, in a thread."""
        self._thread.start()

    def wake(self) -> None:
        """Tell the worker that there is an image."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, ValueError):  # it has just ended; the next one looks by itself
                process.stdin.write(b"\n")
                process.stdin.flush()

    def stop(self) -> None:
        """End the worker."""
        self._stopping.set()
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        self._thread.join(STOP_TIMEOUT_S)
        if process is not None and process.poll() is None:
            process.kill()

    def _keep_running(self) -> None:
        pause_s = 1.0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._metrics.worker_starts.inc()
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._command, stdin=subprocess.PIPE, pass_fds=(self._lock,)
            )
            status = self._process.wait()
            if self._stopping.is_set():
                return
            logger.error("the worker ended with %d; it is started again", status)
            lived_s = time.monotonic() - began_s
            pause_s = 1.0 if lived_s > SHORTEST_LIFE_S else min(2 * pause_s, LONGEST_PAUSE_S)
            self._stopping.wait(pause_s)


def run_gateway(settings: GatewaySettings, settings_path: Path) -> None:
    """Run until SIGTERM or SIGINT.

    Raises
    ------
    SettingsError
        Another gateway uses the queue's folder.
    OSError
        The folder cannot be used, or nothing can listen at the address.
    """
    told = _catch_signals()
    queue = Queue(settings.queue, settings.retries)
    with _own(queue.folder / LOCK) as lock:
        queue.clean()
        metrics = GatewayMetrics(queue)
        metrics.serve(settings.metrics)
        worker = WorkerProcess(settings_path, metrics, lock)
        listener = ImageListener(
            settings.listener,
            queue,
            on_image=worker.wake,
            on_store=lambda outcome: metrics.stores.labels(outcome).inc(),
        )
        listener.start()
        worker.start()
        place = settings.listener
        logger.info("%s listens at %s, port %d", place.ae_title, place.host, place.port)
        try:
            _wait(told, queue)
        finally:
            listener.stop()
            worker.stop()


@contextmanager
def _own(path: Path) -> Iterator[int]:
    """Hold the folder's lock, so that two gateways never share it; give its file descriptor.

    A worker of a gateway that was killed holds it until it ends, a moment later.

    Raises
    ------
    SettingsError
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        until_s = time.monotonic() + LOCK_TIMEOUT_S
        while not _lock(handle):
            if time.monotonic() > until_s:
                raise SettingsError(
                    "Another gateway uses the queue's folder; end it, or name another folder."
                )
            time.sleep(LOCK_INTERVAL_S)
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _catch_signals() -> int:
    """Return a file descriptor that can be read when SIGTERM or SIGINT has come.

    The handler writes to a pipe. It must take no lock, as an event's is: it interrupts this thread
    anywhere, also where this thread holds that lock.
    """
    told, tell = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(tell, b"."))
    return told


def _wait(told: int, queue: Queue) -> None:
    """Wait until a signal has come, and forget old images now and then."""
    while not select.select([told], [], [], FORGET_INTERVAL_S)[0]:
        try:
            queue.forget_old()
        except sqlite3.Error as error:  # such as a full disk: later
            logger.error("old images cannot be forgotten: %s", error)
