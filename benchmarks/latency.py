"""Measure the latency of every engine: `python -m benchmarks.latency` (`make bench`).

Each model runs in each engine in a separate process, and in a separate service. All of them run at
the same time and take short turns in rounds. Then the command measures batches and cold starts.

Exit status 0: every target of the judged devices is met; 1: a target is missed; 3: a target could
not be measured.
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

from benchmarks.comparison import PEER_KIND, Compared
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
from benchmarks.peers import PEERS, Peer
from benchmarks.request_client import RequestClient
from harness.documents import write_report
from harness.options import add_folder_options
from harness.paths import ROOT, SPEED_RESULTS_DIR
from harness.pictures import load_pictures, to_http_request
from harness.processes import read_memory_mb, reset_peak_memory
from harness.service_process import RunningService, ServiceFailedError, start_service
from harness.targets import to_exit_status
from headcirc.pipeline import SHIPPED_MODEL_DIR

BATCHES = (1, 2, 4, 8)
WARM_REQUESTS, WARM_LIMIT_S = 20, 10.0
SETTLE_S = 1.0
TUTORIAL = ("uvicorn", "benchmarks.tutorial_server:app")
Networks = Mapping[Engine, NetworkProcess]
Services = Mapping[Engine, tuple[RunningService, RequestClient]]


@dataclass(frozen=True)
class Plan:
    """The number and length of the turns."""

    rounds: int
    batch_rounds: int
    starts: int
    limit_s: float
    most_calls: int = 10

    @property
    def turn(self) -> dict[str, Any]:
        """Return the keyword arguments of `take_turn`."""
        return {"limit_s": self.limit_s, "most_calls": self.most_calls}


def open_networks(stack: ExitStack, found: Sequence[Measured], data_dir: Path) -> Networks:
    """Start a process for each engine; note the reason if an engine is not available."""
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
    """Start the chain of matrix products in each runtime that serves a network."""
    products = {}
    for kind in KINDS:
        hosts = [engine for engine in networks if engine.kind == kind and kind.is_served]
        if hosts:
            try:
                started = NetworkProcess(hosts[0], data_dir, is_product=True)
            except AbsentEngineError as error:
                print(f"The peak of {kind.name} was not measured: {error}", file=sys.stderr)
            else:
                products[kind] = stack.enter_context(started)
    return products


def open_peers(stack: ExitStack, data_dir: Path) -> dict[Peer, NetworkProcess]:
    """Start a process for each public network that the shipped one is compared with."""
    networks = {}
    for peer in tqdm(PEERS, "loading peers", unit="network"):
        try:
            started = NetworkProcess(Engine(SHIPPED_MODEL_DIR, PEER_KIND), data_dir, peer=peer)
        except AbsentEngineError as error:
            print(f"{peer.name} was not measured: {error}", file=sys.stderr)
        else:
            networks[peer] = stack.enter_context(started)
    return networks


def open_tutorial(stack: ExitStack, requests: Sequence[bytes]) -> RequestClient | None:
    """Start the server of the usual tutorial kind and warm it up; None if it cannot run."""
    try:
        service = stack.enter_context(start_service(SHIPPED_MODEL_DIR, program=TUTORIAL))
    except ServiceFailedError as error:
        print(f"The tutorial's server was not measured: {error}", file=sys.stderr)
        return None
    client = RequestClient(service, requests)
    client.take_turn(limit_s=WARM_LIMIT_S, most_calls=WARM_REQUESTS)
    return client


def start_for(engine: Engine) -> AbstractContextManager[RunningService]:
    """Return the context manager that starts the engine's service without stored results."""
    kind = engine.kind
    return start_service(
        engine.model_dir, backend=kind.backend, precision=kind.precision, result_ttl_s="0"
    )


def open_services(
    stack: ExitStack, found: Sequence[Measured], requests: Sequence[bytes]
) -> Services:
    """Start and warm up a service for each available engine, and note its idle memory."""
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
    compared: Compared,
    *,
    plan: Plan,
) -> list[Product]:
    """Measure networks, requests, matrix products and what they are compared with, in rounds."""
    turns: dict[Any, Any] = {
        ("network", engine): partial(network.take_turn, **plan.turn)
        for engine, network in networks.items()
    }
    for engine, (_, client) in services.items():
        turns["request", engine] = partial(client.take_turn, **plan.turn)
    for kind, product in products.items():
        turns["product", kind] = partial(product.take_turn, **plan.turn)
    turns |= compared.to_turns(**plan.turn)
    samples_ms = measure_interleaved(turns, plan.rounds)
    compared.keep(samples_ms)
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
    """Measure batches on the served engines, also interleaved."""
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
    """Measure cold starts: start the services one at a time, in turns."""
    served = {each.engine: each for each in found if each.request_ms}
    for engine in interleave(list(served), starts):
        with start_for(engine) as service:
            served[engine].ready_s = [*served[engine].ready_s, service.ready_s]


def measure(chosen: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    """Measure all available engines and return the report."""
    source, pictures = load_pictures(chosen.data)
    requests = [to_http_request(picture) for picture in pictures]
    found = [
        Measured(engine)
        for engine in list_engines(find_models(chosen.models, has_shipped=chosen.shipped))
    ]
    for each in found:
        is_chosen = any(part in each.engine.name for part in chosen.only)
        each.absent = None if is_chosen else LEFT_OUT
    selected = [each for each in found if not each.absent]
    with ExitStack() as stack:
        networks = open_networks(stack, selected, chosen.data)
        products = open_products(stack, networks, chosen.data)
        services = open_services(stack, selected, requests)
        compared = Compared()
        if chosen.peers:
            compared = Compared(open_peers(stack, chosen.data), open_tutorial(stack, requests))
        rates = measure_turns(selected, networks, services, products, compared, plan=plan)
        measure_batches(selected, networks, plan)
    measure_starts(selected, plan.starts)
    report = to_report(found, rates, pictures=source, rounds=plan.rounds)
    return report | {"comparison": compared.to_facts()}


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="turns per engine")
    parser.add_argument("--batch-rounds", type=int, default=5, help="turns per batch size")
    parser.add_argument("--starts", type=int, default=5, help="cold starts per service")
    parser.add_argument("--turn-s", type=float, default=0.5, help="approximate length of a turn")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="TEXT",
        help="measure only engines whose name contains one of these",
    )
    parser.add_argument(
        "--no-peers",
        dest="peers",
        action="store_false",
        help="leave out public networks and the tutorial's server",
    )
    parser.add_argument(
        "--judge", choices=("cpu", "gpu"), nargs="+", help="default: the measured devices"
    )
    parser.add_argument(
        "--models", type=Path, default=ROOT / "models", help="folder of the other models"
    )
    parser.add_argument(
        "--no-shipped",
        dest="shipped",
        action="store_false",
        help="measure only the models of --models",
    )
    add_folder_options(parser, SPEED_RESULTS_DIR)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, print the table; return the exit status."""
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
    devices = {row["device"] for row in report["engines"] if row["network_ms"]}
    judged = set(chosen.judge or devices | {"cpu"})
    verdicts = judge(report)
    return to_exit_status(each for each in verdicts if each.target.device in judged)


if __name__ == "__main__":
    sys.exit(main())
