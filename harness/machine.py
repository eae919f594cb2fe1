"""Describe the machine and the model of a measurement, without host names or paths."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which
from typing import Any

from headcirc.cpus import count_available_cpus
from headcirc.model.manifest import Manifest, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR, Pipeline

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
"""Instruction sets that decide how fast a network runs on a CPU."""
GPU_QUERY = ("--query-gpu=name,driver_version", "--format=csv,noheader")
GPU_TIMEOUT_S = 30.0


def read_cpu_model(path: Path = CPU_INFO) -> str:
    """Return the processor's name from the kernel, or the architecture if there is none."""
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

    The kernel may report only a family (`AMD EPYC`), and its processors differ in these
    instructions. On other architectures, where none of `INSTRUCTIONS` is known, return the name
    alone.
    """
    if not instructions:
        return model
    if "avx512_vnni" not in instructions and "avx_vnni" in instructions:
        return f"{model} with AVX-VNNI"
    return f"{model} {'with' if 'avx512_vnni' in instructions else 'without'} AVX-512 VNNI"


def read_gpu() -> str | None:
    """Return the name and driver of each GPU from `nvidia-smi`, or None without a GPU."""
    tool = which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, *GPU_QUERY]
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=GPU_TIMEOUT_S
    )
    if finished.returncode:
        return None
    return "; ".join(finished.stdout.split("\n")).strip("; ") or None


def read_memory_gib(path: Path = MEMORY_INFO) -> float | None:
    """Return the host's memory, or None if the kernel does not report it."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("MemTotal:"):
                return round(int(line.split()[1]) / KIB_PER_GIB, 1)
    return None


def read_operating_system() -> str:
    """Return the distribution and kernel, for example `Debian GNU/Linux 12 (Linux 6.1.0)`."""
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']} ({kernel})"
    except (OSError, KeyError):  # no such file, or one without the name
        return kernel


def describe_machine(packages: Sequence[str] = PACKAGES) -> dict[str, object]:
    """Return the facts about the machine that a published figure needs.

    `cpu` is the name that reports print. `cpus_available` counts the CPUs that this process may
    use, `cpus_of_host` all CPUs. `packages` lists only installed packages.
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
    """Return the name and version of the measured model; other weights give other figures."""
    return {"name": manifest.name, "version": manifest.version}


def to_shipped_note(versions: Mapping[str, str]) -> str:
    """Return a sentence if the shipped model was not measured, otherwise an empty text.

    Parameters
    ----------
    versions : mapping
        The measured version of each model, by the model's name.
    """
    shipped = load_manifest(SHIPPED_MODEL_DIR)
    if versions.get(shipped.name) == shipped.version:
        return ""
    return f" {shipped.name} {shipped.version} ships; it was not measured."


def to_report_header(pipeline: Pipeline, command: str, *, every: int = 1) -> dict[str, Any]:
    """Return the first fields of an evaluation's report.

    Parameters
    ----------
    pipeline : Pipeline
        The measured model.
    command : str
        The command that makes the report again.
    every : int
        The value of `--every`; it is added to the command if it is not 1.
    """
    return {
        "command": f"{command} --every {every}" if every > 1 else command,
        "date": to_timestamp(),
        "model_sha256": pipeline.graph.sha256,
        "precision": pipeline.backend.precision,
    }


def to_timestamp() -> str:
    """Return the current time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
