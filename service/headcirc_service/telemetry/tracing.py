"""Where the stages of a request are told while it is answered: nowhere, or to OpenTelemetry."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from fastapi import FastAPI

from headcirc_service.settings import Settings


@dataclass(frozen=True)
class Stage:
    """A part of a request, on `time.perf_counter`'s clock."""

    name: str
    began_s: float
    duration_s: float


class Tracing(Protocol):
    """Spans around requests, and inside them."""

    def install(self, app: FastAPI) -> None:
        """Put a span around every request of an application."""

    def tell_stages(self, stages: Sequence[Stage]) -> None:
        """Add stages that are over to the request that is being answered."""

    def close(self) -> None:
        """Send what is left; this may take a while."""


class NoTracing:
    """Nobody is told; see `Tracing`."""

    def install(self, app: FastAPI) -> None:
        """See `Tracing`."""

    def tell_stages(self, stages: Sequence[Stage]) -> None:
        """See `Tracing`."""

    def close(self) -> None:
        """See `Tracing`."""


def open_tracing(settings: Settings) -> Tracing:
    """Return what the settings name; nothing is connected yet.

    Raises
    ------
    ValueError
        A collector is named and OpenTelemetry's packages are missing.
    """
    if settings.otlp_endpoint is None:
        return NoTracing()
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ValueError(
            "HEADCIRC_OTLP_ENDPOINT is set and OpenTelemetry is missing; install it with: "
            "pip install 'headcirc[otel]'"
        )
    from headcirc_service.telemetry.otlp import OtlpTracing  # noqa: PLC0415 - an extra, imported when chosen

    return OtlpTracing(str(settings.otlp_endpoint))
