from headcirc.cpus import count_available_cpus, read_cgroup_quota


def test_quota_of_a_container_is_read(tmp_path):
    """150,000 of 100,000 microseconds are one and a half CPUs."""
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert read_cgroup_quota(tmp_path / "cpu.max") == 1.5


def test_max_is_no_quota(tmp_path):
    """The word max, or no file at all, is no limit."""
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert read_cgroup_quota(tmp_path / "cpu.max") is None
    absent = tmp_path / "absent"
    assert read_cgroup_quota(absent, v1_quota=absent, v1_period=absent) is None


def test_older_control_groups_are_read(tmp_path):
    """Version 1 keeps quota and period in two files, and -1 means none."""
    quota, period = tmp_path / "quota", tmp_path / "period"
    period.write_text("100000\n")
    quota.write_text("200000\n")
    absent = tmp_path / "absent"
    assert read_cgroup_quota(absent, v1_quota=quota, v1_period=period) == 2
    quota.write_text("-1\n")
    assert read_cgroup_quota(absent, v1_quota=quota, v1_period=period) is None


def test_at_least_one_cpu_is_ours():
    """The count is never zero."""
    assert count_available_cpus() >= 1
