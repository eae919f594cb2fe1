import subprocess
import sys
from collections import Counter

import pytest

from headcirc import errors
from headcirc.readers.decode import decode_frame
from tests.support.mutations import mutate, to_bombs, to_refused_seeds, to_seeds

FEW, MANY = 400, 6_000
MOST_CPU_S = 2.0
MOST_MEMORY_MB = 1_000
"""Memory of a process that decodes pictures of 40 million pixels, the largest accepted."""
REFUSALS = {each.code for each in (errors.UnreadableImageError, errors.UnsupportedMediaTypeError)}
REFUSALS |= {each.code for each in (errors.ImageTooLargeError, errors.InvalidFrameError)}


def test_every_format_is_mutated():
    """The seeds are valid files of all formats and JPEG processes; most mutations change them."""
    seeds = to_seeds()
    assert {decode_frame(each).pixels.shape for each in seeds} == {(54, 80), (80, 54)}
    for content in to_refused_seeds():
        with pytest.raises(errors.UnsupportedMediaTypeError):
            decode_frame(content)
    changed = [mutate(seeds, number) != seeds[number % len(seeds)] for number in range(200)]
    assert sum(changed) > 180
    assert mutate(seeds, 7) == mutate(seeds, 7)


@pytest.mark.parametrize("files", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_mutated_files_are_decoded_or_refused(record, files):
    """Each file gives a frame or a documented error; no crash, no hang, no excessive memory."""
    command = [sys.executable, "-m", "tests.support.decoder_process", "0", str(files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    *lines, memory = (line.split() for line in done.stdout.splitlines())
    assert done.returncode == 0, f"the process died at file {len(lines)}: {done.stderr[-2000:]}"
    assert memory[0] == "memory"
    outcomes = Counter(outcome for _, outcome, _ in lines)
    slowest_cpu_s, slowest = max((float(cpu_s), int(number)) for number, _, cpu_s in lines)
    peak_mb = int(memory[2])
    faults = [line for line in lines if line[1] not in REFUSALS | {"frame"}]
    assert not faults
    assert len(lines) == files
    assert outcomes["frame"] > 0 < outcomes["unreadable-image"]
    assert outcomes["unsupported-media-type"] > 0
    assert slowest_cpu_s < MOST_CPU_S, f"file {slowest}"
    assert peak_mb < MOST_MEMORY_MB
    if files == MANY:
        bombs = len(to_bombs())
        figures = {"files": files, "bombs": bombs, "outcomes": dict(outcomes)}
        record("decoder", **figures, slowest_cpu_s=slowest_cpu_s, peak_memory_mb=peak_mb)
