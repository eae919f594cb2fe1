"""The table of results that `analyze --csv` and `batch` write, and which of its rows are done.

A row is done, and its image is not measured again, if all of this holds:

- It was written completely and nobody edited it: its `checksum` fits its cells.
- Its file, stated pixel size, frame and gestational age, model and headcirc release have not
  changed: the `fingerprint` fits.
- It holds a result: a measurement, "no head" or "no pixel size". A file that crashed its decoder is
  done too, unless the caller wants to try it again.

Everything else is measured again: a file that was missing may be there now, a service may be back,
and a file that is no image fails fast.

Why CSV and not Parquet: each row must be written before the next image is measured, a run may end
in the middle of a row, and people open the table. A Parquet file cannot be appended to, and the
base install has no `pyarrow`. `batch` also exports its finished table to Parquet.
"""

import csv
import hashlib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from headcirc import __version__
from headcirc.answers import DECIMALS, NO_HEAD, NO_PIXEL_SIZE, Row
from headcirc.batch.files import CRASHED, UsageError
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.replace_file import replace_file
from headcirc.batch.safe_text import TRUE, to_cell
from headcirc.batch.stated import StatedFacts

FINGERPRINT, CHECKSUM = "fingerprint", "checksum"
COLUMNS = [*(each.name for each in fields(Row)), FINGERPRINT, CHECKSUM]
RESULTS = ("", NO_HEAD, NO_PIXEL_SIZE)
"""The column `error` of an image that has a result."""
HASH_LETTERS = 16
PIXEL_SIZE_DECIMALS = 6
"""More than the others: every length was multiplied by the pixel size."""
DECIMALS_OF = {each.name: each.metadata.get(DECIMALS, PIXEL_SIZE_DECIMALS) for each in fields(Row)}
STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def read_fingerprint(
    path: Path, stated: StatedFacts, model: ModelIdentity, *, frame_index: int | None = None
) -> str:
    """Return a hash of all facts that a row depends on; call it before the file is read.

    It is empty where the file cannot be read. Such a row is never done.
    """
    try:
        status = path.stat()
    except OSError:
        return ""
    # Two files of one archive may have the same size and modification time. If they swap names,
    # only the change time shows it.
    times_ns = status.st_mtime_ns, status.st_ctime_ns
    facts = stated.scale, frame_index, stated.gestational_age_days
    return _hash((status.st_size, times_ns, facts, model, __version__))


def _hash(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:HASH_LETTERS]


@dataclass(frozen=True)
class DoneRule:
    """Decides which rows of an earlier run stay.

    Attributes
    ----------
    fingerprints : dict of str to str
        The present fingerprint of each image of this run, by the image's name in the table.
    retry_crashed : bool
        Measure files that crashed their decoder again.
    keep_others : bool
        Keep results of images that this run does not name, instead of refusing the table.
    """

    fingerprints: Mapping[str, str]
    retry_crashed: bool = False
    keep_others: bool = False

    def is_done(self, cells: Sequence[str]) -> bool:
        """Return whether a row stays as it is."""
        name, fingerprint = cells[0], cells[-2]
        expected = self.fingerprints.get(name, fingerprint if self.keep_others else "")
        is_same = fingerprint != "" and fingerprint == expected
        return is_same and self.is_result(cells) and cells[-1] == _hash([*cells[:-1]])

    def is_result(self, cells: Sequence[str]) -> bool:
        """Return whether a row tells something about its image that is worth keeping."""
        error = cells[COLUMNS.index("error")]
        return error in RESULTS or (error.startswith(CRASHED) and not self.retry_crashed)


def find_done(path: Path, rule: DoneRule) -> set[str]:
    """Return the names of the images that are done; none if there is no table yet.

    Raises
    ------
    UsageError
        The file is not such a table, or this run would drop results from it.
    """
    done: set[str] = set()
    others: list[str] = []
    for cells in _read_lines(path):
        if rule.is_done(cells):
            done.add(cells[0])
        elif cells[0] not in rule.fingerprints and rule.is_result(cells) and not rule.keep_others:
            others.append(cells[0])
    if others:
        raise UsageError(
            f"{str(path)!r} has rows of {len(others)} images that are not named here, such as "
            f"{others[0]!r}; name images as in that run, from the same folder, or another table."
        )
    return done


def _read_lines(path: Path) -> Iterator[list[str]]:
    """Yield the lines that have all cells; none if the table is missing or empty."""
    try:
        # A character that was cut does not fit the checksum.
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            lines = csv.reader(file)
            if next(lines, COLUMNS) != COLUMNS:
                raise UsageError(
                    f"{str(path)!r} does not have the columns of this release's tables and cannot "
                    "be resumed; name another table."
                )
            yield from (cells for cells in lines if len(cells) == len(COLUMNS))
    except FileNotFoundError:
        return
    except (OSError, csv.Error) as error:
        raise UsageError(
            f"The table cannot be read ({error}); move it away, or name another one."
        ) from error


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table, without lines that are incomplete or were edited."""
    for cells in _read_lines(path):
        if cells[-1] == _hash([*cells[:-1]]):
            yield _to_row(cells)


def _to_row(cells: Sequence[str]) -> Row:
    values = zip(fields(Row), cells[:-2], strict=True)
    return Row(**{each.name: _read_cell(each.type, cell) for each, cell in values})


def _read_cell(kind: object, cell: str) -> Any:
    if kind is str:
        return cell
    if kind is bool:
        return cell == TRUE
    return float(cell) if cell else None


class ResultTable:
    """A table that is being written; see `open_table`."""

    def __init__(self, file: TextIO, fingerprints: Mapping[str, str]) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._fingerprints = fingerprints

    def begin(self) -> None:
        """Write the names of the columns."""
        self._writer.writerow(COLUMNS)
        self._file.flush()

    def write(self, row: Row) -> None:
        """Write a complete row before the next image is measured."""
        cells = [
            to_cell(value, partial(_write_number, name)) for name, value in asdict(row).items()
        ]
        cells.append(self._fingerprints[row.image])
        self._writer.writerow([*cells, _hash(cells)])
        self._file.flush()


def _write_number(column: str, value: float) -> str:
    """Return a number with the digits that mean something."""
    return str(round(value, DECIMALS_OF[column]))


@contextmanager
def open_table(path: Path, rule: DoneRule, done: Collection[str]) -> Iterator[ResultTable]:
    """Open a table for new rows: it keeps the rows in `done` and drops all others.

    A table on standard output (`-`) keeps nothing.

    Raises
    ------
    UsageError
        The table cannot be written.
    """
    if is_standard_output(path):
        table = ResultTable(sys.stdout, rule.fingerprints)
        table.begin()
        yield table
        return
    try:
        if done:
            _keep_only(path, rule, done)
        file = path.open("a" if done else "w", newline="", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"No table can be written to {str(path)!r} ({error.strerror}); name a file in a folder "
            "that exists."
        ) from error
    with file:
        table = ResultTable(file, rule.fingerprints)
        if not done:
            table.begin()
        yield table


def _keep_only(path: Path, rule: DoneRule, done: Collection[str]) -> None:
    """Rewrite the table with one row for each image in `done`."""
    missing = {*done}
    with (
        replace_file(path) as unfinished,
        unfinished.open("x", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for cells in _read_lines(path):
            if cells[0] in missing and rule.is_done(cells):
                writer.writerow(cells)
                missing.remove(cells[0])


def is_standard_output(path: Path | None) -> bool:
    """Return whether a path is one of the names of standard output."""
    return str(path) in STANDARD_OUTPUT
