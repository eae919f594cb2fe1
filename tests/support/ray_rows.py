"""Reads what `headcirc batch` wrote."""

from pathlib import Path
from typing import Any


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return all rows of all parts."""
    import pyarrow.parquet as pq

    parts = sorted(folder.glob("part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]
