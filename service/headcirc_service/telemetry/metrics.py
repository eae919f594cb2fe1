"""Prometheus metrics. No label ever holds an id, a name or free text."""

import math
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from headcirc.backends.gpu import call, load_cuda
from headcirc.errors import BackendUnavailableError
from headcirc.pipeline import Pipeline

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BUCKETS = (1, 2, 4, 8, 16)


class Metrics:
    """All metrics of one application; each has its own registry, so that tests share no counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, CPU time, open file descriptors
        self._create_request_metrics()
        self._create_measurement_metrics()
        self._create_result_metrics()

    def _create_request_metrics(self) -> None:
        """Create what counts requests and refusals."""
        self.request_duration = Histogram(
            "headcirc_request_duration_seconds",
            "Time from the headers of the request to the last byte of the answer.",
            ["route", "method", "status"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "headcirc_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.rejected = Counter(
            "headcirc_rejected_total",
            "Requests refused, by problem code.",
            ["reason"],
            registry=self.registry,
        )

    def _create_measurement_metrics(self) -> None:
        """Create what describes the work of the network and around it."""
        self.stage_duration = Histogram(
            "headcirc_stage_duration_seconds",
            "Time in one stage of a measurement.",
            ["stage"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "headcirc_queue_depth",
            "Measurements at work or waiting, and uploads that arrive.",
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "headcirc_batch_size",
            "Pictures that ran through the network together.",
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self.model_info = Gauge(
            "headcirc_model_info",
            "1 for the served model.",
            ["name", "version", "backend", "precision"],
            registry=self.registry,
        )

    def _create_result_metrics(self) -> None:
        """Create what counts results: warnings, frames of cines, reads of kept ones."""
        self.quality_warnings = Counter(
            "headcirc_quality_warnings_total",
            "Warnings given with answers.",
            ["code"],
            registry=self.registry,
        )
        self.cine_frames = Counter(
            "headcirc_cine_frames_total",
            "Frames of cines, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.store_reads = Counter(
            "headcirc_store_reads_total",
            "Lookups in the store of results, by outcome.",
            ["outcome"],
            registry=self.registry,
        )

    def set_model(self, pipeline: Pipeline) -> None:
        """Set the labels that name the served model."""
        manifest, backend = pipeline.manifest, pipeline.backend
        self.model_info.labels(
            manifest.name, manifest.version, backend.name, backend.precision
        ).set(1)
        if backend.device != "cpu":
            Gauge(
                "headcirc_gpu_memory_used_bytes",
                "Memory in use on the GPU that measures, by all processes.",
                registry=self.registry,
            ).set_function(read_gpu_memory_used_bytes)

    def count_refusal(self, code: str) -> None:
        """Count one refused request by the code of its problem."""
        self.rejected.labels(code).inc()

    def count_analysis(self, timing_ms: Mapping[str, float], warnings: Iterable[str]) -> None:
        """Count the stages and the warnings of one measurement."""
        for stage, duration_ms in timing_ms.items():
            if stage != "total":
                self.stage_duration.labels(stage).observe(duration_ms / 1000)
        self._count_warnings(warnings)

    def count_cine_frame(self, outcome: str, warnings: Iterable[str]) -> None:
        """Count one frame of a cine: `acceptable`, `not-acceptable`, `no-head`, `unreadable`."""
        self.cine_frames.labels(outcome).inc()
        self._count_warnings(warnings)

    def _count_warnings(self, warnings: Iterable[str]) -> None:
        for code in warnings:
            self.quality_warnings.labels(code).inc()


def read_gpu_memory_used_bytes() -> float:
    """Return how much GPU memory is in use; NaN while CUDA does not answer."""
    try:
        free_bytes, total_bytes = call(load_cuda(), "cudaMemGetInfo")
    except BackendUnavailableError:  # the other metrics must still be readable
        return math.nan
    return float(total_bytes - free_bytes)
