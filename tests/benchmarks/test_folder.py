import pytest

from benchmarks.folder import Run, fill_folder, run_analyze, to_facts, to_verdict
from harness.pictures import draw_pictures
from harness.targets import MET, MISSED
from headcirc.batch.results import read_rows
from headcirc.cpus import count_available_cpus


def test_figures_are_medians_of_the_runs():
    """The middle one of three runs counts; memory growth is that of the worst."""
    runs = [Run(10, 19, 400, 400), Run(8, 15, 400, 440), Run(9, 17, 400, 420)]
    facts = to_facts(runs, 90)
    assert facts["images_per_s"] == pytest.approx(10)
    assert facts["cpu_s_per_image"] == pytest.approx(17 / 90)
    assert facts["memory_growth"] == pytest.approx(0.1)


@pytest.mark.parametrize(("speed", "status"), [(1.14, MISSED), (1.15, MET)])
def test_target_is_a_floor(speed, status):
    """Two processes must be at least 1.15 times as fast as one."""
    assert to_verdict({"images": 500, "speed": speed}).status == status


def test_folder_is_measured_as_by_a_user(tmp_path):
    """Pictures repeat, and each file has its row in the table of pixel sizes."""
    fill_folder(draw_pictures()[:2], tmp_path, 3)
    assert (tmp_path / "0000.png").read_bytes() == (tmp_path / "0002.png").read_bytes()
    run = run_analyze(tmp_path, 1)
    rows = read_rows(tmp_path / "rows.csv")
    assert [row.head_circumference_mm is not None for row in rows] == [True] * 3
    assert 0 < run.cpu_s < 2 * run.took_s * count_available_cpus()


def test_failed_command_is_no_measurement(tmp_path):
    """A folder without images ends the command with status 2."""
    with pytest.raises(RuntimeError, match="status 2"):
        run_analyze(tmp_path, 1)
