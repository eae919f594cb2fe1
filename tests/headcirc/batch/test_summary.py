from headcirc.answers import NO_PIXEL_SIZE, Row
from headcirc.batch.files import CRASHED
from headcirc.batch.summary import Summary

ROWS = [
    Row("a", head_circumference_mm=100.0, head_circumference_px=1.0, acceptable=True),
    Row("b", head_circumference_mm=300.0, head_circumference_px=1.0, warnings="odd"),
    Row("c", error="no head was found"),
]


def summarise(*rows):
    summary = Summary()
    summary.add_all(rows)
    return summary


def test_summary_counts_results_and_failures():
    """The facts say how many were measured, why others were not, and the spread."""
    facts = summarise(*ROWS).to_facts()
    assert (facts["images"], facts["measured"], facts["not_measured"]) == (3, 2, 1)
    assert facts["acceptable"] == 1
    assert facts["errors"] == {"no head was found": 1}
    assert (facts["failed"], facts["first_failed"]) == (1, {"c": "no head was found"})
    assert facts["warnings"] == {"odd": 1}
    assert facts["head_circumference_mm"] == {"least": 100.0, "p50": 200.0, "most": 300.0}


def test_summary_without_a_measurement_has_no_circumferences():
    """Not even zeros."""
    summary = summarise(ROWS[2])
    assert summary.to_facts()["head_circumference_mm"] is None
    assert summary.has_errors
    assert summary.to_lines() == []  # its one row says it all


def test_missing_pixel_size_is_not_listed_as_a_failure():
    """It is asked for once, for all images."""
    row = Row("d", head_circumference_px=1.0, error=NO_PIXEL_SIZE)
    summary = summarise(row, row, Row("e", error=f"{CRASHED}: SIGSEGV"))
    assert summary.has_errors
    lines = summary.to_lines()
    assert lines[0].startswith("0 of 3 images are measured")
    assert lines[1].startswith("2 without a pixel size")
    assert lines[2].startswith("1 crashed")
    assert lines[3:] == ["1 failed:", f"  e: {CRASHED}: SIGSEGV"]
