"""What a measurement was run on, in words that may be published: no host name, no paths."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headcirc.cpus import count_available_cpus

CPU_INFO = Path("/proc/cpuinfo")
MEMORY_INFO = Path("/proc/meminfo")
KIB_PER_GIB = 1024**2
PACKAGES = (
    "headcirc",
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "openvino",
    "fastapi",
    "uvicorn",
    "scipy",
    "scikit-learn",
)


def read_cpu_model(path: Path = CPU_INFO) -> str:
    """Return the processor's name as the kernel tells it, or the architecture where it does not."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def read_memory_gib(path: Path = MEMORY_INFO) -> float | None:
    """Return the host's memory, or None where the kernel does not tell."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("MemTotal:"):
                return round(int(line.split()[1]) / KIB_PER_GIB, 1)
    return None


def read_operating_system() -> str:
    """Return distribution and kernel, for example `Debian GNU/Linux 12 (Linux 6.1.0)`."""
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']} ({kernel})"
    except (OSError, KeyError):  # no such file, or one without the name
        return kernel


def describe_machine(packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Return the facts that a published figure needs beside it; only packages that are installed.

    `cpus_available` are those that this process may use, `cpus_of_host` all that there are.
    """
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "cpu": read_cpu_model(),
        "cpus_available": count_available_cpus(),
        "cpus_of_host": os.cpu_count(),
        "memory_gib": read_memory_gib(),
        "operating_system": read_operating_system(),
        "python": platform.python_version(),
        "packages": versions,
    }


def to_timestamp() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
