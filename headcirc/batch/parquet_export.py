"""Export a finished table of results to Parquet, for programs that want typed columns."""

from collections.abc import Iterable
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headcirc.answers import Row
from headcirc.batch.replace_file import replace_file

ROWS_PER_GROUP = 65_536
ARROW_TYPES: dict[Any, Any] = {str: pa.string(), bool: pa.bool_()}


def write_parquet(rows: Iterable[Row], path: Path) -> None:
    """Write rows to a Parquet file, completely or not at all; its columns are those of a row."""
    schema = pa.schema(
        [(each.name, ARROW_TYPES.get(each.type, pa.float64())) for each in fields(Row)]
    )
    remaining = iter(rows)
    with replace_file(path) as unfinished, pq.ParquetWriter(unfinished, schema) as writer:
        while group := [asdict(row) for row in islice(remaining, ROWS_PER_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema))
