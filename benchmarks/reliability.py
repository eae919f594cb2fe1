"""Collect the results of the fault tests into a report and a table of `docs/performance.md`.

`python -m benchmarks.reliability` reads the records that `tests/faults` wrote into `build/faults`.
Tests without a record are reported as not run.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.documents import replace_block, write_report
from harness.machine import to_model_facts, to_shipped_note
from harness.paths import SPEED_RESULTS_DIR
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

FIGURES_DIR = Path("build/faults")
REPORT = SPEED_RESULTS_DIR / "reliability.json"
PAGE, BLOCK = Path("docs/performance.md"), "reliability"
WHOLE_SOAK_S = 1200
ALLOWED_GROWTH = 0.05
"""Allowed growth of the service's memory in steady use, after the first minute."""
NOT_RUN = "not run"
Figures = Sequence[Mapping[str, Any]]


def describe_openapi(found: Figures) -> str:
    """Describe the result of the generated requests."""
    statuses: Counter[str] = Counter()
    for each in found:
        statuses.update(each["statuses"])
    counts = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    return f"{statuses.total():,} valid and invalid requests in {len(found)} series: {counts}"


def describe_decoder(found: Figures) -> str:
    """Describe the result of the mutated files."""
    (each,) = found
    outcomes = each["outcomes"]
    counts = ", ".join(f"{count:,} {code}" for code, count in sorted(outcomes.items()))
    return (
        f"{each['files']:,} files, including {each['bombs']} bombs: {counts}; the slowest took "
        f"{each['slowest_cpu_s']:.2f} s of CPU time; the process had at most "
        f"{each['peak_memory_mb']} MB"
    )


def describe_connections(found: Figures) -> str:
    """Describe the result of the clients that hold connections."""
    connections = sum(each["connections"] for each in found)
    left = sum(each["open_files_after"] - each["open_files_before"] for each in found)
    return f"{connections} connections: all closed, {max(left, 0)} left open"


def describe_crowd(found: Figures) -> str:
    """Describe the result of the crowd."""
    (each,) = found
    return (
        f"{each['answered']} of {each['clients']} clients got an answer, after "
        f"{each['told_to_come_back']:,} answers with 429 in total; no other status occurred"
    )


def describe_flood(found: Figures) -> str:
    """Describe the result of the many idle connections."""
    (each,) = found
    return (
        f"{each['connections']:,} connections, {each['open_files']:,} open files allowed: all "
        f"{each['probes']} probes answered, the slowest after {each['longest_probe_s']:.1f} s; "
        f"{each['logged_bytes']:,} bytes logged"
    )


def describe_silent_uploads(found: Figures) -> str:
    """Describe the result of the uploads that send nothing more."""
    (each,) = found
    return (
        f"{each['uploads']} uploads from one address: other clients are still measured; as many "
        "uploads from several addresses: the service is not ready, and accepts other clients again "
        f"after {each['kept_others_out_s']:.1f} s"
    )


def _to_requested(each: Mapping[str, Any]) -> int:
    """Return the number of requested measurements; old records have only the answered ones."""
    return each.get("asked", each["answers"])


def describe_kill(found: Figures) -> str:
    """Describe the result of the killed service."""
    (each,) = found
    return (
        f"{each['clients']} clients got {each['answers']} of {_to_requested(each)} answers, all "
        f"with the same number; ready again after {each['ready_again_s']:.2f} s"
    )


def describe_redis(found: Figures) -> str:
    """Describe the result of the killed store."""
    (each,) = found
    return (
        f"{_to_requested(each)} measurements requested, {each['failed']} failed; new results are "
        "stored again"
    )


def describe_disk(found: Figures) -> str:
    """Describe the result of the full disk."""
    (each,) = found
    after = "the large upload is measured" if each["recovered"] else "the large upload still fails"
    return (
        f"{each['large_uploads_refused']} large uploads answered with 503, "
        f"{each['small_uploads_measured']} small uploads measured; with free space again, {after}"
    )


def describe_soak(found: Figures) -> str:
    """Describe the soak test, and whether it was cut short."""
    (each,) = found
    duration_s = each["duration_s"]
    short = f" (**cut short**: the full test takes {WHOLE_SOAK_S // 60} minutes)"
    first_mb, last_mb = each["memory_mb"]
    low, high = each["open_files"]
    verdict = "met" if each["memory_growth"] < ALLOWED_GROWTH else "**missed**"
    return (
        f"{each['requests']:,} requests in {duration_s / 60:.0f} minutes"
        f"{short if duration_s < WHOLE_SOAK_S else ''}: memory {first_mb:.0f} MB after the first "
        f"minute, {last_mb:.0f} MB at the end (at most {each['memory_growth']:+.1%}; below "
        f"{ALLOWED_GROWTH:.0%}: {verdict}); "
        f"{low} to {high} open files"
    )


FAULTS: Mapping[str, tuple[str, Callable[[Figures], str]]] = {
    "openapi_": ("requests generated from the OpenAPI document", describe_openapi),
    "decoder": ("mutated files of every format", describe_decoder),
    "trickle_": (
        "clients that send single bytes slowly, before, in and after a request",
        describe_connections,
    ),
    "half_closed": ("uploads that stop halfway", describe_connections),
    "flood": ("many idle connections", describe_flood),
    "silent_uploads": ("uploads that start and then send nothing", describe_silent_uploads),
    "crowd": ("many clients at the same time, with a queue of eight", describe_crowd),
    "kill": ("`kill -9` under load, then a restart", describe_kill),
    "redis_killed": ("Redis killed under load, then restarted empty", describe_redis),
    "disk_full": ("full temporary folder", describe_disk),
    "soak": ("steady load", describe_soak),
}
"""The fault and the function that describes its figures, by the prefix of the record's name."""


def collect(folder: Path) -> dict[str, Any]:
    """Return all records of a folder as one report.

    Raises
    ------
    ValueError
        There are no records, or they come from several machines.
    """
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    machines = {(each["machine"]["cpu"], each["machine"]["cpus_available"]) for each in records}
    if len(machines) != 1:
        raise ValueError(
            f"The records come from {len(machines)} machines. Run `make reliability` on one."
        )
    return {
        "command": "make reliability",
        "machine": records[-1]["machine"],
        "model": to_model_facts(load_manifest(SHIPPED_MODEL_DIR)),
        "records": [
            {name: each[name] for name in ("name", "test", "measured", "figures")}
            for each in records
        ],
    }


def to_block(report: Mapping[str, Any]) -> str:
    """Return the table for the page, from the report only."""
    machine, model, records = report["machine"], report["model"], report["records"]
    days = sorted({each["measured"][:10] for each in records})
    lines = [
        f"`{model['name']}` {model['version']} on {machine['cpu']}, "
        f"{machine['cpus_available']} CPUs, {' and '.join(days)}; "
        "`benchmarks/results/reliability.json`."
        + to_shipped_note({model["name"]: model["version"]}),
        "",
        "| fault | result |",
        "|---|---|",
    ]
    for prefix, (title, describe) in FAULTS.items():
        found = [each["figures"] for each in records if each["name"].startswith(prefix)]
        lines.append(f"| {title} | {describe(found) if found else NOT_RUN} |")
    return "\n".join(lines)


def main() -> int:
    """Collect the records, write the report and the table; return the exit status."""
    report = collect(FIGURES_DIR)
    write_report(REPORT, report)
    PAGE.write_text(replace_block(PAGE.read_text(), BLOCK, to_block(report)))
    print(to_block(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
