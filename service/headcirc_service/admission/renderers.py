"""Kept results: how many are read and drawn at the same time, and how many pictures wait unread."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from headcirc_service.admission.workers import Workers
from headcirc_service.errors import OverloadedError, RequestTimeoutError

Drawn = TypeVar("Drawn")
MOST_RENDERERS = 4
"""Results that are read and drawn at the same time; one of 40 million pixels takes 200 MB."""


class Places:
    """A few places in which kept results are held, and a bounded queue before them.

    A result takes as much memory as its picture.

    Parameters
    ----------
    places : int
    capacity : int
        How many requests may wait for a place; more are refused.
    timeout_s : float
        How long a request waits.
    """

    def __init__(self, places: int, *, capacity: int, timeout_s: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._capacity = capacity
        self._timeout_s = timeout_s
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a place and hold it until the block ends.

        Raises
        ------
        OverloadedError, RequestTimeoutError
        """
        if self._places.locked() and self._waiting >= self._capacity:
            raise OverloadedError(
                f"{self._waiting} requests wait for kept results, which is the most that this "
                "service takes; send the request again in a second."
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise RequestTimeoutError(
                f"No kept result could be read within {self._timeout_s:g} s; the service is busy. "
                "Try again later."
            ) from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()


class Renderers(Places):
    """Places with a thread each, which draw on the results that are held there.

    An overlay takes three times the memory of its picture. Measurements have other threads, so
    neither their queue nor their durations depend on drawings. See `Places` for the parameters.
    """

    def __init__(self, places: int, *, capacity: int, timeout_s: float) -> None:
        super().__init__(places, capacity=capacity, timeout_s=timeout_s)
        self._workers = Workers(
            places, capacity=places + capacity, timeout_s=timeout_s, thread_name="render"
        )

    async def draw(self, work: Callable[[], Drawn]) -> Drawn:
        """Run work in a thread; the caller holds a place.

        Raises
        ------
        OverloadedError
            Earlier work hangs in all threads.
        RequestTimeoutError
        """
        return await self._workers.run(lambda _: work())

    async def close(self) -> None:
        """Finish the drawings at work and take no more."""
        await self._workers.close()


class Unread:
    """Counts the bytes of pictures that were sent and that their clients have not read yet."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0

    def require_capacity(self) -> None:
        """Refuse to draw another picture while too many bytes are unread.

        Raises
        ------
        OverloadedError
        """
        if self._bytes >= self._max_bytes:
            raise OverloadedError(
                f"{self._bytes:,} bytes of pictures wait for their clients to read them, which is "
                "the most that this service keeps; send the request again in a second."
            )

    def count(self, change_bytes: int) -> None:
        """Add bytes that are unread now, or subtract bytes that were read."""
        self._bytes += change_bytes
