"""The store of results: in the memory of this process, or in a Redis that replicas share."""

import time
from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec
from typing import Generic, Protocol, TypeVar

from headcirc_service.results.stored_analysis import StoredAnalysis
from headcirc_service.settings import Settings


class Store(Protocol):
    """Keeps results for a time; raises `StoreUnavailableError` while it does not answer."""

    async def put(self, analysis_id: str, stored: StoredAnalysis) -> None:
        """Keep a result, unless it is too large or results are not kept.

        One that a person has changed stays: an equal question may be measured twice at a time.
        """

    async def get(self, analysis_id: str) -> StoredAnalysis | None:
        """Return a result that has not expired, or None."""

    async def replace(self, analysis_id: str, changed: StoredAnalysis, *, revision: str) -> bool:
        """Replace a kept result whose revision is still `revision`, and restart its time.

        Return whether it was. Of several that replace the same revision, one alone succeeds.
        """

    async def close(self) -> None:
        """Release connections and memory."""


class Sized(Protocol):
    """An object that knows roughly how much memory it takes."""

    def count_bytes(self) -> int:
        """Return roughly how much memory it holds."""


Kept = TypeVar("Kept", bound=Sized)


class Cache(Generic[Kept]):
    """A cache in this process, which drops the oldest entries beyond its bytes or their time.

    It has no lock: only one thread may use it.
    """

    def __init__(
        self, *, ttl_s: float, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Kept]] = OrderedDict()
        self._bytes = 0

    def put(self, key: str, kept: Kept) -> None:
        """Keep an entry, unless it is too large or entries are not kept."""
        size_bytes = kept.count_bytes()
        if self._ttl_s <= 0 or size_bytes > self._max_bytes:
            return
        self._drop(key)
        self._entries[key] = (self._clock() + self._ttl_s, kept)
        self._bytes += size_bytes
        self._drop_expired()
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def get(self, key: str) -> Kept | None:
        """Return an entry that has not expired, or None."""
        self._drop_expired()
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._bytes = 0

    def _drop_expired(self) -> None:
        # All entries live equally long, so they expire in the order in which they came.
        now = self._clock()
        while self._entries and next(iter(self._entries.values()))[0] <= now:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1].count_bytes()


class MemoryStore:
    """A store in memory, for the event loop only; see `Cache` for the parameters."""

    def __init__(
        self, *, ttl_s: float, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache: Cache[StoredAnalysis] = Cache(ttl_s=ttl_s, max_bytes=max_bytes, clock=clock)

    async def put(self, analysis_id: str, stored: StoredAnalysis) -> None:
        """See `Store`."""
        known = self._cache.get(analysis_id)
        if known is None or not known.revision:
            self._cache.put(analysis_id, stored)

    async def get(self, analysis_id: str) -> StoredAnalysis | None:
        """See `Store`."""
        return self._cache.get(analysis_id)

    async def replace(self, analysis_id: str, changed: StoredAnalysis, *, revision: str) -> bool:
        """See `Store`; nothing else runs meanwhile, because nothing is awaited."""
        known = self._cache.get(analysis_id)
        if known is None or known.revision != revision:
            return False
        self._cache.put(analysis_id, changed)
        return True

    async def close(self) -> None:
        """See `Store`."""
        self._cache.clear()


def open_store(settings: Settings) -> Store:
    """Return the store that the settings name, without connecting to it.

    Raises
    ------
    ValueError
        Redis is named, but its package is not installed.
    """
    if settings.store_url is None:
        return MemoryStore(ttl_s=settings.result_ttl_s, max_bytes=settings.store_max_bytes)
    if find_spec("redis") is None:
        raise ValueError(
            "HEADCIRC_STORE_URL names a Redis and the package 'redis' is missing; install it with: "
            "pip install 'headcirc[redis]'"
        )
    from headcirc_service.results.redis_store import RedisStore  # noqa: PLC0415 - an extra, imported when chosen

    return RedisStore(
        settings.store_url.get_secret_value(),
        ttl_s=settings.result_ttl_s,
        max_bytes=settings.store_max_bytes,
        maximum_pixels=settings.max_pixels,
    )
