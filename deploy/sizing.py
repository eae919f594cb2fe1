"""Compute the CPUs and memory for a request rate from measurements: `python -m deploy.sizing`.

It reads the benchmarks' results and writes the tables of docs/scaling.md.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.documents import replace_block

RESULTS_DIR = Path("benchmarks/results")
DOCUMENT = Path("docs/scaling.md")
BLOCK = "sizing"
RATES_PER_S = (1, 100, 10_000)
CONCURRENCY = 8
BUSY_SHARE = 0.6
"""Planned utilisation of a replica; above it, waiting times grow fast (see `to_wait_ms`)."""
RESULT_TTL_S = 600
"""Default of HEADCIRC_RESULT_TTL_S."""
WIDTH_PX, HEIGHT_PX = 800, 540
PICTURE_BYTES = WIDTH_PX * HEIGHT_PX
"""Size of an uncompressed 8-bit picture of HC18's usual dimensions; a PNG is smaller."""
STORED_BYTES = PICTURE_BYTES + PICTURE_BYTES // 8
"""Frame and mask of a result in memory; in Redis both are compressed."""
BITS, LINK_BITS_PER_S = 8, 10e9
CPU_STAGES = ("decode", "preprocess", "postprocess", "http")
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Measured:
    """Benchmark results of one replica.

    Attributes
    ----------
    description : str
        Model, machine, pictures and dates of the measurement.
    cpus : int
        CPUs of the replica, shared with the load generator.
    throughput_per_s, cpu_s_per_request : float
    peak_memory_mb : float
    other_ms : float
        Time of one request without the network and the wait for it, at one request at a time.
    """

    description: str
    cpus: int
    throughput_per_s: float
    cpu_s_per_request: float
    peak_memory_mb: float
    other_ms: float

    @property
    def planned_per_s(self) -> float:
        """Return the planned requests per second of a replica."""
        return self.throughput_per_s * BUSY_SHARE


def read_measured(folder: Path) -> Measured:
    """Read the results in `latency.json` and `throughput.json`."""
    latency = json.loads((folder / "latency.json").read_text())
    throughput = json.loads((folder / "throughput.json").read_text())
    model, machine = throughput["model"], throughput["machine"]
    (load,) = [each for each in throughput["loads"] if each["concurrency"] == CONCURRENCY]
    served = f"{model['name']} {model['backend']} {model['precision']}"
    (engine,) = [each for each in latency["engines"] if each["engine"] == served]
    return Measured(
        f"{served}, version {model['version']}, on {machine['cpu']}, "
        f"{machine['cpus_available']} CPUs ({throughput['pictures']}; throughput of "
        f"{throughput['date'][:10]}, latency of {latency['date'][:10]})",
        machine["cpus_available"],
        load["throughput_per_s"],
        load["service_cpu_s_per_request"],
        max(each["peak_memory_mb"] for each in throughput["loads"]),
        sum(engine["stages_ms"][stage] for stage in CPU_STAGES),
    )


def count_replicas(rate_per_s: float, measured: Measured) -> int:
    """Return the number of replicas for a request rate at the planned utilisation."""
    return math.ceil(rate_per_s / measured.planned_per_s)


def to_wait_ms(measured: Measured, busy_share: float) -> float:
    """Return the mean wait for a replica's network, in ms, for Poisson arrivals.

    With the utilisation `busy_share`, the mean wait is service time * busy_share /
    (2 (1 - busy_share)).

    References
    ----------
    Pollaczek-Khinchine formula for an M/D/1 queue: one server with a constant service time.
    """
    return 1000 / measured.throughput_per_s * busy_share / (2 * (1 - busy_share))


def to_row(rate_per_s: int, measured: Measured) -> list[str]:
    """Return the table row of one request rate."""
    replicas = count_replicas(rate_per_s, measured)
    return [
        f"{rate_per_s:,}",
        f"{replicas:,}",
        f"{replicas * measured.cpus:,}",
        f"{rate_per_s * measured.cpu_s_per_request:,.2f}",
        f"{replicas * measured.peak_memory_mb / 1000:,.1f}",
        f"{rate_per_s * PICTURE_BYTES * BITS / 1e6:,.0f}",
        f"{rate_per_s * RESULT_TTL_S * STORED_BYTES / 1e9:,.1f}",
        NOT_MEASURED,
        f"{rate_per_s * measured.other_ms / 1000 / BUSY_SHARE:,.2f}",
    ]


def to_block(measured: Measured) -> str:
    """Return the text between the document's markers."""
    heads = [
        "requests/s", "replicas", "CPUs given", "CPUs busy", "memory, GB",
        "uploads, Mbit/s, at most", "results kept, GB, at most", "GPUs", "CPUs beside GPUs",
    ]  # fmt: skip
    rows = [heads, ["---"] * len(heads), *(to_row(each, measured) for each in RATES_PER_S)]
    link_per_s = LINK_BITS_PER_S / (PICTURE_BYTES * BITS)
    lines = [
        f"Measured: {measured.description}. A replica of {measured.cpus} CPUs answers "
        f"{measured.throughput_per_s:.1f} requests a second at concurrency {CONCURRENCY}, at "
        f"{measured.cpu_s_per_request * 1000:.1f} ms of CPU each, with at most "
        f"{measured.peak_memory_mb:.0f} MB; it is planned with {measured.planned_per_s:.1f} a "
        f"second ({BUSY_SHARE:.0%}).",
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        f"Mean wait for the network when requests come at random: "
        f"{to_wait_ms(measured, BUSY_SHARE):.0f} ms at {BUSY_SHARE:.0%}, "
        f"{to_wait_ms(measured, 0.9):.0f} ms at 90%. A link of 10 Gbit/s is full at "
        f"{link_per_s:,.0f} uploads a second of {PICTURE_BYTES:,} bytes.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Write the document's block; return the exit status."""
    block = to_block(read_measured(RESULTS_DIR))
    DOCUMENT.write_text(replace_block(DOCUMENT.read_text(), BLOCK, block))
    print(block)
    return 0


if __name__ == "__main__":
    sys.exit(main())
