"""Spans of a request and of its stages, whether or not anything records them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import FastAPI


@dataclass(frozen=True)
class Stage:
    """A stage of a request that has ended, on the clock of `time.perf_counter`."""

    name: str
    began_s: float
    duration_s: float


class Tracing(Protocol):
    """Records a span for each request and for each of its stages."""

    def install(self, app: FastAPI) -> None:
        """Put a span around every request of an application."""

    def record_stages(self, stages: Sequence[Stage]) -> None:
        """Add stages that have ended to the span of the current request."""

    def close(self) -> None:
        """Send the spans that are left; this may take some seconds."""


class NoTracing:
    """Records nothing; see `Tracing`."""

    def install(self, app: FastAPI) -> None:
        """See `Tracing`."""

    def record_stages(self, stages: Sequence[Stage]) -> None:
        """See `Tracing`."""

    def close(self) -> None:
        """See `Tracing`."""
