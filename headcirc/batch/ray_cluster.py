"""Ray itself: the one that runs somewhere, or one that is started on this machine and ends with us.

Ray is imported when it is wanted, because it reads the environment then. This module measures
nothing.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headcirc.batch.files import UsageError
from headcirc.cpus import count_available_cpus
from headcirc.geometry import PixelSpacing

OBJECT_STORE_BYTES = 150_000_000
"""Object store of a Ray that is started here; only small objects pass through it."""
ROUNDING = 1e-9
"""Tolerance for shares: 0.3 CPUs have room for three times 0.1."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tells nobody that it runs
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as Ray will behave anyhow, without its warning
}
ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as there: a Ray of one machine, on the loopback
    "RAY_raylet_start_wait_time_s": "120",  # a busy machine takes longer than the usual 30
}
"""Ray's settings are in the environment, for it and for the processes that it starts."""


@dataclass(frozen=True)
class Plan:
    """Which model runs, in how many workers, each on what.

    Attributes
    ----------
    model_dir : Path
        At the same place on every machine.
    backend, precision : str
    workers : int, optional
        By default as many as the CPUs, or GPUs, have room for.
    cpus, gpus : float
        Of one worker; fractions share a CPU or GPU.
    address : str, optional
        Of a running Ray; by default one is started on this machine, and stopped again.

    Raises
    ------
    UsageError
        No worker, or a share of a CPU or GPU that is none.
    """

    model_dir: Path
    backend: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None

    def __post_init__(self) -> None:
        """Refuse what Ray would wait for without an end, or fail of."""
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers measure nothing; one is the least.")
        if not 0 < self.cpus < math.inf:
            raise UsageError(f"A worker cannot run on {self.cpus:g} CPUs; name more than 0.")
        if not 0 <= self.gpus < math.inf:
            raise UsageError(f"A worker cannot have {self.gpus:g} GPUs; name 0 or more.")


@dataclass(frozen=True)
class Task:
    """One image to be measured; `name` is its path below the source folder."""

    name: str
    path: Path
    spacing: PixelSpacing | None


@contextmanager
def open_ray(address: str | None) -> Iterator[None]:
    """Use the Ray that this process has, or one elsewhere, or start one here, on the loopback.

    Raises
    ------
    UsageError
        There is none at the address, or none can be started.
    """
    for name, value in (QUIET if address else QUIET | ALONE).items():
        os.environ.setdefault(name, value)  # noqa: TID251 - Ray's, not ours
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        if address is None:
            ray.init(
                "local",
                num_cpus=count_available_cpus(),
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
            )
        else:
            ray.init(address, log_to_driver=False)
    except Exception as error:  # Ray's own are of many kinds, one of them bare
        where = "can be started here" if address is None else f"answers at {address!r}"
        raise UsageError(f"No Ray {where}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def count_capacity(cpus: float, gpus: float) -> int:
    """Return how many processes that each want so much Ray has room for, were nothing else there.

    Raises
    ------
    UsageError
        None.
    """
    import ray

    wanted = {"CPU": cpus, "GPU": gpus}
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(
        int(min(has.get(name, 0.0) / wants + ROUNDING for name, wants in wanted.items() if wants))
        for has in machines
    )
    if room < 1:
        there = ray.cluster_resources()
        raise UsageError(
            f"Each process wants {cpus:g} CPUs and {gpus:g} GPUs of one machine; Ray has "
            f"{there.get('CPU', 0.0):g} and {there.get('GPU', 0.0):g} in all, on "
            f"{len(machines)} machine{'s' * (len(machines) != 1)}."
        )
    return room
