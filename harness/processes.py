"""Read the CPU seconds, memory and threads of a process from `/proc` (Linux only).

The parsers take text, so that tests need no process.
"""

import os
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

KIB_PER_MB = 1000 * 1000 / 1024
UTIME, STIME = 11, 12
"""Positions in `/proc/PID/stat` after the command's name, which may contain spaces."""
RESET_PEAK = "5"
"""Written to `/proc/PID/clear_refs`, this resets `VmHWM` to the current size (proc(5))."""


def parse_cpu_s(stat: str, *, ticks_per_s: int) -> float:
    """Return the user and system CPU seconds of a process from its `/proc/PID/stat`."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[UTIME]) + int(fields[STIME])) / ticks_per_s


def parse_memory_mb(status: str, name: str) -> float:
    """Return a size from `/proc/PID/status` in MB (10^6 bytes).

    `VmRSS` is the current size, `VmHWM` the peak.

    Raises
    ------
    KeyError
        There is no line with this name.
    """
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) / KIB_PER_MB
    raise KeyError(name)


def read_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process since its start, over all threads."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return parse_cpu_s(stat, ticks_per_s=os.sysconf("SC_CLK_TCK"))


def read_children_cpu_s() -> float:
    """Return the CPU seconds of all ended child processes, which exclude a running service."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_memory_mb(pid: int, name: str = "VmRSS") -> float:
    """Return a memory size of a process in MB; shared libraries count in full."""
    return parse_memory_mb(Path(f"/proc/{pid}/status").read_text(), name)


def reset_peak_memory(pid: int) -> None:
    """Reset `VmHWM`, so that it measures the load and not the start."""
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)


def read_thread_cpu_s(pid: int) -> dict[int, float]:
    """Return the CPU seconds of each thread of a process, by thread id."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    return {
        int(task.name): parse_cpu_s((task / "stat").read_text(), ticks_per_s=ticks_per_s)
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


def parse_parent(stat: str) -> int:
    """Return the parent's process id from `/proc/PID/stat`."""
    return int(stat.rpartition(")")[2].split()[1])


def find_tree(pid: int) -> list[int]:
    """Return the ids of a process and of all its running descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = parse_parent(path.read_text())
        except OSError:
            continue  # the process has ended
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for each in found:  # the list grows during the loop
        found += children.get(each, [])
    return found


def sum_over_tree(pid: int, read: Callable[[int], float]) -> float:
    """Return the sum of a figure over a process and all its running descendants.

    Parameters
    ----------
    pid : int
    read : callable
        Reads the figure of one process, such as `read_cpu_s`. A process that ends meanwhile counts
        as 0.
    """
    total = 0.0
    for each in find_tree(pid):
        with suppress(OSError, KeyError):  # no such process, or it has no memory any more
            total += read(each)
    return total
