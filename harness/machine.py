"""What a measurement was run on, in words that may be published: no host name, no paths."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which

from headcirc.cpus import count_available_cpus
from headcirc.model.manifest import Manifest

CPU_INFO = Path("/proc/cpuinfo")
MEMORY_INFO = Path("/proc/meminfo")
KIB_PER_GIB = 1024**2
PACKAGES = (
    "headcirc",
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "torch",
    "fastapi",
    "uvicorn",
    "scipy",
    "scikit-learn",
)

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""Those that decide how fast a network can be on a CPU."""
GPU_QUESTION = ("--query-gpu=name,driver_version", "--format=csv,noheader")
GPU_TIMEOUT_S = 30.0


def read_cpu_model(path: Path = CPU_INFO) -> str:
    """Return the processor's name as the kernel tells it, or the architecture where it does not."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def read_instructions(path: Path = CPU_INFO) -> list[str]:
    """Return which of `INSTRUCTIONS` the processor has."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("flags"):
                flags = set(line.partition(":")[2].split())
                return [name for name in INSTRUCTIONS if name in flags]
    return []


def to_cpu_name(model: str, instructions: Sequence[str]) -> str:
    """Return a processor's name with the instructions that decide how fast 8-bit products are.

    The kernel may tell a family alone (`AMD EPYC`), whose processors differ in just that. Where
    none of `INSTRUCTIONS` is known, as on other architectures, the name stands alone.
    """
    if not instructions:
        return model
    if "avx512_vnni" not in instructions and "avx_vnni" in instructions:
        return f"{model} with AVX-VNNI"
    return f"{model} {'with' if 'avx512_vnni' in instructions else 'without'} AVX-512 VNNI"


def read_gpu() -> str | None:
    """Return name and driver of the GPUs as NVIDIA's tool tells them, or None without any."""
    tool = which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, *GPU_QUESTION]
    asked = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=GPU_TIMEOUT_S
    )
    return None if asked.returncode else "; ".join(asked.stdout.split("\n")).strip("; ") or None


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

    `cpu` is what machine lines print; `cpus_available` are those that this process may use,
    `cpus_of_host` all that there are.
    """
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    instructions = read_instructions()
    return {
        "cpu": to_cpu_name(read_cpu_model(), instructions),
        "cpu_instructions": instructions,
        "cpus_available": count_available_cpus(),
        "cpus_of_host": os.cpu_count(),
        "gpu": read_gpu(),
        "memory_gib": read_memory_gib(),
        "operating_system": read_operating_system(),
        "python": platform.python_version(),
        "packages": versions,
    }


def to_model_facts(manifest: Manifest) -> dict[str, str]:
    """Return whose figures they are: of another version's weights they would be others."""
    return {"name": manifest.name, "version": manifest.version}


def to_timestamp() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
