"""Equal requests at the same time: one is measured, and all get its answer.

Nothing is kept here. An answer that is kept after its measurement is in the store of results.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

from headcirc_service.errors import ClientLeftError, OverloadedError

Answer = TypeVar("Answer")


class RequestCoalescer(Generic[Answer]):
    """Let equal requests share one measurement; only the event loop's thread may use it.

    Parameters
    ----------
    capacity : int
        How many requests may wait for the answer to another one. They have no place in the queue,
        and each holds its picture.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._waiting = 0
        self._under_way: dict[str, asyncio.Future[Answer]] = {}

    async def wait_for_equal(self, name: str) -> Answer | None:
        """Return the answer to an equal request that is being measured, or None without one.

        Raises
        ------
        OverloadedError
        Exception
            Whatever the equal request failed with.
        """
        while (equal := self._under_way.get(name)) is not None:
            with suppress(ClientLeftError):  # one of the requests that wait is measured instead
                return await self._wait_for(equal)
        return None

    async def _wait_for(self, equal: asyncio.Future[Answer]) -> Answer:
        if self._waiting >= self._capacity:
            raise OverloadedError(
                f"{self._waiting} requests wait for the answers to equal requests, which is the "
                "most that this service takes; send the request again in a second."
            )
        self._waiting += 1
        try:
            # Shielded: if this client leaves, the others still get their answer.
            return await asyncio.shield(equal)
        finally:
            self._waiting -= 1

    @contextmanager
    def announce(self, name: str) -> Iterator[Callable[[Answer], None]]:
        """Let equal requests wait for this one; they get its answer, or the exception it ends with.

        Yields
        ------
        callable
            Call it with the answer.
        """
        mine = self._under_way[name] = asyncio.get_running_loop().create_future()
        try:
            yield mine.set_result
        except BaseException as error:
            if not mine.done():
                left = ClientLeftError("The client left before the answer was there.")
                mine.set_exception(error if isinstance(error, Exception) else left)
                mine.exception()  # marks it as read: perhaps no other request waits for it
            raise
        finally:
            del self._under_way[name]
