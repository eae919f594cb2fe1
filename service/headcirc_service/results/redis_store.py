"""Results in Redis, which replicas share; Redis' own `maxmemory` limits their total size."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from starlette.concurrency import run_in_threadpool

from headcirc_service.errors import StoreUnavailableError
from headcirc_service.results.stored_analysis import StoredAnalysis, read_stored

logger = logging.getLogger("headcirc.store")
Reply = TypeVar("Reply")
KEY_PREFIX = "headcirc:3:"
"""The number changes when the form of a written result changes."""
TIMEOUT_S = 0.5
AWAY_S = 1.0
"""Pause after a failure, so that not every request waits for the timeout."""


class RedisStore:
    """See `headcirc_service.results.store.Store`.

    Parameters
    ----------
    url : str
        `redis://`, `rediss://` or `unix://`.
    ttl_s, max_bytes : int
        Limits of one result; a larger one is not kept.
    maximum_pixels : int
        Limit of a frame that is read back.
    """

    def __init__(
        self,
        url: str,
        *,
        ttl_s: int,
        max_bytes: int,
        maximum_pixels: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = Redis.from_url(
            url,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),  # a pooled connection may be older than Redis' last start
        )
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._maximum_pixels = maximum_pixels
        self._clock = clock
        self._away_until_s = 0.0
        self._is_away = False

    async def put(self, analysis_id: str, stored: StoredAnalysis) -> None:
        """See `headcirc_service.results.store.Store`."""
        if self._ttl_s <= 0 or stored.count_bytes() > self._max_bytes:
            return
        self._require_here()  # before the result is encoded
        content = await run_in_threadpool(stored.to_bytes)
        if len(content) > self._max_bytes:
            return
        key = KEY_PREFIX + analysis_id
        await self._ask(lambda: self._redis.set(key, content, ex=self._ttl_s))

    async def get(self, analysis_id: str) -> StoredAnalysis | None:
        """See `headcirc_service.results.store.Store`."""
        if self._ttl_s <= 0:
            return None
        self._require_here()
        key = KEY_PREFIX + analysis_id
        # Ask for no more bytes than are ever written: others may have written to this key.
        content = await self._ask(lambda: self._read(key, self._max_bytes))
        if not content or len(content) > self._max_bytes:
            return None
        return await run_in_threadpool(
            read_stored, content, analysis_id, maximum_pixels=self._maximum_pixels
        )

    async def _read(self, key: str, end: int) -> bytes:
        try:
            content = await self._redis.getrange(key, 0, end)
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):  # a list, say, which is never ours
                return b""
            raise
        assert isinstance(content, bytes)
        return content

    async def close(self) -> None:
        """See `headcirc_service.results.store.Store`."""
        await self._redis.aclose()

    def _require_here(self) -> None:
        if self._clock() < self._away_until_s:
            raise StoreUnavailableError(
                "The store of results does not answer; pictures are measured, but results are not "
                "kept. Try again in a second."
            )

    async def _ask(self, command: Callable[[], Awaitable[Reply]]) -> Reply:
        """Send Redis one command, and remember whether it answered."""
        try:
            reply = await command()
        except (RedisError, OSError) as error:
            if not isinstance(error, ResponseError):  # Redis answered, with a refusal
                self._away_until_s = self._clock() + AWAY_S
            if not self._is_away:
                logger.warning("the store does not answer: %s", type(error).__name__)
            self._is_away = True
            raise StoreUnavailableError(
                "The store of results does not answer; try again in a second."
            ) from error
        if self._is_away:
            logger.info("the store answers again")
            self._is_away = False
        return reply
