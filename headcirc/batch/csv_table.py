"""Rows to a CSV file, and what such a file still holds of a run that was cut off.

Each line ends with a seal, made of its cells and of what they were measured from: the file's size
and times, the stated pixel size, the model and this release. A line that is torn or was edited, or
whose file, pixel size or model has changed, does not fit its seal, and its image is measured again.
"""

import csv
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from headcirc import __version__
from headcirc.answers import DECIMALS, NO_HEAD, NO_PIXEL_SIZE, Row
from headcirc.batch.files import CRASHED, UNFINISHED, UsageError
from headcirc.batch.safe_text import guard_formula
from headcirc.geometry import PixelSpacing

SEAL = "seal"
COLUMNS = [*(each.name for each in fields(Row)), SEAL]
RESULTS = ("", NO_HEAD, NO_PIXEL_SIZE)
"""What `error` may say of an image that is not worth another try."""
SEAL_LETTERS = 16
TRUE, FALSE = "true", "false"
MOST_DECIMALS = 6
"""Decimals of a pixel size, by which everything was multiplied."""
DECIMALS_OF = {each.name: each.metadata.get(DECIMALS, MOST_DECIMALS) for each in fields(Row)}
STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def to_origin(path: Path, spacing: PixelSpacing | None, model: Sequence[object]) -> str:
    """Return what a file's row is measured from; to be asked before the file is read."""
    try:
        status = path.stat()
    except OSError:  # its row will say so, and is not kept
        return ""
    # Files of one archive may share size and time; when two of them change names, this one changes.
    times_ns = status.st_mtime_ns, status.st_ctime_ns
    return repr((status.st_size, times_ns, spacing, model, __version__))


def read_kept(
    path: Path, origins: Mapping[str, str], *, retry_crashed: bool = False
) -> dict[str, list[str]]:
    """Return the lines that still hold, by their images' names.

    Parameters
    ----------
    path : Path
        Need not exist.
    origins : dict of str to str
        Of all images of this run.
    retry_crashed : bool
        Keep no line of a file that ended the process that measured it.

    Raises
    ------
    UsageError
        The table is another one, or has images that this run would drop from it.
    """
    try:
        # What is torn within a letter does not fit its seal.
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            header, *lines = [*csv.reader(file)] or [COLUMNS]
    except FileNotFoundError:
        return {}
    except (OSError, csv.Error) as error:
        raise UsageError(f"The table cannot be read ({error}); leave out --resume.") from error
    if header != COLUMNS:
        raise UsageError(
            f"{str(path)!r} does not have the columns of this release's tables, so that --resume "
            "cannot go on with it; name another table."
        )
    whole = [cells for cells in lines if len(cells) == len(COLUMNS)]
    strange = [cells[0] for cells in whole if cells[0] not in origins]
    if strange:
        raise UsageError(
            f"{str(path)!r} has rows of {len(strange)} images that are not named here, such as "
            f"{strange[0]!r}; name images as in that run, from the same folder, or another table."
        )
    return {
        cells[0]: cells
        for cells in whole
        if _is_result(cells[COLUMNS.index("error")], retry_crashed=retry_crashed)
        and cells[-1] == _to_seal(cells[:-1], origins[cells[0]])
    }


def _is_result(error: str, *, retry_crashed: bool) -> bool:
    return error in RESULTS or (error.startswith(CRASHED) and not retry_crashed)


def to_row(cells: Sequence[str]) -> Row:
    """Return a line that was kept as it was measured."""
    given = zip(fields(Row), cells[:-1], strict=True)
    return Row(**{each.name: _read_cell(each.type, cell) for each, cell in given})


def _read_cell(kind: object, cell: str) -> Any:
    if kind is str:
        return cell
    if kind is bool:
        return cell == TRUE
    return float(cell) if cell else None


class Table:
    """A CSV file that is being written; see `open_table`."""

    def __init__(self, file: TextIO, origins: Mapping[str, str]) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._origins = origins

    def begin(self) -> None:
        """Write the columns' names."""
        self._writer.writerow(COLUMNS)

    def write(self, row: Row) -> None:
        """Write a row, whole, before the next image is measured."""
        cells = [_to_cell(name, value) for name, value in asdict(row).items()]
        self._writer.writerow([*cells, _to_seal(cells, self._origins[row.image])])
        self._file.flush()


def _to_cell(column: str, value: str | float | bool | None) -> str:
    """Return a value as a table has it: no more digits than mean something, and no formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, float):
        return str(round(value, DECIMALS_OF[column]))
    return guard_formula(value)


def _to_seal(cells: Sequence[str], origin: str) -> str:
    return hashlib.sha256(repr((origin, [*cells])).encode()).hexdigest()[:SEAL_LETTERS]


@contextmanager
def open_table(
    path: Path, origins: Mapping[str, str], kept: Mapping[str, list[str]]
) -> Iterator[Table]:
    """Begin a table with the lines that are kept of it; without any it is replaced.

    One to standard output (`-`) keeps nothing.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    if is_standard_output(path):
        table = Table(sys.stdout, origins)
        table.begin()
        yield table
        return
    try:
        if kept:
            _write_kept(path.resolve(), [COLUMNS, *kept.values()])
        file = path.open("a" if kept else "w", newline="", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"No table can be written to {str(path)!r} ({error.strerror}); name a file in a folder "
            "that exists."
        ) from error
    with file:
        table = Table(file, origins)
        if not kept:
            table.begin()
        yield table


def is_standard_output(path: Path | None) -> bool:
    """Return whether a table is to be written to standard output, by any of its names."""
    return str(path) in STANDARD_OUTPUT


def _write_kept(target: Path, lines: Sequence[Sequence[str]]) -> None:
    """Replace a table as a whole: whatever ends the run now, one of the two is there."""
    unfinished = target.with_name(target.name + UNFINISHED)
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(target)
