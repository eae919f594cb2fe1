"""Results in Redis, which replicas share; Redis' own `maxmemory` limits their total size.

A result is one hash, so that its parts expire and are dropped together: `result` never changes,
`change` is what a person made of it, and `revision` names that change.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from starlette.concurrency import run_in_threadpool

from headcirc_service.errors import StoreUnavailableError
from headcirc_service.results.stored_analysis import (
    MAXIMUM_CHANGE_BYTES,
    StoredAnalysis,
    read_stored,
)

logger = logging.getLogger("headcirc.store")
Reply = TypeVar("Reply")
KEY_PREFIX = "headcirc:4:"
"""The number changes when the form of a written result changes."""
TIMEOUT_S = 0.5
AWAY_S = 1.0
"""Pause after a failure, so that not every request waits for the timeout."""


# Redis runs a script as a whole: nothing else happens between its commands.
PUT = """
if redis.call('TYPE', KEYS[1])['ok'] == 'hash'
    and redis.call('HEXISTS', KEYS[1], 'revision') == 1 then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'result', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
GET = """
if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash'
    or redis.call('HSTRLEN', KEYS[1], 'result') > tonumber(ARGV[1])
    or redis.call('HSTRLEN', KEYS[1], 'change') > tonumber(ARGV[2]) then
  return {}
end
return redis.call('HMGET', KEYS[1], 'result', 'change')
"""
"""Larger values than are ever written are not sent: others may have written to this key."""
REPLACE = """
if redis.call('HEXISTS', KEYS[1], 'result') == 0
    or (redis.call('HGET', KEYS[1], 'revision') or '') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'change', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


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
        await self._run(PUT, analysis_id, content, self._ttl_s)

    async def get(self, analysis_id: str) -> StoredAnalysis | None:
        """See `headcirc_service.results.store.Store`."""
        if self._ttl_s <= 0:
            return None
        self._require_here()
        parts = await self._run(GET, analysis_id, self._max_bytes, MAXIMUM_CHANGE_BYTES)
        content, change = parts or (None, None)
        if content is None:
            return None
        return await run_in_threadpool(
            read_stored, content, analysis_id, maximum_pixels=self._maximum_pixels, change=change
        )

    async def replace(self, analysis_id: str, changed: StoredAnalysis, *, revision: str) -> bool:
        """See `headcirc_service.results.store.Store`."""
        self._require_here()
        change = changed.to_change_bytes()
        facts = (revision, changed.revision, change, self._ttl_s)
        return bool(await self._run(REPLACE, analysis_id, *facts))

    async def _run(self, script: str, analysis_id: str, *facts: str | bytes | int) -> Any:
        """Run a script on the key of a result."""
        key = KEY_PREFIX + analysis_id
        return await self._ask(lambda: self._redis.eval(script, 1, key, *facts))

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
