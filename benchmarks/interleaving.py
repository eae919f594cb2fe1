"""Interleave measurements and summarise their samples.

Engines take short turns in rounds, so that drift (clock rate, temperature, other load on the host)
affects all of them equally.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

PERCENTILES = (5, 25, 50, 75, 95, 99)
WARM_CALLS = 2
"""Untimed calls at the start of a turn; after the previous turn, caches hold other weights."""

Summary = dict[str, float | int]
Turn = Callable[[], list[float]]


def interleave(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Yield every name once per round; each round starts one name later.

    Without this rotation, an engine would always run after the same other engine.
    """
    for at in range(rounds):
        start = at % len(names) if names else 0
        yield from (*names[start:], *names[:start])


def take_turn(call: Callable[[], Any], *, limit_s: float, most_calls: int) -> list[float]:
    """Time a few calls, at least one, and return their milliseconds.

    Parameters
    ----------
    call : callable
    limit_s : float
        No call starts after this time; the warm-up takes at most half of it.
    most_calls : int
        Largest number of timed calls.
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
    """Run every turn once per round and return all samples by name."""
    samples_ms: dict[str, list[float]] = {name: [] for name in turns}
    for name in interleave(list(turns), rounds):
        samples_ms[name] += turns[name]()
    return samples_ms


def summarise(samples: Sequence[float]) -> Summary | None:
    """Return the number, mean, extremes and percentiles of samples; None without samples."""
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
