"""Order and statistics of interleaved measurements: who is measured when, and what remains of it.

Engines take short turns, round after round, so that what drifts (clock rates, a neighbour on the
host, temperature) hits all of them alike. This module measures time, and knows no engine.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

PERCENTILES = (5, 25, 50, 75, 95, 99)
WARM_CALLS = 2
"""Untimed calls that open a turn: caches hold the neighbour's weights after his turn."""

Summary = dict[str, float | int]
Turn = Callable[[], list[float]]


def interleave(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield every name once a round, each round beginning one name later.

    Without the rotation, one engine would always run after the same neighbour.
    """
    for at in range(rounds):
        start = at % len(names) if names else 0
        yield from (*names[start:], *names[:start])


def take_turn(call: Callable[[], Any], *, limit_s: float, most_calls: int) -> list[float]:
    """Return the milliseconds of a few calls, at least of one.

    Parameters
    ----------
    call : callable
    limit_s : float
        No further call begins after so many seconds; half of them at most warm up.
    most_calls : int
        Timed ones.
    """
    began_s = time.perf_counter()
    for _ in range(WARM_CALLS):
        call()
        if time.perf_counter() - began_s > limit_s / 2:
            break
    samples_ms: list[float] = []
    while len(samples_ms) < most_calls:
        before_s = time.perf_counter()
        call()
        after_s = time.perf_counter()
        samples_ms.append((after_s - before_s) * 1000)
        if after_s - began_s > limit_s:
            break
    return samples_ms


def measure_interleaved(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Let each take its turn in every round; returns all samples by name."""
    samples_ms: dict[str, list[float]] = {name: [] for name in turns}
    for name in interleave(list(turns), rounds):
        samples_ms[name] += turns[name]()
    return samples_ms


def summarise(samples: Sequence[float]) -> Summary | None:
    """Return number, mean, extremes and percentiles (linear between samples); None of nothing."""
    if not samples:
        return None
    values = np.asarray(samples, np.float64)
    percentiles = {
        f"p{share}": float(value)
        for share, value in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)
    }
    return {
        "n": len(values),
        "mean": float(values.mean()),
        "least": float(values.min()),
        **percentiles,
        "most": float(values.max()),
    }
