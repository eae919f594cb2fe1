import json
import shutil
from pathlib import Path

import pytest

from benchmarks.engines import KINDS, Engine, Kind, find_models, read_gflop
from benchmarks.latency_plots import plot_latency
from benchmarks.latency_report import (
    BLOCK,
    LEFT_OUT,
    PAGE,
    Measured,
    Product,
    find_default,
    judge,
    to_markdown,
    to_report,
)
from harness.documents import read_block
from headcirc.backends.registry import AUTOMATIC, BACKENDS
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

RESULTS = Path("benchmarks/results")
INT8, FP32 = Kind("openvino", "int8", "cpu"), Kind("openvino", "fp32", "cpu")
TENSORRT = Kind("tensorrt", "fp16", "gpu")
NOT_SHIPPED = "The model ships fp32, not int8."


def to_measured(kind, **figures):
    return Measured(Engine(SHIPPED_MODEL_DIR, kind), **figures)


def make_report(*found, cpus=2):
    products = [Product(FP32, 10.0, [100.0]), Product(FP32, 10.0, [50.0])]
    report = to_report(found, products, pictures="8 phantoms", rounds=1)
    report["machine"] = report["machine"] | {"cpus_available": cpus}
    return report


@pytest.fixture
def served():
    return to_measured(
        FP32,
        network_ms=[12.0] * 3,
        request_ms=[20.0] * 3,
        ready_s=[1.5],
        stages_ms={"decode": [2.0], "inference": [12.0], "http": [1.0]},
        batches_ms={1: [12.0], 8: [88.0]},
        idle_memory_mb=300.0,
        peak_memory_mb=320.0,
    )


def to_statuses(report):
    return {(each.target.device, each.target.figure): each.status for each in judge(report)}


def test_engines_are_in_the_order_of_auto():
    """Within each device, the kinds have the order in which `auto` tries them."""
    for device in ("cpu", "gpu"):
        listed = [(k.backend, k.precision) for k in KINDS if k.device == device and k.is_served]
        tried = [
            (backend, each)
            for backend in AUTOMATIC
            for each in BACKENDS[backend].RUNTIME.precisions
        ]
        assert [kind for kind in listed if kind in tried] == [k for k in tried if k in listed]
    assert {k.backend for k in KINDS if k.is_served} == set(BACKENDS)


def test_the_default_is_judged_and_all_of_its_targets_met(served):
    """INT8 does not ship, so `auto` chooses FP32; the GPU's target is not measured."""
    report = make_report(to_measured(INT8, absent=NOT_SHIPPED), served)
    assert find_default(report, "cpu")["precision"] == "fp32"
    statuses = to_statuses(report)
    assert statuses.pop(("gpu", "network alone, p50")) == "not measured"
    assert set(statuses.values()) == {"missed", "met"}
    missed = {figure for (_, figure), status in statuses.items() if status == "missed"}
    assert missed == {"whole request over network, p50", "request without its network, p50"}


def test_targets_of_requests_are_not_measured_without_a_service():
    """If the service failed, request, memory and start are not measured."""
    report = make_report(to_measured(FP32, network_ms=[10.0], not_served="it ended"))
    statuses = to_statuses(report)
    assert statuses.pop(("cpu", "network alone, p50")) == "met"
    assert set(statuses.values()) == {"not measured"}


def test_no_other_engine_replaces_the_default_that_was_left_out(served):
    """If the default engine is left out, another engine's figures are not used."""
    report = make_report(to_measured(INT8, absent=LEFT_OUT), served)
    assert set(to_statuses(report).values()) == {"not measured"}


def test_targets_are_not_measured_with_more_cpus_than_stated(served):
    """Figures on sixteen CPUs are not compared with targets for two CPUs."""
    assert set(to_statuses(make_report(served, cpus=16)).values()) == {"not measured"}


def test_the_gpu_is_judged_by_its_network():
    """On a GPU the target is 23 ms for the network; the request is not judged."""
    statuses = to_statuses(make_report(to_measured(TENSORRT, network_ms=[24.0])))
    assert statuses["gpu", "network alone, p50"] == "missed"
    assert statuses["cpu", "network alone, p50"] == "not measured"


def test_share_of_peak_is_against_the_best_runtime_at_that_precision(served):
    """The peak is the faster of two products, 10 GFLOP in 50 ms; int8 has no peak here."""
    rows = make_report(served, to_measured(INT8, network_ms=[6.0]))["engines"]
    rate = read_gflop(SHIPPED_MODEL_DIR) / 12.0 * 1000
    assert rows[0]["share_of_peak"] == pytest.approx(rate / 200.0)
    assert rows[1]["share_of_peak"] is None


def test_table_has_measured_rows_and_reasons_for_absent_engines(served):
    """A measured engine has a row; an absent engine is listed with the reason."""
    markdown = to_markdown(make_report(to_measured(INT8, absent=NOT_SHIPPED), served))
    name = load_manifest(SHIPPED_MODEL_DIR).name
    (row,) = [line for line in markdown.splitlines() if line.startswith(f"| {name}")]
    assert row.startswith(f"| {name} openvino fp32 | 12.0 / 12.0 / 12.0 |")
    assert row.endswith("| 20.0 / 20.0 / 20.0 | 2.0 + 12.0 + 1.0 | 300 / 320 | 1.50 |")
    assert f"- {name}: openvino int8: not measured ({NOT_SHIPPED})" in markdown
    assert "passed" not in markdown


def test_plots_are_drawn_from_the_report(served, tmp_path):
    """All three plots are drawn from the JSON report."""
    report = json.loads(json.dumps(make_report(served, to_measured(INT8, absent=NOT_SHIPPED))))
    plot_latency(report, tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn >= {"latency_distribution.png", "latency_batch.png"}


def test_page_has_the_block_of_the_committed_report():
    """The block is made from the committed JSON, or states that nothing was measured."""
    block = read_block(PAGE.read_text(), BLOCK)
    report_path = RESULTS / "latency.json"
    if not report_path.is_file():
        assert block.startswith("Not measured yet")
        return
    assert block == to_markdown(json.loads(report_path.read_text()))
    assert block == (RESULTS / "latency.md").read_text().strip()


def test_measured_models_have_distinct_names_and_graphs(tmp_path):
    """The shipped and exported models are found; the split model and one without graphs are not."""
    facts = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
    for name, width in (("narrow", 12), ("bare", 8)):
        shutil.copytree(SHIPPED_MODEL_DIR, tmp_path / name)
        renamed = facts | {"name": name, "width": width}
        (tmp_path / name / MANIFEST_NAME).write_text(json.dumps(renamed))
    (tmp_path / "bare" / "model.onnx").unlink()
    shutil.copytree(SHIPPED_MODEL_DIR, tmp_path / "split")
    assert find_models(tmp_path) == [tmp_path / "narrow", SHIPPED_MODEL_DIR]
    alone = find_models(tmp_path, has_shipped=False)
    assert alone == [tmp_path / "narrow", tmp_path / "split"]
