"""Convert the latency report to a Markdown table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.machine import to_shipped_note
from harness.targets import NOT_MEASURED

Row = Mapping[str, Any]
STAGES = ("decode", "preprocess", "queue", "inference", "postprocess", "http")


def to_latencies(summary: Mapping[str, float] | None) -> str:
    """Return `p50 / p95 / p99`, or `not measured`."""
    if summary is None:
        return NOT_MEASURED
    return " / ".join(f"{summary[name]:.1f}" for name in ("p50", "p95", "p99"))


def to_number(value: float | None, form: str) -> str:
    """Return a formatted number; `-` for None."""
    return "-" if value is None else format(value, form)


def to_stages(row: Row) -> str:
    """Return the medians of the stages of a request."""
    found = [f"{row['stages_ms'][stage]:.1f}" for stage in STAGES if stage in row["stages_ms"]]
    return " + ".join(found) or "-"


COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "model, engine": lambda row: row["engine"],
    "network, ms": lambda row: to_latencies(row["network_ms"]),
    "of peak": lambda row: to_number(row["share_of_peak"], ".0%"),
    "request, ms": lambda row: to_latencies(row["request_ms"]) if row["is_served"] else "-",
    f"stages of the request, ms ({' + '.join(STAGES)})": to_stages,
    "idle / peak memory, MB": lambda row: (
        f"{to_number(row['idle_memory_mb'], '.0f')} / {to_number(row['peak_memory_mb'], '.0f')}"
    ),
    "ready, s": lambda row: to_number((row["ready_s"] or {}).get("p50"), ".2f"),
}


def to_table(report: Mapping[str, Any]) -> str:
    """Return the machine, a row per measured engine, and the reasons for missing engines."""
    measured = [row for row in report["engines"] if row["network_ms"]]
    lines = [
        to_machine_line(report),
        "",
        "Milliseconds are p50 / p95 / p99. `method` in `latency.json` explains each figure.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(f"| {' | '.join(cell(row) for cell in COLUMNS.values())} |" for row in measured),
        "",
        *to_absent_lines([row for row in report["engines"] if not row["network_ms"]]),
    ]
    return "\n".join(lines).rstrip()


def to_machine_line(report: Mapping[str, Any]) -> str:
    """Return a line with the command, models, machine, date and pictures."""
    machine = report["machine"]
    products = ", ".join(
        f"{name} {rate:.0f} GFLOP/s" for name, rate in report["products_gflop_per_s"].items()
    )
    models = ", ".join(f"{name} {version}" for name, version in report["models"].items())
    where = f"{machine['cpu']}, {machine['cpus_available']} CPUs"
    if machine.get("gpu"):
        where += f", {machine['gpu']}"
    return (
        f"`{report['command']}`, {models} on {where}, {report['date'][:10]}: "
        f"{report['pictures']}; "
        f"matrix products reach {products or 'a rate that was not measured'}."
        + to_shipped_note(report["models"])
    )


def to_absent_lines(rows: Sequence[Row]) -> list[str]:
    """Return a line per reason for missing figures, with its models and engines."""
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        reasons.setdefault(row["absent"] or "no turn", []).append(row)
    return [
        f"- {_list(row['model'] for row in kept)}: "
        f"{_list(to_kind(row) for row in kept)}: "
        f"{NOT_MEASURED} ({' '.join(reason.split())})"
        for reason, kept in reasons.items()
    ]


def to_kind(row: Row) -> str:
    """Return the label of an engine without its model."""
    return f"{row['backend']} {row['precision']}"


def _list(names: Iterable[str]) -> str:
    """Return the distinct names, comma-separated."""
    return ", ".join(dict.fromkeys(names))
