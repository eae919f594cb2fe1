"""Compare whole requests of an earlier revision with the present code, in one interleaved run.

`python -m benchmarks.before_after REVISION` exports that revision of the repository, starts the
service of both and lets them take turns with the same pictures. Each uses the model that it ships;
`--same-model` gives the present model to both. The CPU time of each process is a second measure,
which other work on the machine disturbs less.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.interleaving import measure_interleaved, summarise
from benchmarks.latency_table import STAGES
from benchmarks.request_client import RequestClient
from harness.documents import write_report
from harness.machine import describe_machine, to_timestamp
from harness.options import add_folder_options
from harness.paths import ROOT, SPEED_RESULTS_DIR
from harness.pictures import load_pictures, to_http_request
from harness.processes import read_cpu_s
from harness.service_process import RunningService, start_service
from headcirc.pipeline import SHIPPED_MODEL_DIR

SCHEMA_VERSION = 1
COMMAND = "python -m benchmarks.before_after"
NAMES = ("before", "after")
NETWORK = "inference"
TURN: Mapping[str, Any] = {"limit_s": 1.0, "most_calls": 20}


class Side:
    """One of the two services, with its client and the CPU time of its turns."""

    def __init__(self, service: RunningService, requests: Sequence[bytes]) -> None:
        self._service = service
        self.client = RequestClient(service, requests)
        self.cpu_s, self.requests = 0.0, 0

    def take_turn(self) -> list[float]:
        """Return the milliseconds of a few requests; untimed ones count for the CPU time too."""
        before_s, asked = read_cpu_s(self._service.pid), self.client.asked
        samples_ms = self.client.take_turn(**TURN)
        self.cpu_s += read_cpu_s(self._service.pid) - before_s
        self.requests += self.client.asked - asked
        return samples_ms


@contextmanager
def export_revision(revision: str) -> Iterator[Path]:
    """Write the files of a revision into a temporary folder.

    Raises
    ------
    subprocess.CalledProcessError
        Git does not know the revision.
    """
    packed = subprocess.run(
        ["git", "archive", revision],  # noqa: S607 - wherever the caller has it
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(name, filter="data")
        yield Path(name)


def to_facts(side: Side, samples_ms: Sequence[float]) -> dict[str, Any]:
    """Return the figures of one side as JSON data."""
    stages_ms = {name: summarise(each) for name, each in side.client.stages_ms.items()}
    medians_ms = {name: each["p50"] for name, each in stages_ms.items() if each}
    around_ms = [
        whole - network
        for whole, network in zip(samples_ms, side.client.stages_ms[NETWORK], strict=True)
    ]
    return {
        "request_ms": summarise(samples_ms),
        "around_network_ms": summarise(around_ms),
        "stages_ms": medians_ms,
        "cpu_ms_per_request": 1000 * side.cpu_s / side.requests,
    }


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides in the same rounds and return the report."""
    source, pictures = load_pictures(chosen.data)
    requests = [to_http_request(picture) for picture in pictures]
    settings = {"backend": chosen.backend, "precision": chosen.precision, "result_ttl_s": "0"}
    with ExitStack() as stack:
        old_dir = stack.enter_context(export_revision(chosen.revision))
        shipped = SHIPPED_MODEL_DIR.relative_to(ROOT)
        old_model = SHIPPED_MODEL_DIR if chosen.same_model else old_dir / shipped
        places = (old_dir, old_model), (ROOT, SHIPPED_MODEL_DIR)
        sides = {}
        for name, (source_dir, model_dir) in zip(NAMES, places, strict=True):
            started = start_service(model_dir, source_dir=source_dir, **settings)
            sides[name] = Side(stack.enter_context(started), requests)
        for side in sides.values():
            side.client.take_turn(limit_s=10.0, most_calls=20)
            side.client.forget()
        turns = {name: partial(side.take_turn) for name, side in sides.items()}
        samples_ms = measure_interleaved(turns, chosen.rounds)
    found = {name: to_facts(side, samples_ms[name]) for name, side in sides.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "command": f"{COMMAND} {chosen.revision}",
        "date": to_timestamp(),
        "machine": describe_machine(),
        "pictures": source,
        "rounds": chosen.rounds,
        **found,
        "ratios": to_ratios(found),
    }


def to_ratios(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the present code's time as a share of the earlier code's."""
    before, after = (found[name] for name in NAMES)
    ratios = {
        key: after[key]["p50"] / before[key]["p50"] for key in ("request_ms", "around_network_ms")
    }
    return ratios | {"cpu": after["cpu_ms_per_request"] / before["cpu_ms_per_request"]}


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as a Markdown table; the columns are medians, the last row is a ratio."""
    lines = [
        f"| | request, ms | around the network, ms | {' | '.join(STAGES)} | CPU, ms/request |",
        f"|{'---|' * (4 + len(STAGES))}",
    ]
    for name in NAMES:
        facts = report[name]
        cells = [facts["request_ms"]["p50"], facts["around_network_ms"]["p50"]]
        cells += [facts["stages_ms"][stage] for stage in STAGES] + [facts["cpu_ms_per_request"]]
        lines.append(f"| {name} | {' | '.join(f'{each:.2f}' for each in cells)} |")
    ratios = report["ratios"]
    blank = " | " * len(STAGES)
    lines.append(
        f"| after / before | {ratios['request_ms']:.3f} | {ratios['around_network_ms']:.3f} "
        f"{blank}| {ratios['cpu']:.3f} |"
    )
    return "\n".join(lines)


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("revision", help="the earlier revision, such as a tag or a commit")
    parser.add_argument("--rounds", type=int, default=30, help="turns per revision")
    parser.add_argument("--backend", default="auto", help="backend of both services")
    parser.add_argument("--precision", default="auto", help="precision of both services")
    parser.add_argument("--same-model", action="store_true", help="serve the present model by both")
    add_folder_options(parser, SPEED_RESULTS_DIR)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report and print the table."""
    chosen = to_parser().parse_args(arguments)
    report = measure(chosen)
    write_report(chosen.out / "before_after.json", report)
    print(to_markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
