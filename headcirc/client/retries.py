"""The retry policy: which answers are tried again, after which wait, and when a call gives up.

This is our own code because `stamina` 26.1 checks its timeout only after the wait: with 1 s left
and a `Retry-After` of 2 s it slept for 2 s and asked again, where this module returns the refusal
at once. It also adds no jitter to a wait that a server asked for. The retries of httpx transports
cover failed connections only and ignore `Retry-After`. The timeout of each attempt, and which
answers to retry, would be our own code with either.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRIED_STATUSES = frozenset({429, 502, 503})
"""The queue is full, or a service or store is unavailable: both are temporary. A 504 of the service
itself is final, because the request used up its time; a reverse proxy's 504 means that the service
is unavailable."""
PROXY_STATUSES = RETRIED_STATUSES | {504}
"""What a reverse proxy answers when the service is unavailable or overloaded."""


@dataclass(frozen=True)
class RetryPolicy:
    """When to try again. This is safe: the same request has the same answer and id.

    Attributes
    ----------
    most_attempts : int
        1 never tries again.
    deadline_s : float
        For a whole call with all its attempts and waits.
    first_wait_s, longest_wait_s : float
        Without a `Retry-After` each wait is twice as long as the one before, up to the longest.
    jitter : float
        Up to this share is added to each wait, so that clients that were refused together do not
        return together.
    """

    most_attempts: int = 5
    deadline_s: float = 60.0
    first_wait_s: float = 0.25
    longest_wait_s: float = 8.0
    jitter: float = 0.25


class Attempts:
    """The attempts of one call.

    Parameters
    ----------
    policy : RetryPolicy
    clock : callable
        Returns seconds, as `time.monotonic` does.
    """

    def __init__(self, policy: RetryPolicy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._until_s = clock() + policy.deadline_s
        self._made = 0

    @property
    def left_s(self) -> float:
        """Return the time that is left for the call."""
        return max(0.0, self._until_s - self._clock())

    def to_wait_s(self, retry_after_s: float | None = None) -> float | None:
        """Count a failed attempt; return how long to wait, or None to give up.

        If the server asks for a longer wait than the deadline allows, the call gives up instead of
        asking earlier.
        """
        policy = self._policy
        doubled_s = policy.first_wait_s * 2**self._made
        self._made += 1
        wait_s = min(doubled_s, policy.longest_wait_s) if retry_after_s is None else retry_after_s
        wait_s *= 1 + policy.jitter * random.random()  # noqa: S311 - no secret
        if self._made >= policy.most_attempts or wait_s >= self.left_s:
            return None
        return wait_s


def read_retry_after_s(value: str | None) -> float | None:
    """Return a `Retry-After` (seconds or an HTTP date) in seconds; None if missing or invalid."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
