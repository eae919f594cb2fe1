"""Latency of every engine, in one interleaved run: `python -m benchmarks.latency` (`make bench`).

Each model runs in each engine in a process of its own, and is served by a service of its own; all
are up at once and take short turns, round after round. Batches and cold starts follow. Exit status
0: every target of the judged devices is met; 1: one is missed; 3: one could not be measured.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.engines import KINDS, Engine, find_models, list_engines
from benchmarks.interleaving import interleave, measure_interleaved
from benchmarks.latency_plots import plot_latency
from benchmarks.latency_report import (
    LEFT_OUT,
    Measured,
    Product,
    judge,
    to_markdown,
    to_report,
    write_page,
)
from benchmarks.network_process import AbsentEngineError, NetworkProcess
from benchmarks.request_client import RequestClient
from harness.documents import write_report
from harness.paths import DEFAULT_DATA_DIR, ROOT, SPEED_RESULTS_DIR
from harness.pictures import load_pictures, to_http_request
from harness.processes import read_memory_mb, reset_peak_memory
from harness.service_process import RunningService, ServiceFailedError, start_service
from harness.targets import to_exit_status

BATCHES = (1, 2, 4, 8)
WARM_REQUESTS, WARM_LIMIT_S = 20, 10.0
SETTLE_S = 1.0
Networks = Mapping[Engine, NetworkProcess]
Services = Mapping[Engine, tuple[RunningService, RequestClient]]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    batch_rounds: int
    starts: int
    limit_s: float
    most_calls: int = 10

    @property
    def turn(self) -> dict[str, Any]:
        """Return what `take_turn` is told."""
        return {"limit_s": self.limit_s, "most_calls": self.most_calls}


def open_networks(stack: ExitStack, found: Sequence[Measured], data_dir: Path) -> Networks:
    """Start each engine in a process of its own; note why, where one is absent."""
    networks = {}
    for each in tqdm(found, "loading networks", unit="engine"):
        try:
            started = NetworkProcess(each.engine, data_dir)
        except AbsentEngineError as error:
            each.absent = str(error)
        else:
            networks[each.engine] = stack.enter_context(started)
    return networks


def open_products(stack: ExitStack, networks: Networks, data_dir: Path) -> dict[str, Any]:
    """Start the chain of matrix products in each runtime that serves some network."""
    products = {}
    for kind in KINDS:
        hosts = [engine for engine in networks if engine.kind == kind and kind.is_served]
        if hosts:
            try:
                started = NetworkProcess(hosts[0], data_dir, is_product=True)
            except AbsentEngineError as error:
                print(f"no peak of {kind.name}: {error}", file=sys.stderr)
            else:
                products[kind] = stack.enter_context(started)
    return products


def start_for(engine: Engine) -> AbstractContextManager[RunningService]:
    """Return an engine's service, about to be started; it stores no answer."""
    kind = engine.kind
    return start_service(
        engine.model_dir, backend=kind.backend, precision=kind.precision, result_ttl_s="0"
    )


def open_services(
    stack: ExitStack, found: Sequence[Measured], requests: Sequence[bytes]
) -> Services:
    """Start a service for each engine that is here, warm it up, and note its idle memory."""
    services = {}
    present = [each for each in found if not each.absent and each.engine.kind.is_served]
    for each in tqdm(present, "starting services", unit="service"):
        try:
            service = stack.enter_context(start_for(each.engine))
        except ServiceFailedError as error:
            each.not_served = str(error)
            continue
        client = RequestClient(service, requests)
        client.take_turn(limit_s=WARM_LIMIT_S, most_calls=WARM_REQUESTS)
        client.forget()
        time.sleep(SETTLE_S)
        each.idle_memory_mb = read_memory_mb(service.pid)
        reset_peak_memory(service.pid)
        services[each.engine] = (service, client)
    return services


