import pytest

from harness.targets import NETWORK_P50, Target, Verdict, to_exit_status

FLOOR = Target("cpu", "throughput", 0.8, "of it", is_floor=True)
MET = Verdict(NETWORK_P50, "engine", 12.0)
MISSED = Verdict(NETWORK_P50, "engine", 16.0)
ABSENT = Verdict(NETWORK_P50, "no engine of this device is here", None)


@pytest.mark.parametrize(
    ("target", "value", "status"),
    [
        (NETWORK_P50, 15.0, "met"),
        (NETWORK_P50, 15.01, "missed"),
        (FLOOR, 0.8, "met"),
        (FLOOR, 0.79, "missed"),
        (FLOOR, None, "not measured"),
        (NETWORK_P50, None, "not measured"),
    ],
)
def test_a_value_on_the_limit_meets_it(target, value, status):
    """Ceilings and floors include their limit; without a value nothing is judged."""
    assert Verdict(target, "engine", value).status == status


def test_an_absent_engine_is_told_as_not_measured():
    """Its line says why, and neither that it met nor that it missed anything."""
    assert ABSENT.to_line() == (
        "cpu: network alone, p50 at most 15 ms: not measured (no engine of this device is here)"
    )


def test_a_line_says_value_and_subject():
    """A judged line has the figure with its unit."""
    assert MISSED.to_line() == "cpu: network alone, p50 at most 15 ms: missed (16 ms, engine)"


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([MET, MET], 0),
        ([MET, MISSED, ABSENT], 1),
        ([MET, ABSENT], 3),
        ([ABSENT], 3),
        ([], 3),
    ],
)
def test_exit_status(verdicts, status):
    """Missed outweighs not measured, which outweighs met; nothing at all proves nothing."""
    assert to_exit_status(verdicts) == status


def test_missed_limit_is_not_shown_as_the_limit():
    """1.102 is above 1.1, and 1.1 itself is not."""
    target = Target("cpu", "a ratio", 1.1, "times")
    assert "missed (1.102 times" in Verdict(target, "engine", 1.1021).to_line()
    assert "met (1.1 times" in Verdict(target, "engine", 1.1).to_line()
