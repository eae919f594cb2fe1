"""Measure a cine against the network alone, and its memory against its length.

    python -m benchmarks.cine [--frames 24] [--rounds 6] [--out benchmarks/results]

Both take turns in one run on the same frames (`benchmarks.interleaving`), in wall time and in CPU
time of all threads and processes. The network alone runs on prepared inputs, in batches of the same
size. Memory is the largest resident set of a process that measures 100 and 1,000 frames.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite

from benchmarks.interleaving import interleave
from examples.phantom import draw_phantom, load_parameters
from harness.documents import write_report
from harness.machine import describe_machine, to_report_header
from headcirc.cine.answers import CineSummary
from headcirc.cine.lines import measure_cine
from headcirc.cine.track import BATCH
from headcirc.pipeline import Pipeline, load_pipeline
from headcirc.readers.pixel_size import to_stated_spacing
from headcirc.readers.reader import ReadOptions
from headcirc.readers.sequences import open_sequence

RESULT_NAME = "cine.json"
PIXEL_SIZE_MM = 0.1277
PHANTOM = 7
LENGTHS = (100, 1000)
KIB = 1024
STATUS = Path("/proc/self/status")
NETWORK = "network"
Frames = list[NDArray[np.uint8]]


def draw_frames(count: int) -> Frames:
    """Return views of a phantom, 800x540, that sway from side to side as a probe does."""
    picture = draw_phantom(load_parameters()[PHANTOM])
    return [np.roll(picture, round(8 * np.sin(index / 5)), axis=1) for index in range(count)]


def write_dicom(path: Path, frames: Frames) -> None:
    """Write an uncompressed multi-frame file."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.3.1", uid.generate_uid()
    header.Rows, header.Columns = frames[0].shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 8, 8, 7
    header.PixelRepresentation, header.NumberOfFrames = 0, len(frames)
    header.PixelData = b"".join(each.tobytes() for each in frames)
    header["PixelData"].VR = "OB"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    dcmwrite(path, header, enforce_file_format=True)


def write_video(path: Path, frames: Frames) -> None:
    """Write an MP4 (MPEG-4 part 2, which OpenCV's wheel can write)."""
    rows, columns = frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (columns, rows))
    for each in frames:
        writer.write(cv2.cvtColor(each, cv2.COLOR_GRAY2BGR))
    writer.release()


def measure_file(pipeline: Pipeline, path: Path) -> CineSummary:
    """Measure a file to its summary; keep no other line."""
    spacing = to_stated_spacing(PIXEL_SIZE_MM)
    with ExitStack() as stack:
        stream = stack.enter_context(path.open("rb"))
        lines = measure_cine(pipeline, [stream], pixel_spacing=spacing)
        *_, summary = stack.enter_context(closing(lines))
    assert isinstance(summary, CineSummary)
    return summary


def prepare_inputs(pipeline: Pipeline, path: Path) -> list[NDArray[np.float32]]:
    """Return the network's inputs of a file, in batches."""
    with path.open("rb") as stream, closing(open_sequence([stream], ReadOptions())) as sequence:
        inputs = [pipeline.prepare_frame(each.read()).network_input for each in sequence]
    return [np.concatenate(inputs[at : at + BATCH]) for at in range(0, len(inputs), BATCH)]


def read_cpu_s() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(each) for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def time_once(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    cpu_s, began_s = read_cpu_s(), time.perf_counter()
    work()
    return time.perf_counter() - began_s, read_cpu_s() - cpu_s


def compare(pipeline: Pipeline, paths: dict[str, Path], *, frames: int, rounds: int) -> Any:
    """Time the network and each kind of file in turns; return seconds and ratios."""
    batches = prepare_inputs(pipeline, next(iter(paths.values())))
    turns: dict[str, Callable[[], object]] = {
        NETWORK: lambda: [pipeline.infer(each) for each in batches]
    }
    turns |= {name: lambda path=path: measure_file(pipeline, path) for name, path in paths.items()}
    for work in turns.values():
        work()  # warm
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for name in interleave(list(turns), rounds):
        samples[name].append(time_once(turns[name]))
        wall_s, cpu_s = samples[name][-1]
        print(
            f"{name}: {1000 * wall_s / frames:.1f} ms, CPU {1000 * cpu_s / frames:.1f} ms a frame"
        )
    return {name: _to_result(samples, name, frames) for name in turns}


def _to_result(
    samples: dict[str, list[tuple[float, float]]], name: str, frames: int
) -> dict[str, float]:
    """Return the medians of a turn, and the median over rounds of the network's share of it."""
    pairs = list(zip(samples[NETWORK], samples[name], strict=True))
    return {
        "wall_ms_per_frame": 1000 * median(wall for wall, _ in samples[name]) / frames,
        "cpu_ms_per_frame": 1000 * median(cpu for _, cpu in samples[name]) / frames,
        "of_network_wall": median(alone[0] / own[0] for alone, own in pairs),
        "of_network_cpu": median(alone[1] / own[1] for alone, own in pairs),
    }


def measure_peak_mib(path: Path) -> float:
    """Measure a file in a new process; return its largest resident set."""
    command = [sys.executable, "-m", "benchmarks.cine", "--peak-of", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["peak_mib"])


def print_peak(path: Path) -> None:
    """Measure a file and print this process's largest resident set."""
    measure_file(load_pipeline(), path)
    # Not `getrusage`: its largest resident set is that of the parent, if that was larger.
    status = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    print(json.dumps({"peak_mib": int(status["VmHWM"].split()[0]) / KIB}))


def main() -> None:
    """Measure both and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peak_of is not None:
        print_peak(chosen.peak_of)
        return
    pipeline = load_pipeline()
    with tempfile.TemporaryDirectory() as folder:
        paths = {"dicom": Path(folder, "cine.dcm"), "video": Path(folder, "cine.mp4")}
        frames = draw_frames(chosen.frames)
        write_dicom(paths["dicom"], frames)
        write_video(paths["video"], frames)
        speed = compare(pipeline, paths, frames=chosen.frames, rounds=chosen.rounds)
        memory = {}
        for length in () if chosen.skip_memory else LENGTHS:
            path = Path(folder, f"{length}.dcm")
            write_dicom(path, draw_frames(length))
            memory[str(length)] = {
                "file_mib": path.stat().st_size / KIB**2,
                "peak_mib": measure_peak_mib(path),
            }
            print(f"{length} frames: {memory[str(length)]['peak_mib']:.0f} MiB")
    report = {
        **to_report_header(pipeline, "python -m benchmarks.cine"),
        "machine": describe_machine(),
        "frames": chosen.frames,
        "rounds": chosen.rounds,
        "batch": BATCH,
        "speed": speed,
        "memory_by_frames": memory,
    }
    write_report(chosen.out / RESULT_NAME, report)


if __name__ == "__main__":
    main()