def measure_turns(
    found: Sequence[Measured],
    networks: Networks,
    services: Services,
    products: Mapping[Any, NetworkProcess],
    plan: Plan,
) -> list[Product]:
    """Let networks, requests and products take turns in the same rounds."""
    turns: dict[Any, Any] = {
        ("network", engine): partial(network.take_turn, **plan.turn)
        for engine, network in networks.items()
    }
    for engine, (_, client) in services.items():
        turns["request", engine] = partial(client.take_turn, **plan.turn)
    for kind, product in products.items():
        turns["product", kind] = partial(product.take_turn, **plan.turn)
    samples_ms = measure_interleaved(turns, plan.rounds)
    for each in found:
        each.network_ms = samples_ms.get(("network", each.engine), ())
        each.request_ms = samples_ms.get(("request", each.engine), ())
        if each.engine in services:
            service, client = services[each.engine]
            each.stages_ms = client.stages_ms
            each.peak_memory_mb = read_memory_mb(service.pid, "VmHWM")
    return [
        Product(kind, product.gflop, samples_ms["product", kind])
        for kind, product in products.items()
    ]


def measure_batches(found: Sequence[Measured], networks: Networks, plan: Plan) -> None:
    """Measure batches of the engines that are served, interleaved too."""
    turns = {
        (engine, size): partial(network.take_turn, batch=size, **plan.turn)
        for engine, network in networks.items()
        if engine.kind.is_served
        for size in BATCHES
    }
    samples_ms = measure_interleaved(turns, plan.batch_rounds)
    for each in found:
        each.batches_ms = {
            size: samples_ms[each.engine, size]
            for size in BATCHES
            if (each.engine, size) in samples_ms
        }


def measure_starts(found: Sequence[Measured], starts: int) -> None:
    """Start every service again, one at a time and in turns, with nothing else up."""
    served = {each.engine: each for each in found if each.request_ms}
    for engine in interleave(list(served), starts):
        with start_for(engine) as service:
            served[engine].ready_s = [*served[engine].ready_s, service.ready_s]


def measure(chosen: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    """Return the report of everything that is here."""
    words, pictures = load_pictures(chosen.data)
    requests = [to_http_request(picture) for picture in pictures]
    found = [Measured(engine) for engine in list_engines(find_models(chosen.models))]
    for each in found:
        each.absent = None if chosen.only in each.engine.name else LEFT_OUT
    wanted = [each for each in found if not each.absent]
    with ExitStack() as stack:
        networks = open_networks(stack, wanted, chosen.data)
        products = open_products(stack, networks, chosen.data)
        services = open_services(stack, wanted, requests)
        rates = measure_turns(wanted, networks, services, products, plan)
        measure_batches(wanted, networks, plan)
    measure_starts(wanted, plan.starts)
    return to_report(found, rates, pictures=words, rounds=plan.rounds)


def to_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="turns of each engine")
    parser.add_argument("--batch-rounds", type=int, default=5, help="turns of each batch size")
    parser.add_argument("--starts", type=int, default=5, help="cold starts of each service")
    parser.add_argument("--turn-s", type=float, default=0.5, help="about the length of a turn")
    parser.add_argument("--only", default="", help="only engines whose name has this in it")
    parser.add_argument("--judge", choices=("cpu", "gpu"), nargs="+", help="default: what is here")
    parser.add_argument(
        "--models", type=Path, default=ROOT / "models", help="folder of models beside the shipped"
    )
    parser.add_argument("--data", type=Path, default=Path(DEFAULT_DATA_DIR), help="HC18's folder")
    parser.add_argument(
        "--out", type=Path, default=SPEED_RESULTS_DIR, help="folder for the results"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    plan = Plan(chosen.rounds, chosen.batch_rounds, chosen.starts, chosen.turn_s)
    report = measure(chosen, plan)
    markdown = to_markdown(report)
    write_report(chosen.out / "latency.json", report)
    (chosen.out / "latency.md").write_text(markdown + "\n")
    plot_latency(report, chosen.out)
    if chosen.out == SPEED_RESULTS_DIR:
        write_page(markdown)
    print(markdown)
    here = {row["device"] for row in report["engines"] if row["network_ms"]}
    judged = set(chosen.judge or here | {"cpu"})
    verdicts = judge(report)
    return to_exit_status(each for each in verdicts if each.target.device in judged)


if __name__ == "__main__":
    sys.exit(main())
