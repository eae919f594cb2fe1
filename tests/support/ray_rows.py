"""Read the results of `headcirc batch`."""

from pathlib import Path
from typing import Any


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of all Parquet files in a folder."""
    import pyarrow.parquet as pq

    parts = sorted(folder.glob("part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]
