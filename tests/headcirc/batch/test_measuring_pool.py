import multiprocessing
from functools import partial

import pytest

from headcirc.batch import measuring_pool
from headcirc.batch.files import UNREADABLE, measure_files
from headcirc.batch.measuring_pool import FEWEST_IMAGES, MeasuringPool
from headcirc.batch.usage import Usage
from headcirc.errors import InputError, ModelArtifactError
from tests.support.crashing import CIRCUMFERENCE_MM, MODEL, load_crashing, load_once


@pytest.fixture
def make_pool(monkeypatch):
    """Return a function that opens a pool as on a machine with four CPUs and a CPU backend."""
    monkeypatch.setattr(measuring_pool, "count_available_cpus", lambda: 4)
    monkeypatch.setattr(measuring_pool, "CPU_BACKENDS", (MODEL.backend,))
    opened = []

    def make(images=FEWEST_IMAGES, processes=2):
        opened.append(MeasuringPool(load_crashing, images=images, processes=processes))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
    assert multiprocessing.active_children() == []


def write_files(folder, contents):
    paths = [folder / f"{number:02}.png" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def test_rows_keep_their_order_and_each_crash_its_file(make_pool, tmp_path):
    """Two threads ask two processes; a file that ends one of them costs its own row only."""
    contents = [b"a", b"crash by 11", b"refuse", b"b", b"crash by 6", *[b"c"] * 5]
    paths = write_files(tmp_path, contents)
    pool = make_pool()
    assert (pool.model, pool.threads) == (MODEL, 2)
    rows = list(measure_files(pool, paths, dict.fromkeys(paths), threads=pool.threads))
    assert [row.image for row in rows] == [str(path) for path in paths]
    failed = {row.image[-6:-4]: row.error.split()[0] for row in rows if row.error}
    assert failed == {"01": "decoder-crashed:", "02": "The", "04": "decoder-crashed:"}
    assert {row.head_circumference_mm for row in rows if not row.error} == {CIRCUMFERENCE_MM}


def test_few_images_or_a_gpu_need_one_process(make_pool, monkeypatch):
    """One thread asks; then no second process is started."""
    assert make_pool(images=FEWEST_IMAGES - 1).threads == 1
    assert make_pool(processes=1).threads == 1
    monkeypatch.setattr(measuring_pool, "CPU_BACKENDS", ())
    assert make_pool().threads == 1
    assert len(multiprocessing.active_children()) == 3


def test_process_that_cannot_load_leaves_no_other_running(monkeypatch, tmp_path):
    """Every process is closed, and the error is that of the model."""
    monkeypatch.setattr(measuring_pool, "count_available_cpus", lambda: 4)
    with pytest.raises(ModelArtifactError, match="taken"):
        MeasuringPool(partial(load_once, tmp_path), images=FEWEST_IMAGES)
    assert multiprocessing.active_children() == []


def test_closed_pool_starts_no_process_again(make_pool):
    """A thread that still asks is refused."""
    pool = make_pool()
    pool(b"a", None)
    pool.close()
    with pytest.raises(InputError, match="stopped"):
        pool(b"a", None)


def test_file_that_cannot_be_opened_gives_a_row(tmp_path):
    """Also from another thread."""
    missing = [tmp_path / str(number) for number in range(3)]
    rows = list(measure_files(lambda *_: None, missing, dict.fromkeys(missing), threads=2))
    assert [UNREADABLE in row.error for row in rows] == [True] * 3


def test_usage_counts_this_process_and_ended_children():
    """The line has both; a single image has none."""
    usage = Usage()
    (line,) = usage.to_lines(4)
    assert line.startswith("4 images in ")
    assert line.endswith(" CPU seconds each.")
    assert usage.to_lines(1) == []
