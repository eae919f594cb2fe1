import pytest

from benchmarks.interleaving import interleave, measure_interleaved, summarise, take_turn


def test_every_name_has_one_turn_a_round_and_each_begins_once():
    """Three rounds of three: whoever was first goes last in the next round."""
    assert "".join(interleave("abc", 3)) == "abcbcacab"


def test_nobody_has_no_turns():
    """Without engines there is nothing to do."""
    assert list(interleave([], 5)) == []


def test_samples_are_kept_by_name():
    """Each turn adds to the samples of the one who took it."""
    samples = measure_interleaved({"slow": lambda: [2.0, 3.0], "fast": lambda: [1.0]}, 2)
    assert samples == {"slow": [2.0, 3.0, 2.0, 3.0], "fast": [1.0, 1.0]}


def test_percentiles_are_linear_between_samples():
    """Every percentile of 0 to 100 is itself; the median of 1 and 2 lies between them."""
    summary = summarise([float(value) for value in reversed(range(101))])
    assert (summary["p5"], summary["p50"], summary["p95"], summary["p99"]) == (5, 50, 95, 99)
    assert (summary["n"], summary["least"], summary["most"]) == (101, 0, 100)
    assert summarise([1.0, 2.0])["p50"] == pytest.approx(1.5)


def test_nothing_has_no_summary():
    """No sample is None, never a zero."""
    assert summarise([]) is None


def test_warm_calls_are_not_timed():
    """Two calls open a turn; the timed ones follow, and no more than were asked for."""
    calls = []
    assert len(take_turn(lambda: calls.append(0), limit_s=60, most_calls=3)) == 3
    assert len(calls) == 5


def test_a_turn_that_is_over_at_once_still_has_one_sample():
    """However slow the engine, it warms up once and is timed once."""
    calls = []
    assert len(take_turn(lambda: calls.append(0), limit_s=0, most_calls=10)) == 1
    assert len(calls) == 2
