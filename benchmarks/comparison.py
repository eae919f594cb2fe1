"""Collect the samples of what users would pick instead, and write them as a Markdown table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.engines import Kind
from benchmarks.interleaving import Turn, summarise
from benchmarks.latency_table import to_latencies, to_number
from benchmarks.network_process import NetworkProcess
from benchmarks.peers import Peer
from benchmarks.request_client import RequestClient

PEER_KIND = Kind("torch-eager", "fp32", "cpu")
SERVER = "FastAPI + torch as in tutorials, the network that ships"
PEER, TUTORIAL = "peer", "tutorial"


@dataclass
class Compared:
    """Public networks with random weights, and a server of the usual tutorial kind.

    Attributes
    ----------
    peers : mapping of Peer to NetworkProcess
    tutorial : RequestClient or None
    samples_ms : mapping
        By peer, and by `TUTORIAL`; empty until `keep` was called.
    """

    peers: Mapping[Peer, NetworkProcess] = field(default_factory=dict)
    tutorial: RequestClient | None = None
    samples_ms: dict[Peer | str, Sequence[float]] = field(default_factory=dict)

    def to_turns(self, **turn: Any) -> dict[Any, Turn]:
        """Return the turns that take part in the rounds of all engines."""
        turns: dict[Any, Turn] = {
            (PEER, peer): partial(network.take_turn, **turn) for peer, network in self.peers.items()
        }
        if self.tutorial is not None:
            turns[TUTORIAL, ""] = partial(self.tutorial.take_turn, **turn)
        return turns

    def keep(self, samples_ms: Mapping[Any, Sequence[float]]) -> None:
        """Keep the samples of these turns among those of all turns."""
        self.samples_ms = {peer: samples_ms[PEER, peer] for peer in self.peers}
        if self.tutorial is not None:
            self.samples_ms[TUTORIAL] = samples_ms[TUTORIAL, ""]

    def to_facts(self) -> list[dict[str, Any]]:
        """Return one JSON row per network and server."""
        rows = []
        for peer in self.peers:
            parameters, gflop = peer.count()
            row = {"name": f"{peer.name}, {PEER_KIND.name}", "parameters": parameters}
            row |= {"gflop": gflop, "network_ms": summarise(self.samples_ms[peer])}
            rows.append(row | {"request_ms": None})
        if TUTORIAL in self.samples_ms:
            row = {"name": SERVER, "parameters": None, "gflop": None, "network_ms": None}
            rows.append(row | {"request_ms": summarise(self.samples_ms[TUTORIAL])})
        return rows


def to_comparison_table(report: Mapping[str, Any]) -> str:
    """Return the table of a report; nothing where the comparison was left out."""
    rows = report.get("comparison") or []
    if not rows:
        return ""
    lines = [
        "What users would pick instead, in the same rounds. The networks have their published "
        "sizes and random weights.",
        "",
        "| network or server | parameters, M | GFLOP | network, ms | request, ms |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        millions = None if row["parameters"] is None else row["parameters"] / 1e6
        cells = [row["name"], to_number(millions, ".1f"), to_number(row["gflop"], ".1f")]
        timed = [row["network_ms"], row["request_ms"]]
        cells += ["-" if each is None else to_latencies(each) for each in timed]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
