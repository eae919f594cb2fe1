"""The service as a Ray Serve deployment: `build` makes it, for `serve run` and `serve deploy`.

Each replica runs the plain service's application in a process of its own, with the plain service's
settings (`HEADCIRC_*`), queue and refusals. Serve only routes requests to it and counts them.
"""

import logging
import math

from fastapi import FastAPI
from headcirc_service.admission.arrivals import BODIES_PER_PLACE
from headcirc_service.app import create_app
from headcirc_service.measuring.measurer import GPU_BATCH, PLACES_PER_PICTURE
from headcirc_service.settings import Settings, load_settings
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt
from ray import serve
from ray.serve import Application

NAME = "headcirc"
READS = 64
"""Places for requests without a body: reads of results, probes, scrapes."""
DRAIN_S = 20.0
"""The plain service waits as long for requests in flight."""


class Sizes(BaseModel):
    """Number and size of the replicas; the `args` of a Serve config.

    Attributes
    ----------
    min_replicas, max_replicas : int
    target_requests : float
        Requests in flight per replica that the autoscaler aims at.
    cpus, gpus : float
        CPUs and GPUs of one replica; fractions share one. Whole CPUs limit the network's threads.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: PositiveInt = 1
    max_replicas: PositiveInt = 1
    target_requests: PositiveFloat = 2.0
    cpus: PositiveFloat = 1.0
    gpus: NonNegativeFloat = 0.0


class Replica:
    """One process that runs the service.

    Parameters
    ----------
    cpus : float
        Ray only counts them; this class limits the network's threads to them.
    """

    def __init__(self, cpus: float) -> None:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
        settings = load_settings()
        threads = settings.threads or max(1, math.floor(cpus))
        self._service = create_app(settings.model_copy(update={"threads": threads}))

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the application; Serve calls this once, after `__init__`."""
        return self._service

    async def check_health(self) -> None:
        """Raise while the network fails, as `/readyz` does; Serve then replaces the replica."""
        measurer = self._service.state.measurer
        if measurer is not None and measurer.batcher.failure is not None:
            measurer.require_ready()


def build(sizes: Sizes) -> Application:
    """Return the Serve application, without loading the model.

    Raises
    ------
    ValueError
        The settings are invalid, or several replicas would not share their results.
    """
    settings = load_settings()
    require_shared_results(sizes, settings)
    # The device of a replica is not known here, so assume the larger queue, that of a GPU.
    queue = settings.queue_capacity or PLACES_PER_PICTURE * (settings.max_batch or GPU_BATCH)
    places = BODIES_PER_PLACE * queue + READS
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name=NAME,
        ray_actor_options={"num_cpus": sizes.cpus, "num_gpus": sizes.gpus},
        # More than the service accepts, so that its own queue and gate refuse with its messages.
        max_ongoing_requests=places,
        max_queued_requests=places,
        backpressure_config={"status_code": 429, "retry_after_s": 1.0},
        autoscaling_config={
            "min_replicas": sizes.min_replicas,
            "max_replicas": sizes.max_replicas,
            "target_ongoing_requests": sizes.target_requests,
        },
        graceful_shutdown_timeout_s=DRAIN_S,
        logging_config={
            "enable_access_log": False
        },  # it has paths; the service's own log has routes
    )
    return deployment.bind(sizes.cpus)


def require_shared_results(sizes: Sizes, settings: Settings) -> None:
    """Refuse several replicas that do not share their results.

    Raises
    ------
    ValueError
    """
    if sizes.max_replicas > 1 and settings.store_url is None and settings.result_ttl_s > 0:
        raise ValueError(
            f"{sizes.max_replicas} replicas would each keep their own results, so a link to one "
            "could reach a replica without it. Name a Redis in HEADCIRC_STORE_URL, or keep no "
            "results with HEADCIRC_RESULT_TTL_S=0."
        )
