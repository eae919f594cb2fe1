import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from headcirc.batch.files import measure_files, to_local_measure
from headcirc.batch.pixel_size_table import load_pixel_sizes, to_spacings_of
from headcirc.batch.results import read_rows as read_table
from headcirc.batch.stated import NOTHING, StatedFacts
from headcirc.cli.commands import main
from headcirc.pipeline import load_pipeline
from tests.on_ray.conftest import PHANTOM, PIXEL_SIZE_MM, WAIT_S, find_named, wait_for

MANY = 96
WORKING = b"ray::MeasuringWorker.measure"
"""What Ray calls a worker's process while it measures."""


def to_summary(folder):
    return json.loads((folder / "summary.json").read_text())


def read_rows(folder):
    return [*read_table(folder / "results.csv")]


def test_ray_that_is_started_here_is_alone(local_ray):
    """It is on the loopback, small, without a dashboard, and reports to nobody."""
    import ray
    from ray._common.usage.usage_lib import usage_stats_enabled

    (node,) = ray.nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1"
    assert node["Resources"]["object_store_memory"] <= 200_000_000
    assert not ray.worker.global_worker.node.webui_url
    assert not usage_stats_enabled()


def test_rows_are_those_of_analyze(local_ray, images, tmp_path):
    """Every image has one row, field by field what `analyze` says; a bad file gives status 1."""
    sizes = tmp_path / "sizes.csv"
    named = "".join(f"{each.name},0.1{each.stem}\n" for each in images.glob("?.png"))
    sizes.write_text("filename,pixel_size_mm\n" + named)
    out = tmp_path / "out"
    assert main(["batch", str(images), str(out), "--pixel-sizes", str(sizes)]) == 1
    rows = {row.image: row for row in read_rows(out)}
    paths = sorted(images.iterdir())
    measure = to_local_measure(load_pipeline(threads=1))
    spacings = to_spacings_of(paths, load_pixel_sizes(sizes))
    stated = {path: StatedFacts(spacing) for path, spacing in spacings.items()}
    expected = measure_files(measure, paths, stated)
    assert len(rows) == len(read_rows(out)) == len(paths)
    for row in expected:
        found = asdict(rows[Path(row.image).name])
        for name, value in asdict(row).items():
            if isinstance(value, float):
                assert found[name] == pytest.approx(value, abs=0.05)
            elif name != "image":
                assert found[name] == value
    summary = to_summary(out)
    assert (summary["images"], summary["measured"], summary["not_measured"]) == (6, 5, 1)


@pytest.mark.slow
def test_second_run_continues(local_ray, images, tmp_path, capsys):
    """Only new and changed images are measured; the last run measures nothing and says the same."""
    (images / "broken.png").unlink()
    command = ["batch", str(images), str(tmp_path / "out"), "--pixel-size-mm", PIXEL_SIZE_MM]
    assert main(command) == 0
    shutil.copy(PHANTOM, images / "new.png")
    assert main(command) == 0
    assert to_summary(tmp_path / "out")["last_run"]["images"] == 1
    os.utime(images / "new.png", ns=(1, 1))  # is another file now, as far as one can tell
    assert main(command) == 0
    assert to_summary(tmp_path / "out")["last_run"]["images"] == 1
    assert main(command) == 0
    assert to_summary(tmp_path / "out")["last_run"]["images"] == 0
    rows = read_rows(tmp_path / "out")
    assert sorted(row.image for row in rows) == [
        *(f"{each}.png" for each in range(5)),
        "new.png",
    ]
    assert "6 of 6 images are measured" in capsys.readouterr().out


@pytest.mark.slow
def test_unusable_model_is_reported_in_a_sentence(local_ray, images, tmp_path, capsys):
    """What the workers cannot load ends with status 2, and nothing was written as measured."""
    command = ["batch", str(images), str(tmp_path / "out"), "--backend", "abacus"]
    assert main(command) == 2
    assert "unknown" in capsys.readouterr().err
    assert not (tmp_path / "out" / "results.csv").exists()


@pytest.mark.slow
def test_image_that_fails_its_workers_gets_a_row(local_ray, images):
    """An image at which workers fail is tried alone, thrice, and costs no other its row."""
    from headcirc.batch.ray_cluster import Plan
    from headcirc.batch.ray_job import list_tasks
    from headcirc.batch.ray_workers import Pool
    from headcirc.pipeline import SHIPPED_MODEL_DIR

    no_spacing = StatedFacts(0.1)  # at which measuring raises
    tasks = list_tasks(images, dict.fromkeys(images.iterdir(), no_spacing))
    assert len(tasks) == 6
    pool = Pool(Plan(SHIPPED_MODEL_DIR, workers=1))
    try:
        pool.start()
        rows = {row.image: row.error for rows in pool.measure(tasks) for row in rows}
    finally:
        pool.close()
    assert rows.keys() == {task.name for task in tasks}
    assert all("3 workers failed at it: AttributeError" in rows[f"{each}.png"] for each in range(5))


