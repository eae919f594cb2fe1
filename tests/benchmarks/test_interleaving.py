import pytest

from benchmarks.interleaving import interleave, measure_interleaved, summarise, take_turn


def test_every_name_has_one_turn_per_round_and_starts_one_round():
    """In three rounds of three names, each round starts with the next name."""
    assert "".join(interleave("abc", 3)) == "abcbcacab"


def test_no_names_give_no_turns():
    """Without engines there are no turns."""
    assert list(interleave([], 5)) == []


def test_samples_are_kept_by_name():
    """Each turn adds its samples to its own name."""
    samples = measure_interleaved({"slow": lambda: [2.0, 3.0], "fast": lambda: [1.0]}, 2)
    assert samples == {"slow": [2.0, 3.0, 2.0, 3.0], "fast": [1.0, 1.0]}


def test_percentiles_are_linear_between_samples():
    """Percentiles of 0 to 100 are the values themselves; the median of 1 and 2 is 1.5."""
    summary = summarise([float(value) for value in reversed(range(101))])
    assert (summary["p5"], summary["p50"], summary["p95"], summary["p99"]) == (5, 50, 95, 99)
    assert (summary["n"], summary["least"], summary["most"]) == (101, 0, 100)
    assert summarise([1.0, 2.0])["p50"] == pytest.approx(1.5)


def test_no_samples_have_no_summary():
    """The summary of no samples is None, not zero."""
    assert summarise([]) is None


def test_warm_calls_are_not_timed():
    """A turn starts with two untimed calls; the number of timed calls is limited."""
    calls = []
    assert len(take_turn(lambda: calls.append(0), limit_s=60, most_calls=3)) == 3
    assert len(calls) == 5


def test_slow_call_still_has_one_sample():
    """A call slower than the limit is warmed up once and timed once."""
    calls = []
    assert len(take_turn(lambda: calls.append(0), limit_s=0, most_calls=10)) == 1
    assert len(calls) == 2
