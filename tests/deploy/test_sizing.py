import dataclasses
from pathlib import Path

import pytest

from deploy.sizing import (
    BLOCK,
    DOCUMENT,
    RESULTS_DIR,
    Measured,
    count_replicas,
    read_measured,
    to_block,
    to_row,
    to_wait_ms,
)
from harness.documents import read_block

ROUND = Measured(
    "a test",
    cpus=2,
    throughput_per_s=50.0,
    cpu_s_per_request=0.04,
    peak_memory_mb=250.0,
    other_ms=12.0,
)


def test_sizing_table_is_up_to_date():
    """docs/scaling.md has the block that `make sizing` writes."""
    assert read_block(DOCUMENT.read_text(), BLOCK) == to_block(read_measured(RESULTS_DIR))


def test_sizing_table_marks_gpus_as_not_measured():
    """Every row says so, and the formula is beside it."""
    text = Path(DOCUMENT).read_text()
    assert read_block(text, BLOCK).count("not measured") == 3
    assert "rate * t / 0.6" in text


@pytest.mark.parametrize(("rate_per_s", "replicas"), [(1, 1), (30, 1), (31, 2), (300, 10)])
def test_replica_is_planned_with_a_share_of_its_throughput(rate_per_s, replicas):
    """At 50 requests a second and 60 %, a replica is planned with 30."""
    assert count_replicas(rate_per_s, ROUND) == replicas


def test_sizing_row_has_the_values_worked_by_hand():
    """100 a second: 4 replicas, 8 CPUs, 4 busy, 1 GB, 346 Mbit/s, 29 GB stored, 2 CPUs for GPUs."""
    assert to_row(100, ROUND) == [
        "100", "4", "8", "4.00", "1.0", "346", "29.2", "not measured", "2.00",
    ]  # fmt: skip


def test_wait_follows_the_formula_of_an_m_d_1_queue():
    """At half its throughput a server of 20 ms has a wait of 10 ms."""
    assert to_wait_ms(ROUND, 0.5) == pytest.approx(10.0)
    slower = dataclasses.replace(ROUND, throughput_per_s=25.0)
    assert to_wait_ms(slower, 0.5) == pytest.approx(20.0)
