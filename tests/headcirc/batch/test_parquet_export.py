from dataclasses import asdict

import pytest

from headcirc.answers import Row

pytest.importorskip("pyarrow", reason="the package 'pyarrow' is missing (the extra 'ray')")

import pyarrow.parquet as pq

from headcirc.batch import parquet_export

ROWS = [
    Row("a.png", head_circumference_mm=100.5, acceptable=True, warnings="x y"),
    Row("b.png", error="no head was found"),
    Row("c.png", pixel_size_x_mm=0.1),
]


def test_parquet_file_has_typed_columns_and_gaps(tmp_path, monkeypatch):
    """Its rows are those of the table, also in several groups."""
    monkeypatch.setattr(parquet_export, "ROWS_PER_GROUP", 2)
    path = tmp_path / "results.parquet"
    parquet_export.write_parquet(iter(ROWS), path)
    assert pq.read_table(path).to_pylist() == [asdict(row) for row in ROWS]
    assert pq.read_metadata(path).num_row_groups == 2
    assert [*tmp_path.iterdir()] == [path]


def test_parquet_file_of_no_rows_can_be_read(tmp_path):
    """It has the columns."""
    parquet_export.write_parquet([], tmp_path / "results.parquet")
    assert pq.read_table(tmp_path / "results.parquet").column_names[0] == "image"
