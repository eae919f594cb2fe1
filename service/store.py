"""Results that a caller may come back for, kept in this process by time and by bytes."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from headcirc.pipeline import Analysis
from service.schemas import AnalysisBody


@dataclass(frozen=True)
class StoredAnalysis:
    """An answer and what is needed to draw on its frame."""

    body: AnalysisBody
    analysis: Analysis

    def count_bytes(self) -> int:
        """Return roughly how much memory it holds."""
        mask_bytes = 0 if self.analysis.head is None else self.analysis.head.mask.pixels.nbytes
        return self.analysis.frame.pixels.nbytes + mask_bytes + 2_000


class AnalysisStore:
    """Keep results for a time, the oldest leaving first when the bytes run out."""

    def __init__(
        self, *, ttl_s: float, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, StoredAnalysis]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def put(self, analysis_id: str, stored: StoredAnalysis) -> None:
        """Keep a result, unless nothing is to be kept or it alone is too large."""
        size_bytes = stored.count_bytes()
        if self._ttl_s <= 0 or size_bytes > self._max_bytes:
            return
        with self._lock:
            self._drop(analysis_id)
            self._entries[analysis_id] = (self._clock() + self._ttl_s, stored)
            self._bytes += size_bytes
            self._drop_expired()
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def get(self, analysis_id: str) -> StoredAnalysis | None:
        """Return a result that has not expired, or None."""
        with self._lock:
            self._drop_expired()
            entry = self._entries.get(analysis_id)
            return None if entry is None else entry[1]

    def _drop_expired(self) -> None:
        # Every result lives equally long, so the order of entry is the order of expiry.
        now = self._clock()
        while self._entries and next(iter(self._entries.values()))[0] <= now:
            self._drop(next(iter(self._entries)))

    def _drop(self, analysis_id: str) -> None:
        entry = self._entries.pop(analysis_id, None)
        if entry is not None:
            self._bytes -= entry[1].count_bytes()
