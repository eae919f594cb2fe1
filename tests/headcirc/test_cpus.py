import os
import subprocess
import sys

import pytest

from headcirc.cpus import count_available_cpus, find_group_folders, read_quota

PROGRAM = "from headcirc.cpus import count_available_cpus as count; print(count())"


def test_quota_of_a_container_is_read(tmp_path):
    """150,000 of 100,000 microseconds are one and a half CPUs."""
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert read_quota([tmp_path]) == 1.5


def test_max_means_no_quota(tmp_path):
    """The word max, or no file at all, is no limit."""
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert read_quota([tmp_path, tmp_path / "absent"]) is None


def test_older_control_groups_are_read(tmp_path):
    """Version 1 keeps quota and period in two files, and -1 means none."""
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cpu.cfs_quota_us").write_text("200000\n")
    assert read_quota([tmp_path]) == 2
    (tmp_path / "cpu.cfs_quota_us").write_text("-1\n")
    assert read_quota([tmp_path]) is None


def test_the_smallest_quota_applies(tmp_path):
    """A quota limits all groups below it, wherever it is set."""
    for name, quota in (("inner", "max"), ("middle", "100000"), ("outer", "300000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cpu.max").write_text(f"{quota} 100000\n")
    assert read_quota([tmp_path / name for name in ("inner", "middle", "outer")]) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0::/app.slice/headcirc", ["app.slice/headcirc", "app.slice", "."]),
        ("4:cpuacct,cpu:/docker/1", ["cpu/docker/1", "cpu/docker", "cpu"]),
        ("1:cpu:/", ["cpu"]),
        ("3:cpuset:/box", []),
    ],
)
def test_groups_are_found_up_to_the_mount(tmp_path, line, expected):
    """The process's group is first, the mount's root last; only CPU controllers count."""
    (tmp_path / "membership").write_text(f"9:memory:/elsewhere\n{line}\n")
    found = find_group_folders(tmp_path / "membership", tmp_path)
    assert found == [tmp_path / each for each in expected]


def test_without_control_groups_there_is_no_quota(tmp_path):
    """A kernel without control groups has no membership file."""
    assert read_quota(find_group_folders(tmp_path / "absent", tmp_path)) is None


def test_count_is_at_least_one_cpu():
    """The count is never zero."""
    assert count_available_cpus() >= 1


def test_count_follows_affinity():
    """A process that may run on one CPU counts one, whatever the host has."""
    one = {min(os.sched_getaffinity(0))}
    command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {one}); {PROGRAM}"]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert finished.stdout.split() == ["1"]
