"""Count the CPUs that this process may use, from its affinity and control-group quotas.

`os.cpu_count` returns the host's CPUs, which is too many inside a container with a CPU limit.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path

GROUP_MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def count_available_cpus() -> int:
    """Return the number of CPUs that this process may use, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quota = read_quota(find_group_folders())
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def find_group_folders(membership: Path = MEMBERSHIP, mount: Path = GROUP_MOUNT) -> list[Path]:
    """Return the folders of the control groups that may limit the CPU time, innermost first.

    A quota also limits every group below it. A container sees its own group either at the root of
    the mount or under the host's name for it, so the result includes every folder up to the root.

    Parameters
    ----------
    membership : Path
        File that lists the control groups of a process; see cgroups(7).
    mount : Path
        Where the control groups are mounted.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no control groups
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / "cpu" if controllers else mount  # version 1: one mount per controller
        group = root / path.strip("/")
        folders += [each for each in (group, *group.parents) if each.is_relative_to(root)]
    return folders


def read_quota(folders: Iterable[Path]) -> float | None:
    """Return the smallest CPU quota of the control groups, in CPUs, or None without a quota."""
    quotas = [_read_one_quota(folder) for folder in folders]
    return min((quota for quota in quotas if quota is not None), default=None)


def _read_one_quota(folder: Path) -> float | None:
    v2_quota = folder / "cpu.max"
    try:
        if v2_quota.is_file():
            quota, period = v2_quota.read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or "max": no quota
        return None
