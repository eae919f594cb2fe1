"""Threads for the work of requests: as many at a time as may wait, each as long as it is wanted.

So the event loop never waits for a picture, and what nobody waits for is not begun.
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
"""Of a request's time: who would wait longer for a thread is refused, not kept to be late."""
NEWEST_SHARE = 0.2
"""Of the last piece of work in what one is said to take."""


@dataclass(eq=False)  # each is one request's, whatever it says
class Ticket:
    """What a request is worth: work is wasted after its deadline or when its client has left.

    Attributes
    ----------
    deadline_s : float
        On `time.perf_counter`'s clock.
    has_client : bool
        Set to False by whoever sees the client leave.
    """

    deadline_s: float
    has_client: bool = True

    def require_wanted(self) -> None:
        """Stop work that nobody waits for.

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
        Requests at work or waiting; more are refused, and so are those that would be late.
    timeout_s : float
        Of a request.
    """

    def __init__(
        self, threads: int, *, capacity: int, timeout_s: float, thread_name: str = "measure"
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name)
        self._threads = threads
        self._work_s = 0.0
        """What a piece of work has taken of late."""
        self.capacity = capacity
        self._timeout_s = timeout_s
        self.depth = 0
        """How many are at work or waiting."""
        self._deadlines_s: list[float] = []
        """Of the work that is in a thread now."""
        self._counting = Lock()

    @property
    def has_capacity(self) -> bool:
        """Return whether another request would be taken."""
        return self._can_take(0)

    def _can_take(self, coming: int) -> bool:
        # Behind threads that are all late nothing is begun. What is given up meanwhile leaves its
        # place but not its picture: that is held until a thread comes to it.
        now_s = time.perf_counter()
        late = sum(deadline_s <= now_s for deadline_s in self._deadlines_s)
        wanted = self.depth + coming
        wait_s = wanted * self._work_s / self._threads
        is_in_time = wanted < self._threads or wait_s < WAIT_SHARE * self._timeout_s
        return wanted < self.capacity and is_in_time and late < self._threads

    def require_capacity(self, *, coming: int = 0) -> None:
        """Refuse what would wait longer than is good for anybody.

        Parameters
        ----------
        coming : int
            Requests that were let in and will soon want a place, too.

        Raises
        ------
        OverloadedError
        """
        if not self._can_take(coming):
            raise OverloadedError(
                f"{self.depth + coming} requests are at work or waiting, which is the most that "
                "this service answers in time; send the request again in a second."
            )

    async def run(
        self,
        work: Callable[[Ticket], Answer],
        wait_until_gone: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """Do work in a thread, within capacity and time, while somebody waits for it.

        Raises
        ------
        OverloadedError, RequestTimeoutError, ClientLeftError
        """
        self.require_capacity()
        ticket = Ticket(time.perf_counter() + self._timeout_s)
        # Not `run_in_executor`: its future may end before the thread, which keeps its place.
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
            for each in watched:  # work that has begun goes on to the next look at its ticket
                each.cancel()

    def submit(self, work: Callable[[Ticket], Answer]) -> Future[Answer]:
        """Do work that no request waits for; it takes a place like any other."""
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
        ticket.require_wanted()
        began_s = time.perf_counter()
        self._deadlines_s.append(ticket.deadline_s)
        try:
            answer = work(ticket)
        finally:
            self._deadlines_s.remove(ticket.deadline_s)
        # What hung says little of what comes next: unbounded, it would keep others out for long.
        took_s = min(time.perf_counter() - began_s, self._timeout_s)
        self._work_s += NEWEST_SHARE * (took_s - self._work_s)
        return answer

    async def close(self) -> None:
        """Let the work at hand end and take no more."""
        await asyncio.to_thread(self._executor.shutdown)
