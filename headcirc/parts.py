"""Rows of a long job in a folder: Parquet parts, what the job is, and in the end a summary.

A part appears whole or not at all, and what stands in a part is never measured again. This module
measures nothing.
"""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headcirc.batch import Row, UsageError
from headcirc.geometry import PixelSpacing

SCHEMA_VERSION = 1
LOCK, JOB, SUMMARY = ".lock", "job.json", "summary.json"
UNFINISHED = ".unfinished"
SHOWN_NAMES = 3
SHOWN_ERRORS = 20
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
    """Look at a file, without opening it."""
    status = path.stat()
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


class Parts:
    """A folder of parts; see `open_parts`.

    Attributes
    ----------
    origins : dict of str to Origin
        Every image that has a row.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._schema = to_schema()
        for torn in folder.glob(f"*{UNFINISHED}"):  # a run ended while it wrote
            torn.unlink()
        names = [each.name for each in fields(Origin)]
        self.origins: dict[str, Origin] = {
            row.pop("image"): Origin(**row) for row in self._read(["image", *names])
        }

    def _read(self, columns: Sequence[str]) -> Iterator[Facts]:
        for path in sorted(self._folder.glob("part-*.parquet")):
            try:
                table = pq.read_table(path, columns=list(columns), partitioning=None)
            except (OSError, pa.ArrowInvalid) as error:
                raise UsageError(
                    f"{path.name} in the results' folder cannot be read ({error}); name an empty "
                    "folder, or delete that file to measure its images again."
                ) from error
            yield from table.to_pylist()

    def write(self, rows: Mapping[str, tuple[Row, Origin]]) -> None:
        """Write rows, by their images' names, as one more part."""
        if not rows:
            return
        assert not rows.keys() & self.origins.keys(), "no image has two rows"
        table = pa.Table.from_pylist(
            [asdict(row) | asdict(origin) for row, origin in rows.values()], self._schema
        )
        numbers = [int(each.stem.split("-")[1]) for each in self._folder.glob("part-*.parquet")]
        path = self._folder / f"part-{max(numbers, default=-1) + 1:06}.parquet"
        unfinished = path.with_suffix(UNFINISHED)
        pq.write_table(table, unfinished)
        _settle(unfinished, path)
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
        names = ("error", "warnings", "acceptable", "head_circumference_mm")
        rows = list(self._read(names))
        measured_mm = [each["head_circumference_mm"] for each in rows if not each["error"]]
        quantiles = zip(("least", "p50", "most"), (0, 50, 100), strict=True)
        summary: Facts = job | {
            "images": len(rows),
            "measured": len(measured_mm),
            "not_measured": len(rows) - len(measured_mm),
            "acceptable": sum(each["acceptable"] and not each["error"] for each in rows),
            "errors": dict(
                Counter(each["error"] for each in rows if each["error"]).most_common(SHOWN_ERRORS)
            ),
            "warnings": dict(
                Counter(code for each in rows for code in each["warnings"].split()).most_common()
            ),
            "head_circumference_mm": {
                name: float(np.percentile(measured_mm, share)) for name, share in quantiles
            }
            if measured_mm
            else None,
            "last_run": run,
        }
        _write_json(self._folder / SUMMARY, summary)
        return summary


@contextmanager
def open_parts(folder: Path) -> Iterator[Parts]:
    """Open a folder of parts, making it if need be; while this lasts it belongs to this process.

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
        yield Parts(folder)


def _to_words(model: Facts) -> str:
    return " ".join(str(each)[:12] for each in model.values())


def _write_json(path: Path, facts: Facts) -> None:
    unfinished = path.with_suffix(UNFINISHED)
    unfinished.write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")
    _settle(unfinished, path)


def _settle(unfinished: Path, path: Path) -> None:
    """Let a file appear under its name once all of it is on the disk."""
    with unfinished.open("rb") as written:
        os.fsync(written.fileno())
    unfinished.replace(path)
