"""The same question asked twice at a time: measured for one client, answered to all.

This file neither measures nor keeps: what is kept longer than it is measured is in the store.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from headcirc_service.http.problems import ClientLeftError, OverloadedError
from headcirc_service.results.stored_analysis import StoredAnalysis


class SameQuestion:
    """See the module; only the event loop's thread may use it.

    Parameters
    ----------
    capacity : int
        Clients that wait for others' answers at most: they have no place in the queue, and each
        holds its picture.
    """

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._waiting = 0
        self._asked: dict[str, asyncio.Future[StoredAnalysis]] = {}
        """By name, what is being measured."""

    async def share(self, analysis_id: str) -> StoredAnalysis | None:
        """Return the answer that another client has asked for, or None if none is measured.

        Raises
        ------
        OverloadedError
        Exception
            What the other client's request was refused for: this one is the same.
        """
        while (same := self._asked.get(analysis_id)) is not None:
            with suppress(ClientLeftError):  # then one of those that wait for it measures
                return await self._wait_for(same)
        return None

    async def _wait_for(self, same: asyncio.Future[StoredAnalysis]) -> StoredAnalysis:
        if self._waiting >= self._capacity:
            raise OverloadedError(
                f"{self._waiting} requests wait for answers to questions that others have asked, "
                "which is the most that this service takes; send the request again in a second."
            )
        self._waiting += 1
        try:
            # Its client may leave, and so may this one, each without the other's losing anything.
            return await asyncio.shield(same)
        finally:
            self._waiting -= 1

    @contextmanager
    def announce(self, analysis_id: str) -> Iterator[Callable[[StoredAnalysis], None]]:
        """While it is measured, let others share what is told, or the exception that ends it."""
        asked = self._asked[analysis_id] = asyncio.get_running_loop().create_future()
        try:
            yield asked.set_result
        except BaseException as error:
            if not asked.done():
                left = ClientLeftError("The client left before the answer was there.")
                asked.set_exception(error if isinstance(error, Exception) else left)
                asked.exception()  # that nobody waits is no fault
            raise
        finally:
            del self._asked[analysis_id]
