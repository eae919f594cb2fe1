"""Convert latency samples to JSON, verdicts, and the Markdown of `docs/performance.md`.

Verdicts and Markdown are computed from the JSON only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.comparison import to_comparison_table
from benchmarks.engines import Engine, Kind, read_gflop
from benchmarks.interleaving import summarise
from benchmarks.latency_table import to_table
from harness import targets
from harness.documents import replace_block
from harness.machine import describe_machine, to_timestamp
from harness.targets import Target, Verdict
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

SCHEMA_VERSION = 1
LEFT_OUT = "left out by --only"
COMMAND = "python -m benchmarks.latency"
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BLOCK = "latency"
METHOD = {
    "turns": "all engines and services run at the same time and take turns in rounds; each round "
    "starts with the next engine; a turn starts with two untimed calls",
    "network": "one call from numpy array to numpy array (on a GPU with both copies), decoded "
    "frames, batch 1, in a separate process",
    "request": "POST /v1/analyses over loopback, concurrency 1, one connection per turn, "
    "no stored results; the client uses plain sockets in a separate process on the same CPUs",
    "stages": "medians of timing_ms in the answers; http: the rest of the request",
    "ready": "process start to the first 200 of /readyz, files in the page cache",
    "memory": "VmRSS of the service after warm-up, VmHWM since; shared libraries count in full",
    "peak": "fastest median, over the runtimes, of a chain of 4 matrix products of side 2048 (GPU: "
    "8192) at the same precision, in the same rounds, loaded by the same code; share: the "
    "network's GFLOP per second at its median divided by that rate; convolutions with fewer "
    "operations than counted (Winograd) can exceed it",
}


@dataclass
class Measured:
    """The samples of one engine; `absent` and `not_served` are reasons for missing samples."""

    engine: Engine
    absent: str | None = None
    not_served: str | None = None
    network_ms: Sequence[float] = ()
    request_ms: Sequence[float] = ()
    ready_s: Sequence[float] = ()
    stages_ms: Mapping[str, Sequence[float]] = field(default_factory=dict)
    batches_ms: Mapping[int, Sequence[float]] = field(default_factory=dict)
    idle_memory_mb: float | None = None
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class Product:
    """The samples of the chain of matrix products in one runtime."""

    kind: Kind
    gflop: float
    samples_ms: Sequence[float]

    @property
    def gflop_per_s(self) -> float:
        """Return the rate of the median run."""
        summary = summarise(self.samples_ms)
        assert summary is not None, "every product has samples"
        return self.gflop / summary["p50"] * 1000


def to_report(
    found: Sequence[Measured], products: Sequence[Product], *, pictures: str, rounds: int
) -> dict[str, Any]:
    """Return the content of `latency.json`."""
    peaks: dict[tuple[str, str], float] = {}
    for product in products:
        key = (product.kind.device, product.kind.precision)
        peaks[key] = max(product.gflop_per_s, peaks.get(key, 0.0))
    report = {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "method": METHOD,
        "pictures": pictures,
        "rounds": rounds,
        "default_model": load_manifest(SHIPPED_MODEL_DIR).name,
        "models": _to_versions(found),
        "products_gflop_per_s": {each.kind.name: each.gflop_per_s for each in products},
        "engines": [to_row(each, peaks) for each in found],
    }
    return report | {"verdicts": [each.to_facts() for each in judge(report)]}


def _to_versions(found: Sequence[Measured]) -> dict[str, str]:
    """Return the version of each model's weights, by the model's name."""
    manifests = [load_manifest(each.engine.model_dir) for each in found]
    return {manifest.name: manifest.version for manifest in manifests}


def to_row(measured: Measured, peaks: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    """Return the JSON row of one engine; `peaks` has GFLOP/s by device and precision."""
    engine, kind = measured.engine, measured.engine.kind
    network_ms = summarise(measured.network_ms)
    gflop = read_gflop(engine.model_dir)
    rate = None if network_ms is None else gflop / network_ms["p50"] * 1000
    peak = peaks.get((kind.device, kind.precision))
    return {
        "engine": engine.name,
        "model": engine.model_name,
        "backend": kind.backend,
        "precision": kind.precision,
        "device": kind.device,
        "is_served": kind.is_served,
        "absent": measured.absent,
        "not_served": measured.not_served,
        "gflop": gflop,
        "network_ms": network_ms,
        "gflop_per_s": rate,
        "share_of_peak": None if rate is None or peak is None else rate / peak,
        "request_ms": summarise(measured.request_ms),
        "stages_ms": {name: _to_median(each) for name, each in measured.stages_ms.items()},
        "batches_ms": {str(size): _to_median(each) for size, each in measured.batches_ms.items()},
        "ready_s": summarise(measured.ready_s),
        "idle_memory_mb": measured.idle_memory_mb,
        "peak_memory_mb": measured.peak_memory_mb,
        "accuracy": read_accuracy(engine),
    }


def _to_median(samples: Sequence[float]) -> float | None:
    summary = summarise(samples)
    return None if summary is None else summary["p50"]


def read_accuracy(engine: Engine) -> dict[str, Any] | None:
    """Return the recorded error and interval of a model, if measured at the engine's precision."""
    recorded = load_manifest(engine.model_dir).accuracy
    for part in ("out_of_fold", "test", "calibration"):
        measured = recorded.get(part)
        if measured and measured.get("precision", "fp32") == engine.kind.precision:
            figure = measured["summary"]["figures"]["mean_absolute_error_mm"]
            interval_mm = [figure["low"], figure["high"]]
            error = {"mean_absolute_error_mm": figure["value"], "interval_mm": interval_mm}
            return {"part": part} | error
    return None


