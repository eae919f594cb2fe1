"""Rows of a long job in a folder: Parquet parts, what the job is, and in the end a summary.

A part appears whole or not at all. What stands in a part is not measured again, but for what failed
for a reason that may pass. This module measures nothing.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headcirc.answers import Row
from headcirc.batch.files import CRASHED, GIVEN_UP, UNREADABLE, UsageError
from headcirc.batch.summary import COLUMNS, sum_up
from headcirc.geometry import PixelSpacing

SCHEMA_VERSION = 1
LOCK, JOB, SUMMARY = ".lock", "job.json", "summary.json"
UNFINISHED = ".unfinished"
PART = re.compile(r"part-(\d+)\.parquet")
PASSING = (UNREADABLE, GIVEN_UP)
"""Reasons that say more of the disk or the machine than of the image; the next run tries again."""
SHOWN_NAMES = 3
KINDS: dict[Any, Any] = {str: pa.string(), bool: pa.bool_(), int: pa.int64()}
Facts = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """What a row was measured from: a file as it was then, and the pixel size stated for it."""

    file_bytes: int
    modified_ns: int
    stated_pixel_size_x_mm: float | None
    stated_pixel_size_y_mm: float | None


def read_origin(path: Path, spacing: PixelSpacing | None) -> Origin:
    """Augmentation at a file, without opening it.

    Raises
    ------
    UsageError
        It has gone, or is a link to nowhere.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read ({error.strerror}).") from error
    return Origin(
        status.st_size,
        status.st_mtime_ns,
        None if spacing is None else spacing.column_mm,
        None if spacing is None else spacing.row_mm,
    )


def to_schema() -> Any:
    """Return the parts' columns: a row's, in the order of `headcirc analyze`, and its origin's."""
    every = (*fields(Row), *fields(Origin))
    return pa.schema([(each.name, KINDS.get(each.type, pa.float64())) for each in every])


class ResultFolder:
    """A folder of parts; see `open_results`.

    Attributes
    ----------
    origins : dict of str to Origin
        Every image that has a row which stays.
    """

    def __init__(self, folder: Path, passing: Sequence[str] = PASSING) -> None:
        self._folder = folder
        self._schema = to_schema()
        for torn in folder.glob(f"*{UNFINISHED}"):  # a run ended while it wrote
            torn.unlink()
        names = [each.name for each in fields(Origin)]
        self.origins: dict[str, Origin] = {}
        self._passing: dict[str, Path] = {}
        for path in self._list().values():
            for row in _read_part(path, ["image", "error", *names]).to_pylist():
                name, error = row.pop("image"), row.pop("error")
                if any(each in error for each in passing):
                    self._passing[name] = path
                else:
                    self.origins[name] = Origin(**row)

    def _list(self) -> dict[int, Path]:
        """Return the parts by their numbers, in order.

        Raises
        ------
        UsageError
            Something else is called nearly so; who reads all parts would read it, too.
        """
        found = {}
        for path in self._folder.glob("part-*.parquet"):
            match = PART.fullmatch(path.name)
            if match is None:
                raise UsageError(
                    f"{path.name} in the results' folder is no part that was written here; move it "
                    "away."
                )
            found[int(match[1])] = path
        return dict(sorted(found.items()))

    def forget_passing(self, is_over: Callable[[str], bool]) -> None:
        """Drop rows of reasons that may pass, by their names, so that others can be written."""
        again = {name for name in self._passing if is_over(name)}
        for path in {self._passing.pop(name) for name in again}:
            rows = [row for row in _read_part(path).to_pylist() if row["image"] not in again]
            if rows:
                self._write_part(rows, path)
            else:
                path.unlink()

    def _write_part(self, rows: Sequence[Facts], path: Path) -> None:
        with _settle(path) as unfinished:
            pq.write_table(pa.Table.from_pylist(rows, self._schema), unfinished)

    def write(self, rows: Mapping[str, tuple[Row, Origin]]) -> None:
        """Write rows, by their images' names, as one more part."""
        if not rows:
            return
        assert not rows.keys() & self.origins.keys(), "no image has two rows"
        path = self._folder / f"part-{max(self._list(), default=-1) + 1:06}.parquet"
        self._write_part([asdict(row) | asdict(origin) for row, origin in rows.values()], path)
        self.origins |= {name: origin for name, (_, origin) in rows.items()}

    def require_job(self, facts: Facts) -> None:
        """Begin a job, or go on with the same one.

        Raises
        ------
        UsageError
            The folder holds the rows of another model.
        """
        path = self._folder / JOB
        wanted = {"schema_version": SCHEMA_VERSION, "model": facts}
        if not path.exists():
            _write_json(path, wanted)
        found = json.loads(path.read_text())
        if found != wanted:
            raise UsageError(
                f"The results' folder was begun with {_to_words(found['model'])}, and this is "
                f"{_to_words(facts)}; name an empty folder, or the same model and backend."
            )

    def require_unchanged(self, origins: Mapping[str, Origin]) -> None:
        """Refuse images that are other than they were when they were measured.

        Raises
        ------
        UsageError
        """
        known = self.origins
        changed = [name for name in origins if known.get(name, origins[name]) != origins[name]]
        if changed:
            named = ", ".join(changed[:SHOWN_NAMES]) + (", ..." * (len(changed) > SHOWN_NAMES))
            raise UsageError(
                f"{len(changed)} images, or their stated pixel sizes, have changed since they were "
                f"measured ({named}); name an empty folder."
            )

    def write_summary(self, run: Facts) -> Facts:
        """Sum up all parts, this run's and earlier ones', and return what was written."""
        job: Facts = json.loads((self._folder / JOB).read_text())
        rows = [
            row for path in self._list().values() for row in _read_part(path, COLUMNS).to_pylist()
        ]
        summary: Facts = job | sum_up(rows) | {"last_run": run}
        _write_json(self._folder / SUMMARY, summary)
        return summary


@contextmanager
def open_results(folder: Path, *, retry_crashed: bool = False) -> Iterator[ResultFolder]:
    """Open a folder of parts, making it if need be; while this lasts it belongs to this process.

    With `retry_crashed`, files that ended their workers are tried again, too.

    Raises
    ------
    UsageError
        Another run is writing there, or it is no folder that can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise UsageError(
            f"The results' folder cannot be written ({type(error).__name__}); name another."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                "Another run is writing to the results' folder; let it end."
            ) from error
        yield ResultFolder(folder, (*PASSING, CRASHED) if retry_crashed else PASSING)


def _to_words(model: Facts) -> str:
    return " ".join(str(each)[:12] for each in model.values())


def _write_json(path: Path, facts: Facts) -> None:
    with _settle(path) as unfinished:
        unfinished.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")


def _read_part(path: Path, columns: Sequence[str] | None = None) -> Any:
    try:
        return pq.read_table(path, columns=columns and list(columns), partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(
            f"{path.name} in the results' folder cannot be read ({error}); name an empty folder, "
            "or delete that file to measure its images again."
        ) from error


@contextmanager
def _settle(path: Path) -> Iterator[Path]:
    """Give a file to be written, which appears under its name once all of it is on the disk."""
    unfinished = path.with_suffix(UNFINISHED)
    try:
        yield unfinished
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(
            f"{path.name} cannot be written to the results' folder ({error.strerror or error}). "
            "What stands there is kept; make room and start again to go on."
        ) from error
