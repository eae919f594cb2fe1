"""Read a table of gestational ages; its rows are matched to images as those of pixel sizes."""

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
from headcirc.errors import InvalidGestationalAgeError
from headcirc.growth import require_gestational_age
from headcirc.readers.pixel_size import read_decimal

AGE_COLUMN = "gestational_age_days"
TABLE = "the gestational ages' table"


def load_gestational_ages(path: Path) -> dict[str, int]:
    """Read file name to gestational age in days from a CSV; an empty cell states none.

    Raises
    ------
    UsageError
        The file is missing or has no known columns, a row has surplus or missing fields, an age is
        not valid, or a name has two ages.
    """
    return read_table(path, _is_header, _read_ages, name=TABLE.capitalize())


def _is_header(names: Collection[str]) -> bool:
    return not {*NAME_COLUMNS}.isdisjoint(names) and AGE_COLUMN in names


def _read_ages(reader: "csv.DictReader[str]") -> dict[str, int]:
    columns = list(reader.fieldnames or [])
    name_column = next((name for name in NAME_COLUMNS if name in columns), None)
    if name_column is None or AGE_COLUMN not in columns:
        raise UsageError(
            f"{TABLE.capitalize()} has the columns {', '.join(columns)}; needed are 'filename' and "
            f"{AGE_COLUMN!r}."
        )
    ages: dict[str, int] = {}
    for row in iterate_rows(reader, name_column, AGE_COLUMN, table=TABLE):
        stated = row.cells[AGE_COLUMN]
        if not stated.strip():
            continue
        days = _to_days(stated, row.line)
        if ages.setdefault(to_key(row.name), days) != days:
            raise UsageError(
                f"Line {row.line} of {TABLE}: {row.name!r} has {days} days here and another age "
                "above; keep one."
            )
    return ages


def _to_days(text: str, line: int) -> int:
    try:
        days = require_gestational_age(read_decimal(text))
    except (ValueError, InvalidGestationalAgeError) as error:
        raise UsageError(
            f"Line {line} of {TABLE} has {text!r}; write whole days from 1 to 330, such as 143 for "
            "20 weeks and 3 days, or nothing where it is unknown."
        ) from error
    assert days is not None, "an age was stated"
    return days


def to_ages_of(images: Sequence[Path], ages: Mapping[str, int]) -> dict[Path, int | None]:
    """Return each image's gestational age from the table; None where it has no row.

    Raises
    ------
    UsageError
        A row's name fits several images.
    """
    names = match_rows(images, ages, TABLE)
    return {path: None if name is None else ages[name] for path, name in names.items()}
