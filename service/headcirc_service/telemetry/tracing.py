"""Choose what records the spans of requests: nothing, or OpenTelemetry."""

from importlib.util import find_spec

from headcirc_service.settings import Settings
from headcirc_service.telemetry.spans import NoTracing, Tracing


def open_tracing(settings: Settings) -> Tracing:
    """Return the tracing that the settings name; nothing is connected yet.

    Raises
    ------
    ValueError
        A collector is named, but OpenTelemetry's packages are not installed.
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
