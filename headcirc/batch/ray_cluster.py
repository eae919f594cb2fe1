"""Connect to a running Ray, or start one on this machine that ends with this process.

Ray is imported inside functions, because it reads the environment when it is imported.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headcirc.batch.files import UsageError
from headcirc.batch.stated import StatedFacts
from headcirc.cpus import count_available_cpus

OBJECT_STORE_BYTES = 150_000_000
"""Size of the object store of a Ray that is started here: only names and rows pass through it."""
ROUNDING = 1e-9
"""Tolerance for sums of fractions: 0.3 CPUs have room for three times 0.1."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage reports
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's future default, without its warning
}
ALONE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # one machine, on the loopback address
    "RAY_raylet_start_wait_time_s": "120",  # the default of 30 is too short for a busy machine
}
"""Ray reads its settings from the environment, and so do the processes that it starts."""


@dataclass(frozen=True)
class Plan:
    """Which model runs, in how many workers, and with which resources.

    Attributes
    ----------
    model_dir : Path
        At the same path on every machine.
    backend, precision : str
    site_file : Path, optional
        At the same path on every machine, too.
    workers : int, optional
        By default as many as the CPUs or GPUs have room for.
    cpus, gpus : float
        For one worker; workers with a fraction share a CPU or GPU.
    address : str, optional
        Address of a running Ray; by default one is started on this machine and stopped at the end.
    frame_index : int, optional
        The frame to measure in files of several frames.

    Raises
    ------
    UsageError
        The number of workers, CPUs or GPUs is not possible.
    """

    model_dir: Path
    backend: str = "auto"
    precision: str = "auto"
    site_file: Path | None = None
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None
    frame_index: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers with which Ray would fail or wait forever."""
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers measure nothing; one is the least.")
        if not 0 < self.cpus < math.inf:
            raise UsageError(f"A worker cannot run on {self.cpus:g} CPUs; name more than 0.")
        if not 0 <= self.gpus < math.inf:
            raise UsageError(f"A worker cannot have {self.gpus:g} GPUs; name 0 or more.")


@dataclass(frozen=True)
class Task:
    """One image to measure; `name` is its path below the source folder."""

    name: str
    path: Path
    stated: StatedFacts


@contextmanager
def open_ray(address: str | None) -> Iterator[None]:
    """Use this process's Ray, connect to the one at an address, or start one on the loopback.

    Raises
    ------
    UsageError
        No Ray answers at the address, or it cannot be started.
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
    except Exception as error:  # Ray raises many kinds, also a plain Exception
        where = "can be started here" if address is None else f"answers at {address!r}"
        raise UsageError(f"No Ray {where}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def count_capacity(cpus: float, gpus: float) -> int:
    """Return how many processes with these resources fit into an otherwise idle Ray.

    Raises
    ------
    UsageError
        Not even one.
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
