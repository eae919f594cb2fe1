"""One row for each compared image, and the table of these rows.

`headcirc evaluate` writes the table and `headcirc recalibrate` reads it.
"""

import csv
import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from headcirc.agreement.reference_table import Reference
from headcirc.answers import Row
from headcirc.batch.csv_reader import TableRow, iterate_rows, read_table
from headcirc.batch.files import UsageError
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.replace_file import replace_file
from headcirc.batch.safe_text import FALSE, TRUE, to_cell

DECIMALS = 4


@dataclass(frozen=True)
class ComparedImage:
    """One image: the model's answer, and the site's own measurement.

    Attributes
    ----------
    image, exam : str
        `exam` is shared by images that are alike.
    operators : str
        Operators of the site's own measurement, separated by `; `.
    reference_mm : float
        The site's own measurement; with several operators, the mean of theirs.
    head_circumference_mm, head_circumference_raw_mm : float or None
        The model's, with and without the correction of a site file; None if not measured.
    head_circumference_low_mm, head_circumference_high_mm : float or None
        The model's interval.
    level : float or None
        Share of intervals that should contain the reference; None without intervals.
    acceptable : bool
    warnings, error : str
        Codes separated by spaces; why there is no measurement.
    model_name, model_version, model_sha256, model_precision, site_sha256 : str
        What measured; `site_sha256` is empty without a site file.
    """

    image: str
    exam: str
    operators: str
    reference_mm: float
    head_circumference_mm: float | None
    head_circumference_raw_mm: float | None
    head_circumference_low_mm: float | None
    head_circumference_high_mm: float | None
    level: float | None
    acceptable: bool
    warnings: str
    error: str
    model_name: str
    model_version: str
    model_sha256: str
    model_precision: str
    site_sha256: str

    @property
    def error_mm(self) -> float | None:
        """Return measured minus reference."""
        measured_mm = self.head_circumference_mm
        return None if measured_mm is None else measured_mm - self.reference_mm

    @property
    def is_in_interval(self) -> bool | None:
        """Return whether the interval contains the reference; None without an interval."""
        low_mm, high_mm = self.head_circumference_low_mm, self.head_circumference_high_mm
        if low_mm is None or high_mm is None:
            return None
        return low_mm <= self.reference_mm <= high_mm


TABLE = "the table of compared images"
COLUMNS = tuple(each.name for each in fields(ComparedImage))
DERIVED = ("error_mm", "is_in_interval")
"""Columns of the table that are not read back."""


def to_compared(
    row: Row, reference: Reference, model: ModelIdentity, *, level: float | None
) -> ComparedImage:
    """Return a measured row together with its reference."""
    return ComparedImage(
        image=row.image,
        exam=reference.exam,
        operators="; ".join(filter(None, sorted(reference.by_operator))),
        reference_mm=reference.head_circumference_mm,
        head_circumference_mm=row.head_circumference_mm,
        head_circumference_raw_mm=row.head_circumference_raw_mm,
        head_circumference_low_mm=row.head_circumference_low_mm,
        head_circumference_high_mm=row.head_circumference_high_mm,
        level=None if row.head_circumference_low_mm is None else level,
        acceptable=row.acceptable,
        warnings=row.warnings,
        error=row.error,
        model_name=model.name,
        model_version=model.version,
        model_sha256=model.sha256,
        model_precision=model.precision,
        site_sha256=model.site_sha256,
    )


def write_rows(path: Path, rows: Iterable[ComparedImage]) -> None:
    """Write the table, completely or not at all."""
    columns = [*COLUMNS, *DERIVED]
    with (
        replace_file(path) as unfinished,
        unfinished.open("x", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            values = asdict(row) | {name: getattr(row, name) for name in DERIVED}
            writer.writerow(to_cell(values[name], f"{{:.{DECIMALS}f}}".format) for name in columns)


def read_rows(path: Path) -> list[ComparedImage]:
    """Read a table of `write_rows`; rows that were removed by hand are no error.

    Raises
    ------
    UsageError
        The file is no such table, a row has surplus or missing fields, or a cell cannot be read.
    """
    return read_table(path, _is_header, _read_all, name=TABLE.capitalize())


def _is_header(names: Collection[str]) -> bool:
    return {*COLUMNS} <= {*names}


def _read_all(reader: "csv.DictReader[str]") -> list[ComparedImage]:
    missing = {*COLUMNS} - {*(reader.fieldnames or [])}
    if missing:
        raise UsageError(
            f"{TABLE.capitalize()} has no column {min(missing)!r}; name the rows.csv that "
            "`headcirc evaluate` wrote."
        )
    return [_read_row(row) for row in iterate_rows(reader, *COLUMNS, table=TABLE)]


def _read_row(row: TableRow) -> ComparedImage:
    values = {}
    for each in fields(ComparedImage):
        text = row.cells[each.name]
        try:
            values[each.name] = _read_cell(text, each.type)
        except ValueError as error:
            raise UsageError(
                f"Line {row.line} of {TABLE} has {text!r} as {each.name}; restore what `headcirc "
                "evaluate` wrote."
            ) from error
    return ComparedImage(**values)


def _read_cell(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text not in (TRUE, FALSE):
            raise ValueError(f"{text!r} is neither {TRUE} nor {FALSE}")
        return text == TRUE
    if not text and kind is not float:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not finite")
    return value
