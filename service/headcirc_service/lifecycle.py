"""SIGTERM in the right order: readiness goes off first, listening ends after a while."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("headcirc.service")


@contextmanager
def announce_end(tell: Callable[[], None], *, drain_s: float) -> Iterator[None]:
    """While this lasts, SIGTERM is told at once and reaches the server `drain_s` later.

    In between the service answers as ever, so that whoever routes requests here can see that it is
    not ready and send them elsewhere. Outside the main thread there are no signals to catch.
    """
    server = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(server):
        yield
        return
    loop = asyncio.get_running_loop()

    def on_sigterm() -> None:
        tell()
        logger.info("going down: not ready from now on")
        loop.call_later(drain_s, server, signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, server)
