"""Measure networks on a GPU, at batches of 1 to 64: `python -m benchmarks.gpu` (`make bench-gpu`).

torch with CUDA suffices: then torch runs eager, compiled and as a CUDA graph. Where ONNX Runtime's
CUDA provider or TensorRT is installed, they take part. Every engine runs in a process of its own,
and all take turns in rounds. `--device cpu` runs the same on a CPU, to try the command.

Exit status 0: the network is as fast as the target; 1: it is slower; 3: there is no GPU.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.engines import KINDS, Engine, find_models
from benchmarks.interleaving import measure_interleaved, summarise
from benchmarks.latency_table import to_latencies
from benchmarks.network_process import AbsentEngineError, NetworkProcess
from benchmarks.peers import PEERS, Peer
from harness.documents import replace_block, write_report
from harness.machine import describe_machine, to_timestamp
from harness.options import add_folder_options
from harness.paths import ROOT, SPEED_RESULTS_DIR
from harness.pictures import load_pictures
from harness.targets import GPU_NETWORK_P50, Verdict, to_exit_status
from headcirc.pipeline import SHIPPED_MODEL_DIR

SCHEMA_VERSION = 1
COMMAND = "python -m benchmarks.gpu"
PAGE, BLOCK = ROOT / "docs" / "gpu.md", "gpu"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
WIDE = PEERS[0]
"""The network of the paper whose latency is the target; random weights run as fast as trained."""
TURN: Mapping[str, Any] = {"limit_s": 0.5, "most_calls": 20}


@dataclass(frozen=True)
class Candidate:
    """A network in one kind of engine; with a peer, the model only says what the input is."""

    engine: Engine
    peer: Peer | None = None

    @property
    def name(self) -> str:
        """Return the label for the table."""
        network = self.engine.model_name if self.peer is None else self.peer.name
        return f"{network}, {self.engine.kind.name}"


def list_candidates(device: str, models: Path) -> list[Candidate]:
    """Return the exported models in all kinds of a device, and the wide network in torch's."""
    kinds = [kind for kind in KINDS if kind.device == device]
    found = [Candidate(Engine(model, kind)) for model in find_models(models) for kind in kinds]
    torch_kinds = [kind for kind in kinds if not kind.is_served]
    return found + [Candidate(Engine(SHIPPED_MODEL_DIR, kind), WIDE) for kind in torch_kinds]


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure all available candidates and return the report."""
    source, _ = load_pictures(chosen.data)
    rows, networks = [], {}
    with ExitStack() as stack:
        for each in tqdm(list_candidates(chosen.device, chosen.models), "loading", unit="engine"):
            row: dict[str, Any] = {"name": each.name, "absent": None, "batches_ms": {}}
            rows.append(row | {"kind": each.engine.kind.name, "is_peer": each.peer is not None})
            try:
                started = NetworkProcess(each.engine, chosen.data, peer=each.peer)
            except AbsentEngineError as error:
                rows[-1]["absent"] = " ".join(str(error).split())
            else:
                networks[each.name] = stack.enter_context(started)
        turns = {
            (name, batch): partial(network.take_turn, batch=batch, **TURN)
            for name, network in networks.items()
            for batch in chosen.batches
        }
        samples_ms = measure_interleaved(turns, chosen.rounds)
    for row in rows:
        for batch in chosen.batches if row["name"] in networks else ():
            row["batches_ms"][str(batch)] = summarise(samples_ms[row["name"], batch])
    return {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "device": chosen.device,
        "pictures": source,
        "rounds": chosen.rounds,
        "batches": list(chosen.batches),
        "engines": rows,
    }


def judge(report: Mapping[str, Any]) -> Verdict:
    """Compare the fastest engine of the shipped network with the paper's latency."""
    own = [row for row in report["engines"] if row["batches_ms"].get("1") and not row["is_peer"]]
    if report["device"] != "gpu" or not own:
        return Verdict(GPU_NETWORK_P50, "no GPU was measured", None)
    best = min(own, key=lambda row: row["batches_ms"]["1"]["p50"])
    return Verdict(GPU_NETWORK_P50, best["name"], best["batches_ms"]["1"]["p50"])


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as the block of `docs/gpu.md`."""
    machine, batches = report["machine"], [str(each) for each in report["batches"]]
    where = machine.get("gpu") if report["device"] == "gpu" else f"{machine['cpu']}, no GPU"
    lines = [
        f"`{report['command']}` on {where}, {report['date'][:10]}: {report['pictures']}. A call "
        "goes from numpy array to numpy array, with both copies.",
        "",
        f"| network, engine | batch 1, ms (p50 / p95 / p99) "
        f"| pictures per second at batch {', '.join(batches)} |",
        "|---|---|---|",
    ]
    for row in report["engines"]:
        found = row["batches_ms"]
        if found:
            rates = [int(batch) / found[batch]["p50"] * 1000 for batch in batches]
            cells = [
                row["name"],
                to_latencies(found.get("1")),
                ", ".join(f"{r:.0f}" for r in rates),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    absent = [
        f"- {r['name']}: not measured ({r['absent']})" for r in report["engines"] if r["absent"]
    ]
    return "\n".join([*lines, "", *absent, f"- {judge(report).to_line()}"])


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: a trial")
    parser.add_argument("--rounds", type=int, default=20, help="turns per engine and batch")
    parser.add_argument("--batches", type=int, nargs="+", choices=BATCHES, default=BATCHES)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of models")
    add_folder_options(parser, SPEED_RESULTS_DIR)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, print the table; write the page if a GPU was measured."""
    chosen = to_parser().parse_args(arguments)
    report = measure(chosen)
    markdown, verdict = to_markdown(report), judge(report)
    print(markdown)
    if verdict.value is not None or chosen.out != SPEED_RESULTS_DIR:
        write_report(chosen.out / "gpu.json", report)
    if verdict.value is not None and chosen.out == SPEED_RESULTS_DIR:
        PAGE.write_text(replace_block(PAGE.read_text(), BLOCK, markdown))
    return to_exit_status([verdict])


if __name__ == "__main__":
    sys.exit(main())
