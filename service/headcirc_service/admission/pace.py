"""Delays of refusals, so that clients which retry at once cannot fill the event loop."""

import time

REFUSALS_PER_S = 40
"""A refusal costs the event loop about a millisecond, mostly for the body that the client sends."""
SHORTEST_S, LONGEST_S = 0.05, 1.0
"""Limits of a delay. `Retry-After` tells the client to wait a second in any case."""


class Pace:
    """Delays of refusals: a few are sent soon, many are spread over time.

    Parameters
    ----------
    per_s : float
        Refusals per second. There can be more, because none is delayed longer than `longest_s`.
    shortest_s, longest_s : float
        Limits of a delay.
    """

    def __init__(
        self,
        per_s: float = REFUSALS_PER_S,
        *,
        shortest_s: float = SHORTEST_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._step_s = 1 / per_s
        self._shortest_s, self._longest_s = shortest_s, longest_s
        self._free_s = 0.0
        """When the next refusal may be sent, on `time.monotonic`'s clock."""

    def take_s(self) -> float:
        """Return how long to delay one refusal, and count it."""
        now_s = time.monotonic()
        self._free_s = max(self._free_s, now_s)
        delay_s = self._free_s - now_s
        self._free_s = min(self._free_s + self._step_s, now_s + self._longest_s)
        return max(delay_s, self._shortest_s)
