"""Write the README's table of headline figures from the committed results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.documents import replace_block
from harness.paths import EVALUATION_RESULTS_DIR, SPEED_RESULTS_DIR
from harness.targets import GPU_NETWORK_P50, NOT_MEASURED

README = Path("README.md")
BLOCK = "headline"
CONCURRENCY = 8
Row = tuple[str, str, str]
ACCURACY, TRUST, UNCERTAINTY, PERFORMANCE, GPU = (
    f"[{name}](docs/{page}.md)"
    for name, page in (
        ("accuracy", "accuracy"),
        ("trust", "accuracy_and_trust"),
        ("uncertainty", "uncertainty"),
        ("performance", "performance"),
        ("GPU", "gpu"),
    )
)


def to_block() -> str:
    """Return the table: one row for each figure, with the page that explains it."""
    rows = (
        *to_accuracy_rows(_read(EVALUATION_RESULTS_DIR / "out_of_fold.json")),
        *_to_speed_rows(),
    )
    lines = ["| figure | value | more |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def to_accuracy_rows(report: Mapping[str, Any]) -> list[Row]:
    """Return the rows of `out_of_fold.json`; the first one says how many images were measured."""
    heads, planes = report["hc18"], report["planes"]
    figures, accepted = heads["all"]["figures"], heads["acceptable"]
    error, dice = figures["mean_absolute_error_mm"], figures["ellipse_dice"]["value"]
    measured = f"{report['data']['images']} of {report['data']['available']['images']}"
    held, refused = report["intervals"]["coverage"], accepted["of"] - accepted["count"]
    scope = f"{report['data']['planes']:,} of {report['data']['available']['planes']:,} planes"
    met, targets = sum(each["met"] for each in report["targets"]), len(report["targets"])
    return [
        (
            f"HC, mean absolute error, {measured} HC18 images, out of fold",
            f"{error['value']:.2f} mm (95 % interval {error['low']:.2f} to {error['high']:.2f})",
            ACCURACY,
        ),
        ("Dice of the ellipse, same images", f"{dice:.2%}".replace("%", " %"), ACCURACY),
        ("90 % intervals that held", _to_count(held), UNCERTAINTY),
        (
            "HC18 images marked as not acceptable, or without an answer",
            f"{refused} of {accepted['of']}",
            UNCERTAINTY,
        ),
        (
            f"heads of other devices that are acceptable, {scope}",
            _to_count(planes["kinds"]["head"]["acceptable"]),
            TRUST,
        ),
        (
            "abdomens, femurs and thoraxes that are acceptable",
            _to_count(planes["other_planes"]["acceptable"]),
            TRUST,
        ),
        ("targets of accuracy and trust that are met", f"{met} of {targets}", ACCURACY),
    ]


def _to_speed_rows() -> list[Row]:
    latency = _read(SPEED_RESULTS_DIR / "latency.json")
    throughput = _read(SPEED_RESULTS_DIR / "throughput.json")
    served = _find_served(latency)
    cpus = latency["machine"]["cpus_available"]
    (load,) = [each for each in throughput["loads"] if each["concurrency"] == CONCURRENCY]
    latency_version = latency["models"][latency["default_model"]]
    return [
        (
            f"whole request over HTTP, median, {cpus} CPUs ({latency['machine']['cpu']}), "
            f"version {latency_version}",
            f"{served['request_ms']['p50']:.1f} ms",
            PERFORMANCE,
        ),
        (
            f"requests a second at concurrency {CONCURRENCY}, {cpus} CPUs, "
            f"version {throughput['model']['version']}",
            f"{load['throughput_per_s']:.1f}",
            PERFORMANCE,
        ),
        (
            f"memory of the idle service, version {latency_version}",
            f"{served['idle_memory_mb']:.0f} MB",
            PERFORMANCE,
        ),
        ("latency on a GPU", _to_gpu_latency(latency), GPU),
    ]


def _to_count(share: Mapping[str, Any]) -> str:
    return f"{share['count']} of {share['of']}"


def write_headline() -> None:
    """Put the table between the README's markers."""
    README.write_text(replace_block(README.read_text(), BLOCK, to_block()))


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _find_served(latency: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the engine that the service takes by default on a CPU."""
    name = next(each["subject"] for each in latency["verdicts"] if each["device"] == "cpu")
    row: dict[str, Any] = next(each for each in latency["engines"] if each["engine"] == name)
    return row


def _to_gpu_latency(latency: dict[str, Any]) -> str:
    """Return the network's median on a GPU, or that none was measured."""
    (verdict,) = [
        each
        for each in latency["verdicts"]
        if each["figure"] == GPU_NETWORK_P50.figure and each["device"] == "gpu"
    ]
    value = verdict["value"]
    return NOT_MEASURED if value is None else f"{value:.1f} ms (network alone, median)"