@pytest.mark.slow  # twenty seconds
def test_images_that_crash_their_workers_get_rows(local_ray, tmp_path):
    """Each ends three workers and no more; all others are measured, however many crash."""
    from headcirc.batch.ray_cluster import Plan
    from headcirc.batch.ray_job import list_tasks
    from headcirc.batch.ray_workers import Pool
    from headcirc.pipeline import SHIPPED_MODEL_DIR
    from tests.support.crashing_worker import CrashingWorker

    signals = {"1.png": 11, "2.png": 6, "3.png": 9, "4.png": 11, "5.png": 11}
    for name in ("0.png", *signals, "6.png"):
        content = b"crash by %d" % signals[name] if name in signals else b"a"
        (tmp_path / name).write_bytes(content)
    tasks = list_tasks(tmp_path, dict.fromkeys(sorted(tmp_path.iterdir()), NOTHING))
    pool = Pool(Plan(SHIPPED_MODEL_DIR, workers=2), CrashingWorker)
    try:
        pool.start()
        rows = [row for rows in pool.measure(tasks) for row in rows]
    finally:
        pool.close()
    found = {row.image: row for row in rows}
    assert len(found) == len(rows) == 7
    assert all(found[name].head_circumference_mm for name in ("0.png", "6.png"))
    for name in signals:
        assert found[name].error.startswith("decoder-crashed: 3 workers were ended by it")
    assert pool.lost == 1 + 2 * len(signals)  # all at once, then each alone, twice


def test_run_for_which_there_is_no_room_is_refused(local_ray, images, tmp_path, capsys):
    """Workers that Ray could never start end the run with status 2, also when they are counted."""
    command = ["batch", str(images), str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--gpus-per-worker", "1000"]) == 2
    assert "wants 1 CPUs and 1000 GPUs" in capsys.readouterr().err
    assert main([*command, "--cpus-per-worker", "1000"]) == 2
    assert "wants 1000 CPUs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--workers", "0", "one is the least"),
        ("--workers", "-2", "one is the least"),
        ("--cpus-per-worker", "0", "more than 0"),
        ("--cpus-per-worker", "-1", "more than 0"),
        ("--cpus-per-worker", "nan", "more than 0"),
        ("--gpus-per-worker", "-0.5", "0 or more"),
    ],
)
def test_impossible_numbers_of_workers_and_cpus_are_refused(
    tmp_path, capsys, option, value, message
):
    """In a sentence, before Ray is started."""
    assert main(["batch", "examples", str(tmp_path / "out"), f"{option}={value}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_file_in_place_of_a_folder_is_refused(tmp_path, capsys):
    """One image is not a batch: refused before Ray is started."""
    assert main(["batch", str(PHANTOM), str(tmp_path / "out")]) == 2
    assert "batch needs a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_unreadable_file_is_measured_again_by_the_next_run(local_ray, images, tmp_path):
    """A file that could not be read has a row that says so, until a later run can read it."""
    (images / "0.png").unlink()
    (images / "0.png").mkdir()  # nobody can read it, not even root
    command = ["batch", str(images), str(tmp_path / "out"), "--pixel-size-mm", PIXEL_SIZE_MM]
    assert main(command) == 1
    assert {row.image: row.error for row in read_rows(tmp_path / "out")}["0.png"] == (
        "the folder cannot be read"
    )
    (images / "0.png").rmdir()
    shutil.copy(PHANTOM, images / "0.png")
    assert main(command) == 1
    rows = {row.image: row for row in read_rows(tmp_path / "out")}
    assert len(rows) == len(read_rows(tmp_path / "out")) == 6
    assert rows["0.png"].head_circumference_mm == rows["1.png"].head_circumference_mm
    assert to_summary(tmp_path / "out")["last_run"]["images"] == 2  # and broken.png
    assert list(to_summary(tmp_path / "out")["errors"].values()) == [1]


@pytest.fixture
def many(tmp_path):
    """Return a folder of so many images that there is time to disturb."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(MANY):
        os.link(PHANTOM.absolute(), folder / f"{number:03}.png")
    return folder


@contextmanager
def start(command, many, out, log):
    """Run the command; what goes wrong meanwhile ends it."""
    options = ["--pixel-size-mm", PIXEL_SIZE_MM, "--workers", "2"]
    process = subprocess.Popen([*command, "batch", str(many), str(out), *options], stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow  # twenty seconds
def test_killed_worker_loses_nothing(command, many, tmp_path):
    """Kill -9 of a worker at work: every image has one row, all the same, and the run ends well."""
    with (
        (tmp_path / "log").open("w") as log,
        start(command, many, tmp_path / "out", log) as process,
    ):
        working = wait_for("a worker", lambda: find_named(process.pid, WORKING), process)
        os.kill(working[0], signal.SIGKILL)
        status = process.wait(WAIT_S)
    assert status == 0, (tmp_path / "log").read_text()
    rows = read_rows(tmp_path / "out")
    assert sorted(row.image for row in rows) == sorted(each.name for each in many.iterdir())
    assert len({row.head_circumference_mm for row in rows}) == 1
    assert to_summary(tmp_path / "out")["last_run"]["workers_lost"] == 1


@pytest.mark.slow
def test_killed_run_continues_where_it_stopped(command, many, tmp_path):
    """Kill -9 of the whole run: the next one measures only what has no row, and no image twice."""
    out = tmp_path / "out"
    with (tmp_path / "log").open("w") as log:
        with start(command, many, out, log) as process:
            wait_for("a row", lambda: read_rows(out), process)
        kept = len(read_rows(out))
        assert 0 < kept < MANY
        with start(command, many, out, log) as process:
            status = process.wait(WAIT_S)
    assert status == 0, (tmp_path / "log").read_text()
    assert sorted(row.image for row in read_rows(out)) == sorted(
        each.name for each in many.iterdir()
    )
    assert to_summary(out)["last_run"]["images"] == MANY - kept


def test_without_ray_the_extra_is_named(images, tmp_path):
    """Where Ray is missing the command says what to install, and ends with status 2."""
    hide = "import sys; sys.modules['ray'] = None; import headcirc.cli.commands as c; "
    program = hide + "import importlib.util as u; " + "sys.exit(c.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "batch", str(images), str(tmp_path / "out")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=WAIT_S)
    assert ended.returncode == 2
    assert "pip install 'headcirc[ray]'" in ended.stderr
