"""Explanations of kept analyses, made one after another in a thread of their own.

A measurement never waits in a queue for an explanation; the two share only CPU time. The explain
graph is loaded with the first request. This module does not draw.
"""

import time
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from headcirc.cpus import count_available_cpus
from headcirc.errors import InputError
from headcirc.explain import Explainer, Explanation
from headcirc.model.manifest import ExplainFacts
from headcirc.network_input import to_network_input
from headcirc.pipeline import Pipeline
from headcirc_service.admission.renderers import MOST_RENDERERS, Renderers
from headcirc_service.admission.workers import Ticket, Workers
from headcirc_service.errors import AnalysisNotFoundError, ExplanationNotFoundError
from headcirc_service.results.store import Cache
from headcirc_service.results.stored_analysis import StoredAnalysis
from headcirc_service.settings import Settings
from headcirc_service.telemetry.metrics import Metrics

KEPT_MAX_BYTES = 32_000_000
"""About thirty explanations at 256 x 256: the page requests several pictures of each analysis."""

MOST_WAITING = 16
"""Requests for explanations at work or waiting; one takes most of a second on two CPUs."""


class Explanations:
    """Makes explanations, and keeps the latest; see the module.

    Parameters
    ----------
    pipeline : Pipeline
        The pipeline that measures; its model may have no explain graph.
    settings : Settings
    metrics : Metrics
    capacity : int
        Requests at work or waiting; more are refused.
    """

    def __init__(
        self, pipeline: Pipeline, settings: Settings, metrics: Metrics, *, capacity: int
    ) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
        threads = settings.threads or count_available_cpus()
        self._explainer = Explainer(pipeline.manifest, pipeline.backend.name, threads=threads)
        timeout_s = settings.request_timeout_ms / 1000
        self._workers = Workers(1, capacity=capacity, timeout_s=timeout_s, thread_name="explain")
        places = min(MOST_RENDERERS, capacity)
        self.renderers = Renderers(
            places, capacity=min(MOST_WAITING, capacity) - places, timeout_s=timeout_s
        )
        # Only the one thread uses it. An expired analysis has no id by which it could be found.
        self._kept: Cache[Explanation] = Cache(
            ttl_s=settings.result_ttl_s, max_bytes=KEPT_MAX_BYTES
        )

    def require_facts(self) -> ExplainFacts:
        """Return the facts of the explain graph.

        Raises
        ------
        ExplanationNotFoundError
            The model has no explain graph.
        """
        facts = self._pipeline.manifest.explain
        if facts is None:
            raise ExplanationNotFoundError(
                f"The model {self._pipeline.manifest.name!r} ships no explain graph, so there are "
                "no saliency and no attention maps; the list of models shows which layers there "
                "are."
            )
        return facts

    def require_layer(self, layer: str | None) -> str:
        """Return the requested layer, or the default one.

        Raises
        ------
        ExplanationNotFoundError, InputError
        """
        facts = self.require_facts()
        if layer is not None and layer not in facts.layers:
            raise InputError(f"The layer is unknown; known are {', '.join(facts.layers)}.")
        return layer or facts.default_layer

    def require_level(self, level: int) -> int:
        """Return the requested level.

        Raises
        ------
        ExplanationNotFoundError, InputError
        """
        levels = self.require_facts().attention_levels
        if not levels:
            raise ExplanationNotFoundError(
                f"The model {self._pipeline.manifest.name!r} has no attention gates."
            )
        if level not in levels:
            raise InputError(f"The level is unknown; known are {', '.join(map(str, levels))}.")
        return level

    async def explain(
        self, stored: StoredAnalysis, wait_until_gone: Callable[[], Awaitable[None]]
    ) -> Explanation:
        """Explain a kept analysis, from its 8-bit frame.

        Raises
        ------
        AnalysisNotFoundError
            Another model made it, as can happen while replicas that share a store are updated.
        OverloadedError, RequestTimeoutError, ClientLeftError
        """
        made_by, manifest = stored.body.model, self._pipeline.manifest
        if (made_by.name, made_by.version) != (manifest.name, manifest.version):
            raise AnalysisNotFoundError(
                "The analysis of that id was made by another model than is served here; post the "
                "picture again."
            )
        return await self._workers.run(
            lambda ticket: self._explain(stored, ticket), wait_until_gone
        )

    def _explain(self, stored: StoredAnalysis, _ticket: Ticket) -> Explanation:
        known = self._kept.get(stored.body.id)
        if known is not None:
            return known
        began_s = time.perf_counter()
        facts, aspect = self._pipeline.manifest.input, stored.pixel_aspect
        explanation = self._explainer.explain(
            *to_network_input(stored.pixels, facts, frame_pixel_aspect=aspect)
        )
        self._metrics.stage_duration.labels("explain").observe(time.perf_counter() - began_s)
        self._kept.put(stored.body.id, explanation)
        return explanation

    async def close(self) -> None:
        """Finish the work that has started and take no more."""
        await self._workers.close()
        await self.renderers.close()
        self._kept.clear()


def find_saliency_map(
    stored: StoredAnalysis, explanation: Explanation, layer: str
) -> NDArray[np.float32]:
    """Return a layer's map of an analysis.

    Returns
    -------
    (rows, columns) float32 in [0, 1], frame grid
        0 everywhere if no head was found, because then there is nothing to explain.
    """
    if stored.body.head is None:
        return np.zeros(stored.pixels.shape, np.float32)
    return explanation.to_saliency_map(layer)
