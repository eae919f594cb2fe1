"""How patient a client is: how often it asks again, how long it waits, when it gives up."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRIED_STATUSES = frozenset({429, 502, 503})
"""A full queue, and a service or store that is not there: both pass. The service's own 504 had its
time; one of a gateway says that the service is away."""
GATEWAY_STATUSES = RETRIED_STATUSES | {504}
"""What a gateway answers in the place of a service that is away, or too busy for it."""


@dataclass(frozen=True)
class RetryPolicy:
    """When to ask again. Asking twice is safe: the same question has the same answer and id.

    Attributes
    ----------
    most_attempts : int
        1 never asks again.
    deadline_s : float
        Of a whole call with all its attempts and waits.
    first_wait_s, longest_wait_s : float
        Without a `Retry-After` a wait is twice as long as the one before, up to the longest.
    jitter : float
        Up to this share is added to each wait, so that clients refused together return apart.
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
        Seconds, as `time.monotonic` tells them.
    """

    def __init__(self, policy: RetryPolicy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._until_s = clock() + policy.deadline_s
        self._made = 0

    @property
    def left_s(self) -> float:
        """Return the time that the call still has."""
        return max(0.0, self._until_s - self._clock())

    def to_wait_s(self, retry_after_s: float | None = None) -> float | None:
        """Count an attempt that failed; return how long to wait, or None to give up.

        A server that asks for a longer wait than the deadline allows is not asked earlier.
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
    """Return a `Retry-After` in seconds, which may also name a date; None where there is none."""
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
