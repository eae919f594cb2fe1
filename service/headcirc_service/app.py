"""The composition root: builds the application from the settings and the model, once."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import Lifespan
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import headcirc
from headcirc.pipeline import Pipeline, load_pipeline
from headcirc_service.allocator import keep_freed_memory
from headcirc_service.http.cine_routes import router as cine_router
from headcirc_service.http.correction_routes import router as correction_router
from headcirc_service.http.explain_routes import router as explain_router
from headcirc_service.http.form import MAXIMUM_FIELD_BYTES, MAXIMUM_FIELDS
from headcirc_service.http.gate import Gate
from headcirc_service.http.growth_routes import router as growth_router
from headcirc_service.http.middleware import FailureGuard, RequestFrame
from headcirc_service.http.pages import router as pages_router
from headcirc_service.http.problems import install_problem_handlers
from headcirc_service.http.protocol import STATE_NAME, ConnectionLimits, to_connection_limits
from headcirc_service.http.report_routes import router as report_router
from headcirc_service.http.routes import router as measuring_router
from headcirc_service.lifecycle import delay_shutdown
from headcirc_service.measuring.measurer import Measurer
from headcirc_service.results.store import open_store
from headcirc_service.settings import Settings, load_settings, to_public_settings
from headcirc_service.telemetry.logs import use_log_format
from headcirc_service.telemetry.metrics import Metrics
from headcirc_service.telemetry.spans import Tracing
from headcirc_service.telemetry.tracing import open_tracing

logger = logging.getLogger("headcirc.service")
# The form parser's warnings quote the form, which may hold a patient's data.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
DESCRIPTION = """Measure fetal head circumference in a 2-D ultrasound image.

Research use only: this is not a medical device. A physical number that could not be measured is
`null`, with a warning that says why."""
ROUTERS = (
    measuring_router,
    correction_router,
    cine_router,
    report_router,
    explain_router,
    growth_router,
    pages_router,
)


@dataclass(frozen=True)
class Components:
    """The parts of an application, built once and in this order."""

    settings: Settings
    metrics: Metrics
    tracing: Tracing
    measurer: Measurer


def create_app(settings: Settings | None = None, pipeline: Pipeline | None = None) -> FastAPI:
    """Build the service.

    Parameters
    ----------
    settings : Settings, optional
        By default from the environment.
    pipeline : Pipeline, optional
        By default loaded and warmed from the settings, before anything is served.

    Raises
    ------
    HeadCircumferenceError, ValueError
        The model or the settings cannot be used; the message gives the reason.
    """
    settings = settings or load_settings()
    use_log_format(settings.log_format)
    keep_freed_memory()
    components = build_components(settings, pipeline or load_chosen_pipeline(settings))
    app = FastAPI(
        title="Headcirc",
        version=headcirc.__version__,
        description=DESCRIPTION,
        lifespan=to_lifespan(components),
        servers=[{"url": ".", "description": "Where this document was read, under any path"}],
        docs_url=None,  # `http.pages` serves it, without files of another host
        redoc_url=None,
        redirect_slashes=False,  # its Location would repeat the caller's Host header
        form_limits={
            "max_files": 1,
            "max_fields": MAXIMUM_FIELDS,
            "max_part_size": MAXIMUM_FIELD_BYTES,
        },
    )
    app.state.settings, app.state.metrics = components.settings, components.metrics
    for each in ROUTERS:
        app.include_router(each)
    install_problem_handlers(app)
    add_middleware(app, components)
    if not settings.api_key_hashes:
        app.openapi = partial(describe_without_keys, app)  # type: ignore[method-assign]
    return app


def describe_without_keys(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of a service that needs no key."""
    document = FastAPI.openapi(app)
    document["components"].pop("securitySchemes", None)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    return document


def load_chosen_pipeline(settings: Settings) -> Pipeline:
    """Load and warm up the model that the settings name."""
    return load_pipeline(
        settings.artifact_dir,
        backend=settings.backend,
        precision=settings.precision,
        threads=settings.threads or None,
        maximum_pixels=settings.max_pixels,
        site_file=settings.site_file,
        is_shared=True,
    )


def build_components(settings: Settings, pipeline: Pipeline) -> Components:
    """Build the parts that the routes and the middleware share."""
    metrics = Metrics()
    metrics.set_model(pipeline)
    tracing = open_tracing(settings)
    store = open_store(settings)
    measurer = Measurer(pipeline, settings, metrics, store, record_stages=tracing.record_stages)
    return Components(settings, metrics, tracing, measurer)


def to_lifespan(components: Components) -> Lifespan[FastAPI]:
    """Return the lifespan: log what runs, catch SIGTERM, and close everything at the end."""
    settings, measurer = components.settings, components.measurer

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[dict[str, ConnectionLimits]]:
        app.state.measurer = measurer
        backend = measurer.pipeline.backend
        logger.info("settings: %s", to_public_settings(settings))
        logger.info("backend: %s %s", backend.name, backend.precision)
        if measurer.pipeline.site is not None:
            logger.info("site: %s", measurer.pipeline.site.describe())
        with delay_shutdown(measurer.begin_shutdown, drain_s=settings.drain_ms / 1000):
            yield {STATE_NAME: to_connection_limits(settings, components.metrics)}
        app.state.measurer = None
        await measurer.close()
        await asyncio.to_thread(components.tracing.close)

    return live


def add_middleware(app: FastAPI, components: Components) -> None:
    """Add the middleware of every request; the last one added is the outermost."""
    settings = components.settings
    routes = [route for router in ROUTERS for route in router.routes]
    app.add_middleware(Gate, settings=settings, measurer=components.measurer, routes=routes)
    if settings.trusted_gateways:
        trusted = list(settings.trusted_gateways)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)
    components.tracing.install(app)
    app.add_middleware(FailureGuard)
    if settings.cors_origins:
        # Outside the layers that refuse or fail, so that the page can read their answers too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "If-Match", "X-Request-ID", "traceparent"],
            expose_headers=["ETag", "Location", "Retry-After", "X-Request-ID"],
        )
    app.add_middleware(RequestFrame, metrics=components.metrics)


def create_public_app() -> FastAPI:
    """Build the service for an address that others can reach; warn if it needs no key."""
    settings = load_settings()
    app = create_app(settings)
    if not settings.api_key_hashes:
        logger.warning(
            "THIS SERVICE IS OPEN TO EVERYBODY who can reach it: it listens beyond this machine "
            "and HEADCIRC_API_KEY_HASHES is not set. Set it, or put a reverse proxy in front."
        )
    return app
