"""Measure `headcirc analyze` on a folder, with one and with two measuring processes in turns.

`python -m benchmarks.folder` writes a folder of pictures, which repeat, and measures it by the
command that users give. The time of a run is that of the whole command, with loading the model.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaving import interleave
from harness.documents import write_report
from harness.machine import describe_machine, to_model_facts, to_timestamp
from harness.options import add_folder_options
from harness.paths import SPEED_RESULTS_DIR
from harness.pictures import Picture, load_pictures
from harness.processes import read_children_cpu_s, read_memory_mb, sum_over_tree
from harness.targets import FOLDER_SPEED, Verdict, to_exit_status
from headcirc.batch.measuring_pool import PROCESSES
from headcirc.cli.command import EXIT_ALL_MEASURED, EXIT_SOME_NOT
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

SCHEMA_VERSION = 1
COMMAND = "python -m benchmarks.folder"
SIZES = "sizes.csv"
WAIT_S = 0.25


@dataclass(frozen=True)
class Run:
    """One run of `headcirc analyze`.

    Attributes
    ----------
    took_s : float
        From the start of the command to its end, with loading.
    cpu_s : float
        CPU seconds of the command and all its processes.
    early_memory_mb, late_memory_mb : float
        Largest memory of all its processes together, in the second and in the last quarter of the
        time; shared libraries count once for each process.
    """

    took_s: float
    cpu_s: float
    early_memory_mb: float
    late_memory_mb: float


def fill_folder(pictures: Sequence[Picture], folder: Path, images: int) -> None:
    """Write so many files, and a table of their pixel sizes, into a folder."""
    lines = ["filename,pixel_size_mm"]
    for index, picture in enumerate(islice(cycle(pictures), images)):
        name = f"{index:04d}.png"
        (folder / name).write_bytes(picture.content)
        lines.append(f"{name},{picture.pixel_size_mm!r}")
    (folder / SIZES).write_text("\n".join(lines) + "\n")


def run_analyze(folder: Path, processes: int) -> Run:
    """Measure the folder once.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    command = [sys.executable, "-m", "headcirc.cli", "analyze", str(folder)]
    command += ["--pixel-sizes", str(folder / SIZES), "--csv", str(folder / "rows.csv")]
    began_s, used_s = time.perf_counter(), read_children_cpu_s()
    running = subprocess.Popen(
        [*command, "--processes", str(processes)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    memory_mb = []
    while running.poll() is None:
        memory_mb.append(sum_over_tree(running.pid, read_memory_mb))
        time.sleep(WAIT_S)
    took_s = time.perf_counter() - began_s
    if running.returncode not in (EXIT_ALL_MEASURED, EXIT_SOME_NOT):
        raise RuntimeError(f"headcirc analyze ended with status {running.returncode}.")
    quarters = np.array_split(np.array(memory_mb), 4)
    early_mb, late_mb = (float(max(quarters[i], default=0.0)) for i in (1, 3))
    return Run(took_s, read_children_cpu_s() - used_s, early_mb, late_mb)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure in turns and return the report."""
    counts = {str(count): count for count in (1, PROCESSES)}
    source, pictures = load_pictures(chosen.data)
    with tempfile.TemporaryDirectory() as name:
        fill_folder(pictures, Path(name), chosen.images)
        turns = {key: partial(run_analyze, Path(name), count) for key, count in counts.items()}
        runs: dict[str, list[Run]] = {key: [] for key in counts}
        for key in interleave(list(turns), chosen.rounds):
            runs[key].append(turns[key]())
    found = {key: to_facts(each, chosen.images) for key, each in runs.items()}
    speed = found[str(PROCESSES)]["images_per_s"] / found["1"]["images_per_s"]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": COMMAND,
        "date": to_timestamp(),
        "machine": describe_machine(),
        "model": to_model_facts(load_manifest(SHIPPED_MODEL_DIR)),
        "pictures": source,
        "images": chosen.images,
        "rounds": chosen.rounds,
        "processes": found,
        "speed": speed,
    }


def to_facts(runs: Sequence[Run], images: int) -> dict[str, Any]:
    """Return the medians of several runs as JSON data, and all runs."""
    took_s, cpu_s = (float(np.median([getattr(r, n) for r in runs])) for n in ("took_s", "cpu_s"))
    return {
        "images_per_s": images / took_s,
        "cpu_s_per_image": cpu_s / images,
        "memory_growth": max(run.late_memory_mb / run.early_memory_mb - 1 for run in runs),
        "runs": [asdict(run) for run in runs],
    }


def to_verdict(report: Mapping[str, Any]) -> Verdict:
    """Return the verdict on the speed of two processes."""
    return Verdict(FOLDER_SPEED, f"{report['images']} images", report["speed"])


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--images", type=int, default=500, help="how many images")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    add_folder_options(parser, SPEED_RESULTS_DIR)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the report, print the figures; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    report = measure(chosen)
    write_report(chosen.out / "folder.json", report)
    for count, facts in report["processes"].items():
        print(
            f"{count} process(es): {facts['images_per_s']:.1f} images per second, "
            f"{facts['cpu_s_per_image']:.3f} CPU seconds each, memory "
            f"{facts['memory_growth']:+.1%} from the second quarter to the last"
        )
    verdict = to_verdict(report)
    print(verdict.to_line())
    return to_exit_status([verdict])


if __name__ == "__main__":
    sys.exit(main())
