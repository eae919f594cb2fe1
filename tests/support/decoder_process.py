"""Decode mutated files in a separate process, so that a crash is visible to the test.

`python -m tests.support.decoder_process FIRST LAST` prints the number, outcome and CPU seconds of
each file, and finally the peak memory.
"""

import faulthandler
import os
import sys
import time
import warnings

from harness.processes import read_memory_mb
from headcirc.errors import InputError
from headcirc.readers.decode import decode_frame
from tests.support.mutations import mutate, to_bombs, to_refused_seeds, to_seeds

PEAK = "VmHWM"
"""Starts at zero in each program, unlike `ru_maxrss`, which includes the parent's peak."""
GOOD_SHARE = 3
"""Valid files are mutated this many times more often, because they reach more code."""
PATIENCE_S = 60
"""Wall-clock limit for one file; then the process prints its stack and ends."""


def find_outcome(content: bytes) -> str:
    try:
        decode_frame(content)
    except InputError as refusal:
        return refusal.code
    except Exception as error:  # what the service would answer with 500
        return f"CRASH:{type(error).__name__}"
    return "frame"


def main(first: int, last: int) -> None:
    warnings.simplefilter("ignore")
    seeds, bombs = to_seeds() * GOOD_SHARE + to_refused_seeds(), to_bombs()
    before_mb = read_memory_mb(os.getpid(), PEAK)
    for number in range(first, last):
        content = bombs[number] if number < len(bombs) else mutate(seeds, number)
        faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
        began_s = time.process_time()
        outcome = find_outcome(content)
        print(number, outcome, round(time.process_time() - began_s, 4), flush=True)  # noqa: T201
    faulthandler.cancel_dump_traceback_later()
    peak_mb = read_memory_mb(os.getpid(), PEAK)
    print("memory", round(before_mb), round(peak_mb))  # noqa: T201


main(int(sys.argv[1]), int(sys.argv[2]))
