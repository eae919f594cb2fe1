from pathlib import Path

import pytest

from headcirc.agreement.reference_table import (
    has_pixel_sizes,
    load_references,
    match_references,
)
from headcirc.batch.files import UsageError


@pytest.fixture
def load(tmp_path):
    def load(text, encoding="utf-8"):
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode(encoding))
        return load_references(path)

    return load


def test_table_of_a_spreadsheet_is_read(load):
    """Semicolons, decimal commas, a byte order mark and empty rows."""
    references = load("\ufefffile;hc_mm;operator\nb.png;175,3;AB\n;;\n", "utf-8")
    assert references["b.png"].by_operator == {"AB": 175.3}
    assert references["b.png"].exam == "b.png"


def test_hc18s_table_is_read(load):
    header = "filename,pixel size(mm),head circumference (mm)"
    assert load(f"{header}\n010_HC.png,0.06,92.5\n")["010_HC.png"].head_circumference_mm == 92.5


def test_operators_are_averaged_and_exams_kept(load):
    """Two operators of one image; the mean is the reference."""
    table = "file,hc_mm,operator,exam\na.png,170,A,7\na.png,174,B,7\nb.png,100,A,7\n"
    references = load(table)
    assert references["a.png"].head_circumference_mm == 172
    assert {each.exam for each in references.values()} == {"7"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.png,17.53", r"Line 2 .* 17\.53\. It looks like centimetres\. Write millimetres"),
        ("a.png,900", "Line 2 .* head circumference 900. Write millimetres, 40 to 400"),
        ("a.png,", "Line 2 .* has '' as head circumference"),
        ("a.png,about 170", "Line 2 .* has 'about 170'"),
        ("a.png,nan", "head circumference nan"),
        ("a.png,170\na.png,171", "Line 3 .* is a second row of 'a.png'; keep one"),
        ("a.png,170,5", "Line 2 .* more fields than there are columns"),
        ("", "has no rows"),
    ],
)
def test_row_that_cannot_be_used_is_refused_with_its_line(load, rows, message):
    with pytest.raises(UsageError, match=message):
        load(f"file,hc_mm\n{rows}\n")


def test_same_operator_twice_is_refused(load):
    with pytest.raises(UsageError, match=r"second row of 'a\.png' by 'A'"):
        load("file,hc_mm,operator\na.png,170,A\na.png,171,A\n")


def test_two_exams_of_one_image_are_refused(load):
    with pytest.raises(UsageError, match=r"has the exam '2' for 'a\.png'"):
        load("file,hc_mm,operator,exam\na.png,170,A,1\na.png,171,B,2\n")


def test_missing_column_is_named(load):
    with pytest.raises(UsageError, match="columns file, hc_cm; needed are 'file' and 'hc_mm'"):
        load("file,hc_cm\na.png,17\n")


def test_missing_table_is_reported(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_references(tmp_path / "none.csv")


def test_pixel_sizes_of_the_same_table_are_noticed(tmp_path):
    path = tmp_path / "t.csv"
    for header, has in (("file,hc_mm", False), ("file,hc_mm,pixel_size_mm", True)):
        path.write_text(f"{header}\n")
        assert has_pixel_sizes(path) is has


def test_rows_are_matched_to_images(load):
    """By the end of the path; images without a row are left out."""
    references = load("file,hc_mm\nleft/a.png,170\nb.png,180\n")
    images = [Path("/d/left/a.png"), Path("/d/right/a.png"), Path("/d/b.png")]
    matched = match_references(images, references)
    assert {path: each.head_circumference_mm for path, each in matched.items()} == {
        images[0]: 170,
        images[2]: 180,
    }


def test_missing_images_are_named(load):
    """They can be skipped, unless none is left."""
    references = load("file,hc_mm\na.png,170\nb.png,180\n")
    images = [Path("/d/a.png")]
    with pytest.raises(UsageError, match=r"1 of 2 images .* not in the folder, such as 'b.png'"):
        match_references(images, references)
    assert list(match_references(images, references, skip_missing=True)) == images
    with pytest.raises(UsageError, match="2 of 2 images"):
        match_references([Path("/d/c.png")], references, skip_missing=True)


def test_name_that_fits_two_images_is_refused(load):
    with pytest.raises(UsageError, match=r"'a.png' .* fits 2 images"):
        match_references(
            [Path("/d/left/a.png"), Path("/d/right/a.png")], load("file,hc_mm\na.png,170\n")
        )
