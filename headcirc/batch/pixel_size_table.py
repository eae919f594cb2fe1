"""Read a table of pixel sizes and match its rows to images.

A row that fits several images is refused.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from headcirc.batch.csv_reader import (
    NAME_COLUMNS,
    iterate_rows,
    match_rows,
    read_table,
    to_key,
)
from headcirc.batch.files import UsageError
from headcirc.errors import InputError
from headcirc.geometry import PixelSpacing
from headcirc.readers.pixel_size import read_decimal, to_stated_spacing

SIZE_COLUMNS = ("pixel size(mm)", "pixel_size_mm")
X_COLUMN, Y_COLUMN = "pixel_size_x_mm", "pixel_size_y_mm"
TABLE = "the pixel sizes' table"


def load_pixel_sizes(path: Path) -> dict[str, PixelSpacing]:
    """Read file name to pixel spacing from a CSV; HC18's own table is accepted as it is.

    Raises
    ------
    UsageError
        The file is missing or has no known columns, a row has surplus or missing fields, a size is
        not valid, or a name has two sizes.
    """
    return read_table(path, _is_header, _read_pixel_sizes, name=TABLE.capitalize())


def _is_header(names: Collection[str]) -> bool:
    return not {*NAME_COLUMNS}.isdisjoint(names) and not {*SIZE_COLUMNS, X_COLUMN}.isdisjoint(names)


def _read_pixel_sizes(reader: "csv.DictReader[str]") -> dict[str, PixelSpacing]:
    columns = list(reader.fieldnames or [])
    name_column = next((name for name in NAME_COLUMNS if name in columns), None)
    size_column = next((name for name in SIZE_COLUMNS if name in columns), None)
    sizes = [name for name in columns if name in (*SIZE_COLUMNS, X_COLUMN, Y_COLUMN)]
    if len(sizes) > (1 if size_column else 2):
        raise UsageError(
            f"{TABLE.capitalize()} has the columns {', '.join(sizes)}; keep one for square "
            f"pixels, or {X_COLUMN} and {Y_COLUMN}."
        )
    if name_column is None or not (size_column or {X_COLUMN, Y_COLUMN} <= {*columns}):
        raise UsageError(
            f"{TABLE.capitalize()} has the columns {', '.join(columns)}; needed are "
            f"'filename' and 'pixel_size_mm' (or {X_COLUMN!r} and {Y_COLUMN!r})."
        )
    spacings: dict[str, PixelSpacing] = {}
    x_column, y_column = size_column or X_COLUMN, size_column or Y_COLUMN
    for row in iterate_rows(reader, name_column, x_column, y_column, table=TABLE):
        new = _to_spacing(row.cells[x_column], row.cells[y_column], row.line)
        old = spacings.setdefault(to_key(row.name), new)
        if new != old:
            raise UsageError(
                f"Line {row.line} of {TABLE}: {row.name!r} has {new.column_mm} x {new.row_mm} mm "
                f"here and {old.column_mm} x {old.row_mm} mm above; keep one."
            )
    return spacings


def _to_spacing(x_mm: str, y_mm: str, line: int) -> PixelSpacing:
    try:
        sizes_mm = read_decimal(x_mm), read_decimal(y_mm)
    except ValueError as error:
        stated = " x ".join(dict.fromkeys((x_mm, y_mm)))
        raise UsageError(
            f"Line {line} of {TABLE} has {stated!r} as pixel size; write "
            "millimetres, such as 0.12, or leave out the line where they are unknown."
        ) from error
    try:
        spacing = to_stated_spacing(pixel_size_x_mm=sizes_mm[0], pixel_size_y_mm=sizes_mm[1])
    except InputError as error:
        raise UsageError(f"Line {line} of {TABLE}: {error}") from error
    assert spacing is not None, "both sizes were given"
    return spacing


def to_spacings_of(
    images: Sequence[Path], sizes: Mapping[str, PixelSpacing]
) -> dict[Path, PixelSpacing | None]:
    """Return each image's pixel spacing from the table; None where it has no row.

    Raises
    ------
    UsageError
        A row's name fits several images.
    """
    names = match_rows(images, sizes, TABLE)
    return {path: None if name is None else sizes[name] for path, name in names.items()}
