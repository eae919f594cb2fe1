"""Read a table of one's own measurements and match its rows to images.

An image may have one row for each operator. Values that look like centimetres, images with two
different rows, and rows without an image are refused.
"""

import csv
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headcirc.batch.csv_reader import (
    NAME_COLUMNS,
    find_name,
    iterate_rows,
    open_reader,
    read_table,
    to_key,
)
from headcirc.batch.files import UsageError
from headcirc.batch.pixel_size_table import SIZE_COLUMNS, X_COLUMN
from headcirc.quality.assessment import PLAUSIBLE_HEAD_CIRCUMFERENCE_MM
from headcirc.readers.pixel_size import read_decimal

HC_COLUMNS = ("hc_mm", "head_circumference_mm", "head circumference (mm)")
OPERATOR_COLUMN, EXAM_COLUMN = "operator", "exam"
TABLE = "the table of measurements"
MM_PER_CM = 10
SHOWN = 5
"""Names in an error message."""


@dataclass(frozen=True)
class Reference:
    """The site's own measurements of one image.

    Attributes
    ----------
    exam : str
        Images of one exam share it; by default each image is an exam of its own.
    by_operator : dict
        Operator to head circumference in mm; the operator is empty where the table names none.
    """

    exam: str
    by_operator: dict[str, float] = field(default_factory=dict)

    @property
    def head_circumference_mm(self) -> float:
        """Return the mean of the operators' circumferences."""
        return math.fsum(self.by_operator.values()) / len(self.by_operator)


def load_references(path: Path) -> dict[str, Reference]:
    """Read image name to reference from a CSV; HC18's own table is accepted as it is.

    Raises
    ------
    UsageError
        The table cannot be read, lacks a column, or has a row that cannot be used.
    """
    return read_table(path, _is_header, _read_references, name=TABLE.capitalize())


def has_pixel_sizes(path: Path) -> bool:
    """Return whether a table of measurements also has pixel sizes."""
    with path.open(newline="", encoding="utf-8-sig") as table:
        names = open_reader(table, _is_header).fieldnames or []
    return not {*SIZE_COLUMNS, X_COLUMN}.isdisjoint(names)


def _is_header(names: Collection[str]) -> bool:
    return not {*NAME_COLUMNS}.isdisjoint(names) and not {*HC_COLUMNS}.isdisjoint(names)


def _read_references(reader: "csv.DictReader[str]") -> dict[str, Reference]:
    columns = list(reader.fieldnames or [])
    name_column = next((name for name in NAME_COLUMNS if name in columns), None)
    hc_column = next((name for name in HC_COLUMNS if name in columns), None)
    if name_column is None or hc_column is None:
        raise UsageError(
            f"{TABLE.capitalize()} has the columns {', '.join(columns)}; needed are 'file' "
            "and 'hc_mm'. 'pixel_size_mm', 'operator' and 'exam' are optional."
        )
    references: dict[str, Reference] = {}
    optional = [each for each in (OPERATOR_COLUMN, EXAM_COLUMN) if each in columns]
    for row in iterate_rows(reader, name_column, hc_column, *optional, table=TABLE):
        name = to_key(row.name.strip())
        operator = row.cells.get(OPERATOR_COLUMN, "").strip()
        exam = row.cells.get(EXAM_COLUMN, "").strip() or name
        reference = references.setdefault(name, Reference(exam))
        _require_new(reference, name, exam, operator, line=row.line)
        reference.by_operator[operator] = _read_mm(row.cells[hc_column], row.line)
    if not references:
        raise UsageError(f"{TABLE.capitalize()} has no rows.")
    return references


def _require_new(reference: Reference, name: str, exam: str, operator: str, *, line: int) -> None:
    """Refuse a second row of the same image and operator, or another exam of the same image.

    Raises
    ------
    UsageError
    """
    if operator in reference.by_operator:
        by = f" by {operator!r}" if operator else ""
        raise UsageError(
            f"Line {line} of {TABLE} is a second row of {name!r}{by}; keep one, "
            "or name the operators in a column 'operator'."
        )
    if exam != reference.exam:
        raise UsageError(
            f"Line {line} of {TABLE} has the exam {exam!r} for {name!r}, and a "
            f"row above has {reference.exam!r}; an image belongs to one exam."
        )


def _read_mm(text: str, line: int) -> float:
    where = f"Line {line} of {TABLE}"
    try:
        value_mm = read_decimal(text.strip())
    except ValueError as error:
        raise UsageError(
            f"{where} has {text!r} as head circumference; write millimetres, such as 175.3."
        ) from error
    low_mm, high_mm = PLAUSIBLE_HEAD_CIRCUMFERENCE_MM
    if low_mm <= value_mm <= high_mm:
        return value_mm
    hint = ""
    if low_mm <= MM_PER_CM * value_mm <= high_mm:
        hint = " It looks like centimetres."
    raise UsageError(
        f"{where} has the head circumference {value_mm:g}.{hint} Write millimetres, {low_mm:g} to "
        f"{high_mm:g}."
    )


def match_references(
    images: Sequence[Path], references: Mapping[str, Reference], *, skip_missing: bool = False
) -> dict[Path, Reference]:
    """Return the reference of each image that has one; a name is the end of the image's path.

    Raises
    ------
    UsageError
        A row fits several images, or none, unless `skip_missing`.
    """
    names = {path: find_name(path, references) for path in images if not path.is_dir()}
    counts = Counter(name for name in names.values() if name is not None)
    several = next((name for name, count in counts.items() if count > 1), None)
    if several is not None:
        raise UsageError(
            f"{several!r} in {TABLE} fits {counts[several]} images of different "
            "folders; name each with its folder (folder/name)."
        )
    missing = [name for name in references if name not in counts]
    if missing and not (skip_missing and counts):
        shown = ", ".join(repr(name) for name in missing[:SHOWN])
        raise UsageError(
            f"{len(missing)} of {len(references)} images of {TABLE} are not in "
            f"the folder, such as {shown}. Names include the suffix; --recursive includes "
            "sub-folders; --skip-missing goes on without them."
        )
    return {path: references[name] for path, name in names.items() if name is not None}
