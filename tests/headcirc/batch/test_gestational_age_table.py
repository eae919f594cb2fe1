from pathlib import Path

import pytest

from headcirc.batch.files import UsageError
from headcirc.batch.gestational_age_table import load_gestational_ages, to_ages_of


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "ages.csv"
        path.write_text(text)
        return load_gestational_ages(path)

    return load


def test_table_gives_days_by_name(load):
    """Other columns are left alone, and an empty cell states nothing."""
    text = "filename,pixel_size_mm,gestational_age_days\n./a.png,0.1,143\nb.png,0.1,\n"
    assert load(text) == {"a.png": 143}
    assert load("name;gestational_age_days\na.png;143\n") == {"a.png": 143}


def test_empty_fields_and_rows_at_the_end_are_passed_over(load):
    """Spreadsheets write them, and leave out the last fields where they are not used."""
    assert load("filename,gestational_age_days,note\na.png,143,,\nb.png,100\n,,\n") == {
        "a.png": 143,
        "b.png": 100,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,age\na.png,143\n", "needed are"),
        ("filename,gestational_age_days\na.png,20w3d\n", "Line 2.*'20w3d'"),
        ("filename,gestational_age_days\na.png,20.5\n", "whole days"),
        ("filename,gestational_age_days\na.png,400\n", "from 1 to 330"),
        ("filename,gestational_age_days\na.png,143\na.png,144\n", "Line 3.*keep one"),
        (
            "filename,gestational_age_days\na.png,143,5\n",
            "Line 2.*more fields than there are columns",
        ),
        ("filename,gestational_age_days\na.png,1\na;png\n", "Line 3.*no field for the column"),
        ("filename,gestational_age_days\n,143\n", "Line 2.*has no filename"),
        ("filename,gestational_age_days,gestational_age_days\na,1,2\n", "two columns.*keep one"),
    ],
)
def test_table_that_cannot_be_used_is_refused_with_its_line(load, text, message):
    with pytest.raises(UsageError, match=message):
        load(text)


def test_missing_table_is_bad_usage(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_gestational_ages(tmp_path / "absent.csv")


def test_rows_are_matched_by_the_longest_end_of_the_path():
    images = [Path("left/1.png"), Path("right/1.png"), Path("2.png")]
    ages = to_ages_of(images, {"left/1.png": 100, "right/1.png": 200})
    assert ages == {images[0]: 100, images[1]: 200, images[2]: None}


def test_row_that_fits_two_images_is_refused():
    with pytest.raises(UsageError, match="fits 2 images"):
        to_ages_of([Path("left/1.png"), Path("right/1.png")], {"1.png": 100})
