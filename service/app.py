"""The composition root: settings and model in, application out. Everything is built here, once."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import headcirc
from headcirc.pipeline import Pipeline, load_pipeline
from service.gate import Gate
from service.measurer import Measurer
from service.metrics import Metrics
from service.middleware import RequestFrame
from service.problems import install_problem_handlers
from service.routes import router
from service.settings import Settings, load_settings, to_public_settings

logger = logging.getLogger("headcirc.service")
DESCRIPTION = """Measure fetal head circumference in a 2-D ultrasound image.

Research use only: this is not a medical device. A physical number that could not be measured is
`null`, with a warning that says why."""


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
        The model or the settings cannot be used; the message says why.
    """
    if settings is None:
        settings = load_settings()
    loaded = pipeline or load_pipeline(
        settings.artifact_dir,
        backend=settings.backend,
        precision=settings.precision,
        threads=settings.threads or None,
        maximum_pixels=settings.max_pixels,
    )
    metrics = Metrics()
    metrics.tell_model(loaded)
    measurer = Measurer(loaded, settings, metrics)

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        app.state.measurer = measurer
        logger.info("settings: %s", to_public_settings(settings))
        logger.info("backend: %s %s", loaded.backend.name, loaded.backend.precision)
        yield
        app.state.measurer = None
        measurer.close()

    app = FastAPI(
        title="Headcirc", version=headcirc.__version__, description=DESCRIPTION, lifespan=live
    )
    app.state.settings, app.state.metrics = settings, metrics
    app.include_router(router)
    install_problem_handlers(app)
    app.add_middleware(
        Gate,
        require_room=measurer.require_room,
        max_upload_bytes=settings.max_upload_bytes,
        upload_timeout_ms=settings.upload_timeout_ms,
        queue_capacity=settings.queue_capacity,
    )
    app.add_middleware(RequestFrame, metrics=metrics)  # added last: the outermost
    return app
