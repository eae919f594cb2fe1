"""Read a CSV table that a spreadsheet wrote, with commas, semicolons or tabs between columns.

All tables that a person names are read here, so that the same rows are refused in each.
"""

import csv
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO, TypeVar

from headcirc.batch.files import UsageError

NAME_COLUMNS = ("filename", "file", "name", "image")
"""Names of the column with the image's name."""
SEPARATORS = (",", ";", "\t")
"""Spreadsheets write semicolons where decimals have a comma."""
STATED_SEPARATOR = "sep="
"""Start of a first line in which a spreadsheet states the separator."""
IsHeader = Callable[[Collection[str]], bool]
Rows = TypeVar("Rows")


def read_table(
    path: Path, is_header: IsHeader, read: "Callable[[csv.DictReader[str]], Rows]", *, name: str
) -> Rows:
    """Return what `read` makes of a table; `name` is the table's in messages.

    Raises
    ------
    UsageError
        The file cannot be read, or is no CSV file in UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as table:
            return read(open_reader(table, is_header))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name} cannot be read ({error}); name a CSV file in UTF-8.") from error


def open_reader(table: TextIO, is_header: IsHeader) -> "csv.DictReader[str]":
    """Return a reader of a table, whose field names have no spaces around them.

    Parameters
    ----------
    table : text file
        Opened with `newline=""` and `encoding="utf-8-sig"`: Excel writes a byte order mark.
    is_header : callable
        Returns whether names are those of the columns; this shows which separator is used.
    """
    lines = table.readlines()
    is_stated = lines[:1] != [] and lines[0].startswith(STATED_SEPARATOR)
    header = "".join(lines[is_stated : is_stated + 1])
    counts = Counter(header)
    mark = max(SEPARATORS, key=lambda each: (is_header(_to_names(header, each)), counts[each]))
    reader = csv.DictReader(lines, delimiter=mark)
    if is_stated:
        next(reader.reader)  # so that the line is counted
    reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
    return reader


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes
    ----------
    line : int
        Its last line in the file, counted from 1.
    name : str
        What the row is about, as it is written.
    cells : dict of str to str
        All columns' texts; empty where the row has no such field.
    """

    line: int
    name: str
    cells: Mapping[str, str]


def iterate_rows(
    reader: "csv.DictReader[str]", name_column: str, *columns: str, table: str
) -> Iterator[TableRow]:
    """Yield the rows of a table, without empty ones, which spreadsheets write at the end.

    Parameters
    ----------
    reader : csv.DictReader
        From `open_reader`.
    name_column : str
        The column that says what a row is about; no cell of it may be empty.
    *columns : str
        Further columns that are used: each row has a field for them, which may be empty. Rows may
        end before columns that are not used, as some spreadsheets write them.
    table : str
        The table's name in messages.

    Raises
    ------
    UsageError
        A row has more fields than there are columns, or lacks one that is used.
    """
    _require_single(reader.fieldnames or [], (name_column, *columns), table)
    for row in reader:
        where = f"Line {reader.line_num} of {table}"
        if any(row.pop(None, [])):  # fields beyond the last column
            raise UsageError(
                f"{where} has more fields than there are columns; write decimals with a point, or "
                "semicolons between columns."
            )
        if not any(row.values()):
            continue
        missing = next((each for each in columns if row[each] is None), None)
        if missing is not None:
            raise UsageError(
                f"{where} has no field for the column {missing!r}; separate the fields as in the "
                "first line."
            )
        cells = {each: text or "" for each, text in row.items()}
        if not cells[name_column].strip():
            raise UsageError(f"{where} has no {name_column}; fill it in, or leave out the line.")
        yield TableRow(reader.line_num, cells[name_column], cells)


def _require_single(names: Sequence[str], used: Collection[str], table: str) -> None:
    doubled = next((each for each in used if names.count(each) > 1), None)
    if doubled is not None:
        raise UsageError(f"{table[0].upper()}{table[1:]} has two columns {doubled!r}; keep one.")


def _to_names(line: str, mark: str) -> set[str]:
    return {name.strip() for name in next(csv.reader([line], delimiter=mark), [])}


def to_key(name: str) -> str:
    """Return a path in normal form: without `./`, an umlaut as one character (macOS uses two)."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name)))


def find_name(path: Path, names: Collection[str]) -> str | None:
    """Return the longest of the names, all from `to_key`, that is the end of an image's path."""
    parts = PurePosixPath(to_key(str(path.absolute()))).parts
    ends = (str(PurePosixPath(*parts[start:])) for start in range(len(parts)))
    return next((end for end in ends if end in names), None)


def match_rows(
    images: Iterable[Path], names: Collection[str], table: str
) -> Mapping[Path, str | None]:
    """Return the name in a table that is each image's; None where it has no row.

    A row names an image by the end of its path: `1.png`, or `left/1.png` where folders hold files
    of the same name. The longest match counts. No row names a folder: a NAS may give a folder of
    thumbnails the name of their image.

    Raises
    ------
    UsageError
        A row's name fits several images, such as `000_HC.png` in two of HC18's folders.
    """
    found = {path: None if path.is_dir() else find_name(path, names) for path in images}
    counts = Counter(name for name in found.values() if name is not None)
    for name, count in counts.items():
        if count > 1:
            raise UsageError(
                f"{name!r} in {table} fits {count} images of different folders; name each with its "
                "folder (folder/name), or measure one folder at a time."
            )
    return found
