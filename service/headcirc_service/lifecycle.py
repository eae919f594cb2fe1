"""Graceful shutdown: after SIGTERM the service first is not ready, and stops later."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("headcirc.service")


@contextmanager
def delay_shutdown(on_sigterm: Callable[[], None], *, drain_s: float) -> Iterator[None]:
    """Within the block, call `on_sigterm` at SIGTERM and stop the server `drain_s` later.

    Until then the service still answers, so that a load balancer can see that it is not ready and
    send requests elsewhere. Outside the main thread there are no signals to catch.
    """
    server = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(server):
        yield
        return
    loop = asyncio.get_running_loop()

    def begin_to_drain() -> None:
        on_sigterm()
        logger.info("shutting down: not ready from now on")
        loop.call_later(drain_s, server, signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGTERM, begin_to_drain)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, server)
