"""The gateway's metrics, which Prometheus reads."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headcirc.gateway.queue import Queue
from headcirc.gateway.settings import MetricsAddress


class QueueCollector(Collector):
    """Reads the queue when somebody asks for the metrics."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """Yield what is in the queue."""
        counts = self._queue.count()
        images = GaugeMetricFamily(
            "headcirc_gateway_images", "images that are remembered, by state", labels=["state"]
        )
        for state, number in counts.images.items():
            images.add_metric([state], number)
        yield images
        deliveries = GaugeMetricFamily(
            "headcirc_gateway_deliveries",
            "reports that are remembered, by destination and state",
            labels=["destination", "state"],
        )
        for place, number in counts.deliveries.items():
            deliveries.add_metric(list(place), number)
        yield deliveries
        yield GaugeMetricFamily(
            "headcirc_gateway_unacknowledged_images",
            "images that are kept and whose sender was not told",
            value=counts.received - counts.acknowledged,
        )
        yield GaugeMetricFamily(
            "headcirc_gateway_queue_bytes",
            "size of the images that are not delivered",
            value=counts.live_bytes,
        )
        yield GaugeMetricFamily(
            "headcirc_gateway_oldest_age_seconds",
            "age of the oldest image that is not delivered",
            value=counts.oldest_age_s,
        )


class GatewayMetrics:
    """Counters of this process, and the queue's state."""

    def __init__(self, queue: Queue) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(QueueCollector(queue))
        self.stores = Counter(
            "headcirc_gateway_stores",
            "requests to store an image, by outcome",
            ["outcome"],
            registry=self.registry,
        )
        self.worker_starts = Counter(
            "headcirc_gateway_worker_starts",
            "starts of the worker process; more than one says that it ended",
            registry=self.registry,
        )

    def serve(self, address: MetricsAddress) -> None:
        """Answer Prometheus in a thread; with port 0 nobody is answered."""
        if address.port:
            start_http_server(address.port, address.host, registry=self.registry)
