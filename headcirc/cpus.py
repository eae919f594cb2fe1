"""How many CPUs are really ours: affinity and the control group's quota, not the host's count."""

import math
import os
from pathlib import Path

CGROUP_V2_QUOTA = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def count_available_cpus() -> int:
    """Return the CPUs that this process may use, at least one."""
    allowed = len(os.sched_getaffinity(0))
    quota = read_cgroup_quota()
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def read_cgroup_quota(
    v2_quota: Path = CGROUP_V2_QUOTA,
    *,
    v1_quota: Path = CGROUP_V1_QUOTA,
    v1_period: Path = CGROUP_V1_PERIOD,
) -> float | None:
    """Return the control group's quota in CPUs, or None where there is none."""
    try:
        if v2_quota.is_file():
            quota, period = v2_quota.read_text().split()
        else:
            quota, period = v1_quota.read_text(), v1_period.read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or the word "max": no quota
        return None
