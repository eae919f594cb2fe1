"""Ray itself: the one that runs somewhere, or one that is started on this machine and ends with us.

Ray is imported when it is wanted, because it reads the environment then. This module measures
nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headcirc.batch import UsageError
from headcirc.cpus import count_available_cpus
from headcirc.geometry import PixelSpacing

OBJECT_STORE_BYTES = 150_000_000
"""Of a Ray that is started here: what passes through it is small."""
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
    """

    model_dir: Path
    backend: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None


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


def count_room(plan: Plan) -> int:
    """Return how many workers Ray has room for.

    Raises
    ------
    UsageError
        None.
    """
    import ray

    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    shares = [has / wants for has, wants in ((cpus, plan.cpus), (gpus, plan.gpus)) if wants]
    room = int(min(shares, default=cpus))
    if room < 1:
        raise UsageError(
            f"A worker wants {plan.cpus:g} CPUs and {plan.gpus:g} GPUs, and Ray has {cpus:g} and "
            f"{gpus:g}."
        )
    return room
