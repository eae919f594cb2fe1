import json
from pathlib import Path

import pytest

from benchmarks.reliability import BLOCK, FAULTS, NOT_RUN, PAGE, REPORT, collect, to_block
from harness.documents import read_block
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

MACHINE = {"cpu": "abacus", "cpus_available": 2}


def write(folder: Path, name: str, machine: dict = MACHINE, **figures: object) -> None:
    facts = {"name": name, "test": "t", "measured": "2026-01-02T03:04:05Z", "figures": figures}
    (folder / f"{name}.json").write_text(json.dumps(facts | {"machine": machine}))


def test_faults_without_a_record_are_reported_as_not_run(tmp_path):
    """One record gives one row with figures; all other rows say `not run`."""
    write(tmp_path, "crowd", clients=500, answered=500, told_to_come_back=1234)
    block = to_block(collect(tmp_path))
    assert "500 of 500 clients got an answer, after 1,234 answers with 429" in block
    assert block.count(f"| {NOT_RUN} |") == len(FAULTS) - 1
    version = load_manifest(SHIPPED_MODEL_DIR).version
    assert f"{version} on abacus, 2 CPUs, 2026-01-02" in block


def test_records_of_one_kind_are_summed(tmp_path):
    """The records of several operations give one row."""
    write(tmp_path, "openapi_a", requests=3, statuses={"200": 2, "404": 1})
    write(tmp_path, "openapi_b", requests=1, statuses={"404": 1})
    assert "4 valid and invalid requests in 2 series: 2 x 200, 2 x 404" in to_block(
        collect(tmp_path)
    )


def test_missing_answers_are_reported(tmp_path):
    """Requested and answered measurements are separate numbers; failures are reported."""
    write(tmp_path, "kill", clients=4, asked=48, answers=47, failed=1, ready_again_s=2.0)
    write(tmp_path, "redis_killed", clients=4, asked=48, answers=46, failed=2)
    figures = {"large_uploads_refused": 3, "small_uploads_measured": 2, "recovered": False}
    write(tmp_path, "disk_full", **figures)
    block = to_block(collect(tmp_path))
    assert "4 clients got 47 of 48 answers" in block
    assert "48 measurements requested, 2 failed" in block
    assert "the large upload still fails" in block


@pytest.mark.parametrize(("duration_s", "is_short"), [(120.0, True), (1200.0, False)])
def test_short_soak_is_reported_as_cut_short(tmp_path, duration_s, is_short):
    """Two minutes are reported as cut short, twenty are not."""
    figures = {"requests": 9, "memory_growth": 0.01, "memory_mb": [200, 201], "open_files": [7, 8]}
    write(tmp_path, "soak", duration_s=duration_s, **figures)
    block = to_block(collect(tmp_path))
    assert ("cut short" in block) == is_short
    assert "(at most +1.0%; below 5%: met)" in block


def test_memory_growth_above_the_limit_is_reported(tmp_path):
    """The limit is the one of the soak test."""
    figures = {"requests": 9, "memory_growth": 0.05, "memory_mb": [200, 210], "open_files": [7, 8]}
    write(tmp_path, "soak", duration_s=1200.0, **figures)
    assert "below 5%: **missed**" in to_block(collect(tmp_path))


def test_records_of_two_machines_are_refused(tmp_path):
    """Records of different machines are refused, and so is an empty folder."""
    with pytest.raises(ValueError, match="0 machines"):
        collect(tmp_path)
    write(tmp_path, "crowd")
    write(tmp_path, "kill", machine=MACHINE | {"cpu": "other"})
    with pytest.raises(ValueError, match="2 machines"):
        collect(tmp_path)


def test_page_has_the_table_of_the_report():
    """The table on the page is the one of the committed report."""
    report = json.loads(REPORT.read_text())
    assert read_block(PAGE.read_text(), BLOCK) == to_block(report)
