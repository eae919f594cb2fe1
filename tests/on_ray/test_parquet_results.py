import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from headcirc.answers import NO_HEAD, Row
from headcirc.batch.files import CRASHED, GIVEN_UP, UNREADABLE, UsageError
from headcirc.geometry import PixelSpacing

pytest.importorskip("pyarrow", reason="the package 'pyarrow' is missing (the extra 'ray')")

from headcirc.batch.parquet_results import open_results, read_origin
from headcirc.batch.ray_job import is_over
from tests.support.ray_rows import read_rows

MODEL = {"name": "m", "sha256": "0" * 64}


@pytest.fixture
def origin(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"1234")
    return read_origin(path, PixelSpacing(0.2, 0.1))


def test_written_rows_are_known_to_the_next_run(tmp_path, origin):
    """What one run wrote, with its gaps, the next one finds, and it writes beside it."""
    measured = Row("a.png", head_circumference_mm=100.5, acceptable=True, warnings="x y")
    with open_results(tmp_path / "out") as parts:
        parts.write({"a.png": (measured, origin)})
    with open_results(tmp_path / "out") as parts:
        assert parts.origins == {"a.png": origin}
        parts.write({"b.png": (Row("b.png", error="no head was found"), origin)})
    first, second = read_rows(tmp_path / "out")
    assert first["head_circumference_mm"] == 100.5
    assert first["stated_pixel_size_y_mm"] == 0.2
    assert second["head_circumference_mm"] is None
    assert second["error"] == "no head was found"


def test_torn_part_is_dropped(tmp_path):
    """A part that a run left half written is no part, and goes away."""
    torn = tmp_path / "part-000007.unfinished"
    torn.write_bytes(b"PAR1")
    with open_results(tmp_path) as parts:
        assert not parts.origins
    assert not torn.exists()


def test_damaged_part_is_named(tmp_path):
    """A part that cannot be read stops the run and is named: it may hold rows."""
    (tmp_path / "part-000000.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"part-000000\.parquet"), open_results(tmp_path):
        pass


def test_stray_file_is_named(tmp_path):
    """What is called nearly as a part stops the run: who reads all parts would read it as well."""
    (tmp_path / "part-x.parquet").touch()
    with pytest.raises(UsageError, match=r"part-x\.parquet"), open_results(tmp_path):
        pass


@pytest.mark.parametrize("error", [UNREADABLE, f"3 {GIVEN_UP}: RayActorError"])
def test_failure_that_may_pass_is_no_row_that_stays(tmp_path, origin, error):
    """Such an image is left to be done, and its row goes once it is; all others stay."""
    failed, missed = Row("a.png", error=error), Row("b.png", error=NO_HEAD)
    with open_results(tmp_path / "out") as parts:
        parts.write({"a.png": (failed, origin), "b.png": (missed, origin)})
        parts.write({"c.png": (replace(failed, image="c.png"), origin)})
        parts.write({"d.png": (replace(failed, image="d.png"), origin)})
    with open_results(tmp_path / "out") as parts:
        assert parts.origins.keys() == {"b.png"}
        parts.forget_passing({"a.png", "c.png", "never.png"}.__contains__)
        assert [row["image"] for row in read_rows(tmp_path / "out")] == ["b.png", "d.png"]
        parts.write({"a.png": (Row("a.png", head_circumference_mm=1.0), origin)})
    with open_results(tmp_path / "out") as parts:
        assert parts.origins.keys() == {"a.png", "b.png"}


def test_crashed_image_is_tried_again_only_if_asked(tmp_path, origin):
    """It ended its workers, and would again; its row stays until a run is told to try."""
    crashed = Row("a.png", error=f"{CRASHED}: 3 workers were ended by it")
    with open_results(tmp_path / "out") as parts:
        parts.write({"a.png": (crashed, origin)})
    with open_results(tmp_path / "out") as parts:
        assert parts.origins.keys() == {"a.png"}
    with open_results(tmp_path / "out", retry_crashed=True) as parts:
        assert not parts.origins
        parts.forget_passing({"a.png"}.__contains__)
        assert read_rows(tmp_path / "out") == []


def test_row_of_a_locked_folder_goes_once_it_is_open(tmp_path, origin, monkeypatch):
    """Empty, too; one that is still locked is tried again, where this run looks so deep."""
    for name in ("once/b", "still"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda folder, _: folder != tmp_path / "still")
    locked = [Row(name, error=f"the folder {UNREADABLE}") for name in ("once/b", "still", "gone")]
    with open_results(tmp_path / "out") as parts:
        parts.write({row.image: (row, origin) for row in locked})
    with open_results(tmp_path / "out") as parts:
        parts.forget_passing(lambda name: is_over(name, tmp_path, {"a.png"}))
        assert [row["image"] for row in read_rows(tmp_path / "out")] == ["still", "gone"]
        parts.forget_passing(lambda name: is_over(name, tmp_path, {"still"}))
    assert [row["image"] for row in read_rows(tmp_path / "out")] == ["gone"]


def test_full_disk_is_told_in_a_sentence(tmp_path, origin, monkeypatch):
    """Where a part cannot be written the run says so, and leaves no piece of it behind."""

    def fill(_: object, path: Path) -> None:
        path.write_bytes(b"PAR1")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", fill)
    with open_results(tmp_path / "out") as parts:
        with pytest.raises(UsageError, match=r"part-000000\.parquet .*No space left"):
            parts.write({"a.png": (Row("a.png"), origin)})
        assert not [*(tmp_path / "out").glob("part-*")]


def test_two_runs_do_not_share_a_folder(tmp_path):
    """While one run has the folder, another is refused."""
    with (
        open_results(tmp_path),
        pytest.raises(UsageError, match="Another run"),
        open_results(tmp_path),
    ):
        pass


def test_other_model_is_refused(tmp_path):
    """Rows of two models never meet in one folder."""
    with open_results(tmp_path) as parts:
        parts.require_job(MODEL)
        parts.require_job(MODEL)
        with pytest.raises(UsageError, match="empty folder"):
            parts.require_job(MODEL | {"name": "n"})


def test_changed_image_is_refused(tmp_path, origin):
    """An image, or its pixel size, that changed after it was measured stops the run by name."""
    with open_results(tmp_path / "out") as parts:
        parts.write({"a.png": (Row("a.png"), origin)})
        parts.require_unchanged({"a.png": origin, "new.png": origin})
        other = read_origin(tmp_path / "a.png", PixelSpacing(0.1, 0.1))
        with pytest.raises(UsageError, match=r"1 images.*a\.png"):
            parts.require_unchanged({"a.png": other})


def test_summary_counts_every_row(tmp_path, origin):
    """The summary is of all parts: measured or not, why not, and the spread of millimetres."""
    rows = [
        Row("a", head_circumference_mm=100.0, acceptable=True),
        Row("b", head_circumference_mm=300.0, warnings="odd"),
        Row("c", error="no head was found"),
    ]
    with open_results(tmp_path / "out") as parts:
        parts.require_job(MODEL)
        for row in rows:
            parts.write({row.image: (row, origin)})
        summary = parts.write_summary({"images": 3})
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["images"], summary["measured"], summary["acceptable"]) == (3, 2, 1)
    assert summary["errors"] == {"no head was found": 1}
    assert (summary["failed"], summary["first_failed"]) == (1, {"c": "no head was found"})
    assert summary["warnings"] == {"odd": 1}
    assert summary["head_circumference_mm"] == {"least": 100.0, "p50": 200.0, "most": 300.0}
