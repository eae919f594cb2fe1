"""What holds for all connections of one application: how long each may take, and rest.

This file waits for nothing; `headcirc_service.http.protocol` does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics

STATE_NAME = "connection_rules"
"""Under which the application's lifespan tells its `ConnectionRules`."""
LEAST_REST_S, MOST_REST_S = 0.1, 1.0
"""The most is what `Retry-After` says: who obeys it never meets a rest."""
REST_APART_S = 0.003
"""Far longer than refusing takes. It parts `MOST_REST_S / REST_APART_S` connections, some 330; of
more, each is read again after the most, and the event loop's work grows with their number."""


@dataclass
class Rests:
    """When connections that were refused are read again: one after the other, within the most."""

    clock: Callable[[], float] = time.monotonic
    _last_s: float = field(default=0.0, init=False)

    def take_s(self) -> float:
        """Return how long one more connection rests."""
        now_s = self.clock()
        turn_s = min(self._last_s + REST_APART_S, now_s + MOST_REST_S)
        self._last_s = max(turn_s, now_s + LEAST_REST_S)
        return self._last_s - now_s


@dataclass(frozen=True)
class ConnectionRules:
    """What holds for all connections of one application."""

    header_timeout_s: float = 10.0
    upload_timeout_s: float = 30.0
    rests: Rests = field(default_factory=Rests)
    count_refusal: Callable[[str], None] = lambda code: None
    """Told the code of what is refused here, which the application never sees."""


def to_connection_rules(settings: Settings, metrics: Metrics) -> ConnectionRules:
    """Return what the settings say of connections, whose refusals are counted."""
    return ConnectionRules(
        settings.header_timeout_ms / 1000,
        settings.upload_timeout_ms / 1000,
        count_refusal=metrics.count_refusal,
    )
