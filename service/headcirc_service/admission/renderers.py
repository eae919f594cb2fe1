"""A bound on kept results that are read and drawn at a time, and on pictures that nobody reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headcirc_service.errors import OverloadedError, RequestTimeoutError

MOST_RENDERERS = 4
"""Kept results that are read and drawn at a time; of 40 million pixels each takes 200 MB."""


class Renderers:
    """A few places to read a kept result and draw on it, and a bounded queue before them.

    A result takes as much memory as its picture, and an overlay of it three times as much.

    Parameters
    ----------
    places : int
    capacity : int
        Requests that wait for a place; more are refused.
    timeout_s : float
        How long one waits.
    """

    def __init__(self, places: int, *, capacity: int, timeout_s: float) -> None:
        self._places = asyncio.Semaphore(places)
        self._capacity = capacity
        self._timeout_s = timeout_s
        self._waiting = 0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a place and keep it while this lasts.

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


class Unread:
    """Counts the bytes of pictures that are written and that their clients have not yet read."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0

    def require_capacity(self) -> None:
        """Refuse to draw more before some of it is read.

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
        """Note that more, or less, is unread."""
        self._bytes += change_bytes
