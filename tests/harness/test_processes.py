import os
import subprocess
from pathlib import Path

import pytest

from harness.processes import (
    find_tree,
    parse_cpu_s,
    parse_memory_mb,
    read_cpu_s,
    read_memory_mb,
    read_thread_cpu_s,
    reset_peak_memory,
    sum_over_tree,
)

STAT = (
    "4965 (a name) with) R 4899 4899 3778 0 -1 4194304 103 0 0 0 250 75 900 900 20 0 1 0 181287 "
    "3133440 383 18446744073709551615"
)
STATUS = (
    "Name:\tpython\nVmPeak:\t  900000 kB\nVmHWM:\t  500000 kB\nVmRSS:\t  250000 kB\nThreads:\t5\n"
)


def test_cpu_seconds_are_user_and_system_ticks_of_the_process_alone():
    """250 and 75 ticks are 3.25 s at 100 a second; the children's 1,800 do not count."""
    assert parse_cpu_s(STAT, ticks_per_s=100) == pytest.approx(3.25)


def test_memory_is_in_millions_of_bytes():
    """The kernel's kB are KiB."""
    assert parse_memory_mb(STATUS, "VmRSS") == pytest.approx(256.0)
    assert parse_memory_mb(STATUS, "VmHWM") == pytest.approx(512.0)


def test_a_size_that_is_not_there_is_an_error():
    """A missing line is never zero memory."""
    with pytest.raises(KeyError):
        parse_memory_mb(STATUS, "VmSwap")


def test_this_process_can_be_read():
    """The kernel's files are as the parsers expect: threads sum up to no more than the process."""
    pid = os.getpid()
    reset_peak_memory(pid)
    assert read_memory_mb(pid, "VmHWM") >= read_memory_mb(pid) * 0.9 > 1
    threads_s = read_thread_cpu_s(pid)
    assert pid in threads_s
    assert 0 < max(threads_s.values()) <= read_cpu_s(pid)


def test_tree_holds_a_process_and_its_children():
    """A child stands in its parent's tree, and the parent not in the child's."""
    with subprocess.Popen(["sleep", "60"]) as child:
        assert {os.getpid(), child.pid} <= set(find_tree(os.getpid()))
        assert find_tree(child.pid) == [child.pid]
        child.kill()


def test_figure_of_a_tree_is_the_sum_of_its_processes():
    """A process that has ended, or that has no memory any more, counts as 0."""
    with subprocess.Popen(["sleep", "60"]) as child:
        assert sum_over_tree(os.getpid(), lambda pid: float(pid == child.pid)) == 1
        child.kill()
        while "Z" not in Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2]:
            pass
        assert sum_over_tree(child.pid, read_memory_mb) == 0  # ended, but not yet waited for
    assert sum_over_tree(child.pid, read_cpu_s) == 0