def judge(report: Mapping[str, Any]) -> list[Verdict]:
    """Compare the default engine of each device, with the default model, with the targets."""
    values = {device: _to_values(report, device) for device in ("cpu", "gpu")}
    return [_judge(target, *values[target.device]) for target in targets.LATENCY_TARGETS]


def _judge(target: Target, subject: str, values: Mapping[Target, float | None]) -> Verdict:
    value = values.get(target)
    if values and value is None:
        subject += ": not measured"
    return Verdict(target, subject, value)


def _to_values(report: Mapping[str, Any], device: str) -> tuple[str, Mapping[Target, float | None]]:
    """Return the judged engine and its figures, or the reason why there are none."""
    cpus = report["machine"]["cpus_available"]
    if device == "cpu" and cpus > targets.CPUS_OF_TARGETS:
        return f"the target is for {targets.CPUS_OF_TARGETS} CPUs, this machine has {cpus}", {}
    row = find_default(report, device)
    if row is None:
        return "the default engine is not available, or was left out", {}
    if device == "gpu":
        return row["engine"], {targets.GPU_NETWORK_P50: row["network_ms"]["p50"]}
    network, request, ready = row["network_ms"], row["request_ms"] or {}, row["ready_s"] or {}
    request_p50_ms, inside_ms = request.get("p50"), row["stages_ms"].get("inference")
    is_whole = request_p50_ms is not None and inside_ms is not None
    return row["engine"], {
        targets.NETWORK_INSIDE: inside_ms and inside_ms / network["p50"],
        targets.AROUND_NETWORK: request_p50_ms - inside_ms if is_whole else None,
        targets.TAIL: request_p50_ms and request["p99"] / request_p50_ms,
        targets.NETWORK_P50: network["p50"],
        targets.REQUEST_P50: request_p50_ms,
        targets.REQUEST_P95: request.get("p95"),
        targets.OVERHEAD: None if request_p50_ms is None else request_p50_ms / network["p50"],
        targets.IDLE_MEMORY: row["idle_memory_mb"],
        targets.READY: ready.get("p50"),
    }


def find_default(report: Mapping[str, Any], device: str) -> Mapping[str, Any] | None:
    """Return the engine that `auto` chooses for the default model, if it was measured.

    The rows are in the order of `auto`, so this is the first served engine that is available. If
    an earlier engine was left out, it might be the default, and the result is None.
    """
    for row in report["engines"]:
        is_candidate = row["model"] == report["default_model"] and row["device"] == device
        if is_candidate and row["is_served"] and (row["network_ms"] or row["absent"] == LEFT_OUT):
            return row if row["network_ms"] else None
    return None


def to_markdown(report: Mapping[str, Any]) -> str:
    """Return the text of `latency.md`, which is also the block in `docs/performance.md`."""
    lines = [f"- {verdict.to_line()}" for verdict in judge(report)]
    tables = [to_table(report), to_comparison_table(report)]
    return (
        "\n\n".join(filter(None, tables))
        + "\n\nTargets, compared with the engine that `auto` chooses:\n\n"
        + "\n".join(lines)
    )


def write_page(markdown: str, path: Path = PAGE) -> None:
    """Write the Markdown between the markers of the page."""
    path.write_text(replace_block(path.read_text(), BLOCK, markdown))
