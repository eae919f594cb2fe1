"""Threads for the work of requests, behind a bounded queue.

The event loop never waits for the work, and work is not started if its client no longer waits.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

from headcirc_service.errors import ClientLeftError, OverloadedError, RequestTimeoutError

Answer = TypeVar("Answer")
WAIT_SHARE = 0.5
"""Share of the time limit that a request may wait for a thread; beyond it, it is refused."""
NEWEST_SHARE = 0.2
"""Weight of the latest duration in the moving average of durations."""


@dataclass(eq=False)  # two requests are never equal
class Ticket:
    """Whether a request still needs its answer: not after its deadline, nor without its client.

    Attributes
    ----------
    deadline_s : float
        On `time.perf_counter`'s clock.
    has_client : bool
        Set to False when the client has left.
    """

    deadline_s: float
    has_client: bool = True

    def require_needed(self) -> None:
        """Stop work that is no longer needed.

        Raises
        ------
        ClientLeftError, RequestTimeoutError
        """
        if not self.has_client:
            raise ClientLeftError("The client left before the answer was there.")
        if time.perf_counter() >= self.deadline_s:
            raise RequestTimeoutError("The time for the request ended before the network was free.")


class Workers:
    """A bounded queue before a few threads.

    Parameters
    ----------
    threads : int
    capacity : int
        Requests at work or waiting; more are refused, and so are requests that would be late.
    timeout_s : float
        Time limit of a request.
    thread_name : str
        Prefix of the names of the threads.
    """

    def __init__(
        self, threads: int, *, capacity: int, timeout_s: float, thread_name: str = "measure"
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name)
        self._threads = threads
        self._work_s = 0.0
        """Moving average of the durations of work."""
        self.capacity = capacity
        self._timeout_s = timeout_s
        self.depth = 0
        """How many requests are at work or waiting."""
        self._deadlines_s: list[float] = []
        """Deadlines of the requests that are in a thread now."""
        self._counting = Lock()

    @property
    def has_capacity(self) -> bool:
        """Return whether another request would be accepted."""
        return self._can_take(0)

    def _can_take(self, coming: int) -> bool:
        # If all threads are late, nothing can start. Requests that were given up have left the
        # queue, but their pictures stay in memory until a thread reaches them.
        now_s = time.perf_counter()
        late = sum(deadline_s <= now_s for deadline_s in self._deadlines_s)
        ahead = self.depth + coming
        wait_s = ahead * self._work_s / self._threads
        is_in_time = ahead < self._threads or wait_s < WAIT_SHARE * self._timeout_s
        return ahead < self.capacity and is_in_time and late < self._threads

    def require_capacity(self, *, coming: int = 0) -> None:
        """Refuse a request that would find the queue full, or be late.

        Parameters
        ----------
        coming : int
            Requests that were accepted and will soon need a place.

        Raises
        ------
        OverloadedError
        """
        if not self._can_take(coming):
            raise OverloadedError(
                "As many requests are at work or waiting as this service answers in time "
                f"({self.depth + coming}); send the request again in a second."
            )

    async def run(
        self,
        work: Callable[[Ticket], Answer],
        wait_until_gone: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """Run work in a thread, within capacity and time, while the client waits.

        Raises
        ------
        OverloadedError, RequestTimeoutError, ClientLeftError
        """
        self.require_capacity()
        ticket = Ticket(time.perf_counter() + self._timeout_s)
        # Not `run_in_executor`: its future may end before its thread, and would free the place.
        working = asyncio.wrap_future(self._submit(work, ticket))
        watched: list[asyncio.Future[Any]] = [working]
        if wait_until_gone is not None:
            watched.append(asyncio.ensure_future(wait_until_gone()))
        try:
            await asyncio.wait(
                watched, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if len(watched) > 1 and watched[1].done():
                raise ClientLeftError("The client left before the answer was there.")
            raise RequestTimeoutError(
                f"No answer within {self._timeout_s:g} s; the service is busy. Try again later."
            )
        finally:
            ticket.has_client = working.done()
            for each in watched:  # work that has started goes on until it checks its ticket
                each.cancel()

    def submit(self, work: Callable[[Ticket], Answer]) -> Future[Answer]:
        """Run work that no request waits for; it takes a place like other work."""
        return self._submit(work, Ticket(time.perf_counter() + self._timeout_s))

    def _submit(self, work: Callable[[Ticket], Answer], ticket: Ticket) -> Future[Answer]:
        self._count(1)
        submitted = self._executor.submit(self._work, work, ticket)
        submitted.add_done_callback(lambda _: self._count(-1))
        return submitted

    def _count(self, change: int) -> None:
        with self._counting:
            self.depth += change

    def _work(self, work: Callable[[Ticket], Answer], ticket: Ticket) -> Answer:
        ticket.require_needed()
        began_s = time.perf_counter()
        self._deadlines_s.append(ticket.deadline_s)
        try:
            answer = work(ticket)
        finally:
            self._deadlines_s.remove(ticket.deadline_s)
        # Bounded: work that hung says little about later work, and would refuse it for a long time.
        took_s = min(time.perf_counter() - began_s, self._timeout_s)
        self._work_s += NEWEST_SHARE * (took_s - self._work_s)
        return answer

    async def close(self) -> None:
        """Finish the work that has started and take no more."""
        await asyncio.to_thread(self._executor.shutdown)
