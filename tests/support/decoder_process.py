"""Decode mutated files in a process of its own, whose death would be seen: one line for each.

`python -m tests.support.decoder_process FIRST LAST` prints number, outcome and CPU seconds, and at
last the peak of its memory.
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
"""Begins anew with the program, unlike `ru_maxrss`, which has the peak of whoever started it."""
GOOD_SHARE = 3
"""Files that decode are mutated so much more often: more of their code runs than of a refusal."""
PATIENCE_S = 60
"""On the wall clock, for one file; then the process says where it hangs, and ends."""


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
