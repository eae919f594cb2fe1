"""Collect what the fault tests measured into one file and one table of `docs/performance.md`.

`python -m benchmarks.reliability` reads what `tests/faults` left in `build/faults`. What was not
run is reported as not run.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.documents import replace_block, write_report
from harness.machine import to_model_facts
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


def say_openapi(found: Figures) -> str:
    """Sum up the generated requests."""
    statuses: Counter[str] = Counter()
    for each in found:
        statuses.update(each["statuses"])
    told = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    return f"{statuses.total():,} valid and invalid requests in {len(found)} series: {told}"


def say_decoder(found: Figures) -> str:
    """Sum up the mutated files."""
    (each,) = found
    outcomes = each["outcomes"]
    told = ", ".join(f"{count:,} {code}" for code, count in sorted(outcomes.items()))
    return (
        f"{each['files']:,} files, {each['bombs']} of them bombs: {told}; the slowest took "
        f"{each['slowest_cpu_s']:.2f} s of CPU time; the process had at most "
        f"{each['peak_memory_mb']} MB"
    )


def say_connections(found: Figures) -> str:
    """Sum up the clients that hold connections."""
    connections = sum(each["connections"] for each in found)
    left = sum(each["open_files_after"] - each["open_files_before"] for each in found)
    return f"{connections} connections: all closed, {max(left, 0)} left open"


def say_crowd(found: Figures) -> str:
    """Sum up the crowd."""
    (each,) = found
    return (
        f"{each['answered']} of {each['clients']} clients got an answer, after "
        f"{each['told_to_come_back']:,} answers 429 in all; there was no other answer"
    )


def say_flood(found: Figures) -> str:
    """Sum up the many idle connections."""
    (each,) = found
    return (
        f"{each['connections']:,} connections, {each['open_files']:,} open files allowed: all "
        f"{each['probes']} probes answered, the slowest after {each['longest_probe_s']:.1f} s; "
        f"{each['logged_bytes']:,} bytes logged"
    )


def say_silent_uploads(found: Figures) -> str:
    """Sum up the uploads that send nothing more."""
    (each,) = found
    return (
        f"{each['uploads']} from one address: others are still measured; as many from several "
        f"addresses: not ready, others are accepted again after {each['kept_others_out_s']:.1f} s"
    )


def _to_asked(each: Mapping[str, Any]) -> int:
    """Return how many measurements were asked for; older records count those answered alone."""
    return each.get("asked", each["answers"])


def say_kill(found: Figures) -> str:
    """Sum up the killed service."""
    (each,) = found
    return (
        f"{each['clients']} clients got {each['answers']} of {_to_asked(each)} answers, all with "
        f"the same number; ready again after {each['ready_again_s']:.2f} s"
    )


def say_redis(found: Figures) -> str:
    """Sum up the killed store."""
    (each,) = found
    return (
        f"{_to_asked(each)} measurements requested, {each['failed']} failed; new results are "
        "stored again"
    )


def say_disk(found: Figures) -> str:
    """Sum up the full disk."""
    (each,) = found
    again = "the large upload is measured" if each["recovered"] else "the large upload still fails"
    return (
        f"{each['large_uploads_refused']} large uploads answered 503, "
        f"{each['small_uploads_measured']} small ones measured; once there is space again, {again}"
    )


def say_soak(found: Figures) -> str:
    """Sum up the soak, and say where it was cut short."""
    (each,) = found
    duration_s = each["duration_s"]
    short = f" (**cut short**: the whole is {WHOLE_SOAK_S // 60} minutes)"
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
    "openapi_": ("requests generated from the OpenAPI document", say_openapi),
    "decoder": ("mutated files of every format", say_decoder),
    "trickle_": (
        "clients that send one byte now and then, before, in and after a request",
        say_connections,
    ),
    "half_closed": ("uploads broken off halfway", say_connections),
    "flood": ("many idle connections", say_flood),
    "silent_uploads": ("uploads that begin and send nothing more", say_silent_uploads),
    "crowd": ("many clients at once, with eight places in the queue", say_crowd),
    "kill": ("`kill -9` under load, then a new start", say_kill),
    "redis_killed": ("Redis killed under load, then started empty", say_redis),
    "disk_full": ("temporary folder full", say_disk),
    "soak": ("steady load", say_soak),
}
"""What a record's name begins with, to what was done and how its figures read."""


def collect(folder: Path) -> dict[str, Any]:
    """Return all records of a folder as one report.

    Raises
    ------
    ValueError
        There are none, or they are not of one machine.
    """
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    machines = {(each["machine"]["cpu"], each["machine"]["cpus_available"]) for each in records}
    if len(machines) != 1:
        raise ValueError(
            f"The records are of {len(machines)} machines; run `make reliability` on one."
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
    """Return the page's table, made from the report alone."""
    machine, model, records = report["machine"], report["model"], report["records"]
    days = sorted({each["measured"][:10] for each in records})
    lines = [
        f"`{model['name']}` {model['version']} on {machine['cpu']}, "
        f"{machine['cpus_available']} CPUs, {' and '.join(days)}; "
        "`benchmarks/results/reliability.json`.",
        "",
        "| fault | result |",
        "|---|---|",
    ]
    for prefix, (title, say) in FAULTS.items():
        found = [each["figures"] for each in records if each["name"].startswith(prefix)]
        lines.append(f"| {title} | {say(found) if found else NOT_RUN} |")
    return "\n".join(lines)


def main() -> int:
    """Collect the records, write the report and the page's table."""
    report = collect(FIGURES_DIR)
    write_report(REPORT, report)
    PAGE.write_text(replace_block(PAGE.read_text(), BLOCK, to_block(report)))
    print(to_block(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
