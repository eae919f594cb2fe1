"""What the kernel says of a process: CPU seconds, memory, threads. Linux only.

The parsers take text, so that they can be tested without a process.
"""

import os
from pathlib import Path

KIB_PER_MB = 1000 * 1000 / 1024
UTIME, STIME = 11, 12
"""Places in `/proc/PID/stat` after the command's name, which itself may hold spaces."""
RESET_PEAK = "5"
"""What sets `VmHWM` back to the present size when written to `/proc/PID/clear_refs` (proc(5))."""


def parse_cpu_s(stat: str, *, ticks_per_s: int) -> float:
    """Return user and system CPU seconds of a process from its `/proc/PID/stat`."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[UTIME]) + int(fields[STIME])) / ticks_per_s


def parse_memory_mb(status: str, name: str) -> float:
    """Return one size of `/proc/PID/status` in MB (10^6 bytes); `VmRSS` is now, `VmHWM` the peak.

    Raises
    ------
    KeyError
        There is no such line.
    """
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) / KIB_PER_MB
    raise KeyError(name)


def read_cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used since its start, all threads together."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return parse_cpu_s(stat, ticks_per_s=os.sysconf("SC_CLK_TCK"))


def read_memory_mb(pid: int, name: str = "VmRSS") -> float:
    """Return a size of a process in MB; pages of shared libraries count in full."""
    return parse_memory_mb(Path(f"/proc/{pid}/status").read_text(), name)


def reset_peak_memory(pid: int) -> None:
    """Let `VmHWM` begin anew, so that it tells of the load and not of the start."""
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)


def read_thread_cpu_s(pid: int) -> dict[int, float]:
    """Return the CPU seconds of each thread of a process, by the thread's number."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    return {
        int(task.name): parse_cpu_s((task / "stat").read_text(), ticks_per_s=ticks_per_s)
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


def parse_parent(stat: str) -> int:
    """Return the number of a process' parent from its `/proc/PID/stat`."""
    return int(stat.rpartition(")")[2].split()[1])


def find_tree(pid: int) -> list[int]:
    """Return a process and all below it that run now."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = parse_parent(path.read_text())
        except OSError:
            continue  # it has ended
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for each in found:  # grows while it is walked
        found += children.get(each, [])
    return found
