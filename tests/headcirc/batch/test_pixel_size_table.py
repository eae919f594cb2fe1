from pathlib import Path

import pytest

from headcirc.batch.files import UsageError
from headcirc.batch.pixel_size_table import load_pixel_sizes, to_spacings_of
from headcirc.cli.commands import main
from headcirc.geometry import PixelSpacing


@pytest.fixture
def load(tmp_path):
    """Return a function that reads a table from its text."""

    def load_text(text, encoding="utf-8"):
        table = tmp_path / "sizes.csv"
        table.write_text(text, encoding=encoding)
        return load_pixel_sizes(table)

    return load_text


def test_hc18_s_own_table_is_accepted(load):
    """Its columns, with their unit in brackets, give square pixels."""
    assert load("filename,pixel size(mm),head circumference (mm)\n000_HC.png,0.069,44.3\n") == {
        "000_HC.png": PixelSpacing(0.069, 0.069)
    }


def test_table_with_unequal_pixels_is_accepted(load):
    """X and y columns keep their axes, as the phantoms' own table has them."""
    assert load("filename,pixel_size_x_mm,pixel_size_y_mm\na.png,0.1,0.2\n") == {
        "a.png": PixelSpacing(row_mm=0.2, column_mm=0.1)
    }


def test_bad_line_of_a_table_is_named(load):
    """A size that is no number stops the run before it begins and names its line."""
    with pytest.raises(UsageError, match="Line 3"):
        load("filename,pixel_size_mm\na.png,0.1\nb.png,abc\n")


@pytest.mark.parametrize("line", ["a.png,", "a.png,0_1", 'a.png,"1.234,5"', 'a.png,"0,0,1"'])
def test_line_without_a_number_is_refused_with_an_example(load, line):
    """Not in the words of the language that this is written in."""
    with pytest.raises(UsageError, match=r"Line 2 .* millimetres, such as 0\.12, or leave"):
        load(f"filename,pixel_size_mm\n{line}\n")


@pytest.mark.parametrize("line", ["a.png", "a.png;0.069"])
def test_line_with_too_few_fields_is_refused(load, line):
    """As one is that separates its fields in another way."""
    with pytest.raises(UsageError, match=r"Line 2 .* no field for the column 'pixel_size_mm'"):
        load(f"filename,pixel_size_mm\n{line}\n")


def test_line_without_a_name_is_refused(load):
    with pytest.raises(UsageError, match=r"Line 2 .* has no filename"):
        load("filename,pixel_size_mm\n ,0.1\n")


@pytest.mark.parametrize(
    "text",
    [
        "filename;pixel_size_mm\na.png;0,069\n",
        "filename;pixel_size_mm\na.png;0.069\n",
        "sep=;\nfilename;pixel_size_mm\na.png;0,069\n",
        "sep=;\r\nfilename;pixel_size_mm\r\na.png;0,069\r\n",
        "filename\tpixel_size_mm\na.png\t0,069\n",
        "filename,pixel_size_mm\na.png,0.069\n",
        'filename,pixel_size_mm\na.png,"0,069"\n',
        "filename;pixel size(mm);head circumference (mm), outer\na.png;0,069;44,3\n",
        "filename;pixel_size_x_mm;pixel_size_y_mm\na.png;0,069;0,069\n",
    ],
)
def test_table_of_any_spreadsheet_is_accepted(load, text):
    """A German one writes semicolons, and commas in decimals; others write tabs or quotes."""
    assert load(text) == {"a.png": PixelSpacing(0.069, 0.069)}


def test_line_of_a_table_with_a_stated_mark_is_named(load):
    """Counted as an editor counts it, the line that states the mark included."""
    with pytest.raises(UsageError, match=r"Line 3 .* 'x' as pixel size"):
        load("sep=;\nfilename;pixel_size_mm\na.png;x\n")


def test_comma_in_a_size_is_refused(load):
    """The 1 of 1,069 is not taken for millimetres."""
    with pytest.raises(UsageError, match=r"Line 2 .* more fields .* with a point, or semicolons"):
        load("filename,pixel_size_mm\na.png,1,069\n")


@pytest.mark.parametrize(
    "columns",
    [
        "pixel_size_mm,pixel_size_x_mm,pixel_size_y_mm",
        "pixel_size_mm,pixel_size_y_mm",
        "pixel_size_mm,pixel size(mm)",
        "pixel_size_mm,pixel_size_mm",
        "pixel_size_x_mm,pixel_size_y_mm,pixel_size_y_mm",
    ],
)
def test_table_that_states_sizes_twice_is_refused(load, columns):
    """As the service refuses it: which column is true nobody knows."""
    with pytest.raises(UsageError, match="keep one for square pixels, or"):
        load(f"filename,{columns}\na.png,0.1,0.2,0.3\n")


def test_empty_fields_beyond_the_columns_are_passed_over(load):
    """Some programs end each line with commas, and a table with lines of them alone."""
    text = "filename,pixel_size_mm\na.png,0.1,,\n,\n,,,\n"
    assert load(text) == {"a.png": PixelSpacing(0.1, 0.1)}


def test_name_with_two_sizes_is_refused(load):
    """The message has the name, the line and both sizes."""
    with pytest.raises(UsageError, match=r"Line 3 .*'a.png' has 0.2 x 0.2 mm here and 0.1 x 0.1"):
        load("filename,pixel_size_mm\na.png,0.1\na.png,0.2\n")


def test_name_with_one_size_twice_is_accepted(load):
    """Lines that say the same, however it is written, contradict nothing."""
    assert load("filename,pixel_size_mm\na.png,0.1\na.png,0.10\n") == {
        "a.png": PixelSpacing(0.1, 0.1)
    }


def test_table_that_excel_saved_as_utf_8_is_accepted(load):
    """The mark at its beginning is no part of the first column's name."""
    assert load("filename,pixel_size_mm\nä.png,0.1\n", encoding="utf-8-sig") == {
        "ä.png": PixelSpacing(0.1, 0.1)
    }


def test_table_with_an_endless_cell_is_refused(load):
    """A file that is not CSV is refused in a sentence."""
    with pytest.raises(UsageError, match="field larger than field limit"):
        load("filename,pixel_size_mm\n" + "x" * 200_000 + ",0.1\n")


SMALL, LARGE = PixelSpacing(0.1, 0.1), PixelSpacing(0.3, 0.3)


def test_row_is_the_image_s_whose_path_ends_so():
    """The longest end counts; an image without a row has no pixel size."""
    left, right, other = (Path(f"scans/{name}") for name in ("left/1.png", "1.png", "2.png"))
    sizes = {"1.png": SMALL, "left/1.png": LARGE}
    assert to_spacings_of([left, right, other], sizes) == {left: LARGE, right: SMALL, other: None}


def test_row_names_no_folder(tmp_path):
    """A NAS keeps an image's thumbnails in a folder that is called as the image is."""
    (tmp_path / "1.png").touch()
    (tmp_path / "@eaDir" / "1.png").mkdir(parents=True)
    image, folder = tmp_path / "1.png", tmp_path / "@eaDir" / "1.png"
    assert to_spacings_of([image, folder], {"1.png": SMALL}) == {image: SMALL, folder: None}


def test_row_may_name_the_whole_path(tmp_path, monkeypatch):
    """As our own table of results does; also where the images are named from their folder."""
    monkeypatch.chdir(tmp_path)
    whole = tmp_path / "1.png"
    for named in (whole, Path("1.png")):
        assert to_spacings_of([named], {str(whole): SMALL}) == {named: SMALL}


@pytest.mark.parametrize("name", ["./left/b\u00e4r 1.png", "left/ba\u0308r 1.png"])
@pytest.mark.parametrize("path", ["scans/left/b\u00e4r 1.png", "scans/left/ba\u0308r 1.png"])
def test_names_that_look_the_same_are_the_same(load, name, path):
    """With the `./` of `find`, and with umlauts of one letter or, as on a Mac, of two."""
    sizes = load(f"filename,pixel_size_mm\n{name},0.1\n")
    assert to_spacings_of([Path(path)], sizes) == {Path(path): SMALL}


def test_row_that_fits_two_images_is_neither_s():
    """HC18 itself has two files of one name and different pixel sizes."""
    images = [Path("training_set/000_HC.png"), Path("test_set/000_HC.png")]
    with pytest.raises(UsageError, match=r"'000_HC\.png' in .* fits 2 images"):
        to_spacings_of(images, {"000_HC.png": SMALL})


def test_table_is_not_replaced_by_what_is_measured(tmp_path, capsys):
    """By whatever name `--csv` has it: sizes that were written down are not to be had again."""
    table, text = tmp_path / "sizes.csv", "filename,pixel_size_mm\n000_HC.png,0.1\n"
    table.write_text(text)
    same = tmp_path / "." / ".." / tmp_path.name / table.name
    options = ["--pixel-sizes", str(table), "--csv", str(same)]
    assert main(["analyze", "examples", *options]) == 2
    assert "would be replaced" in capsys.readouterr().err
    assert table.read_text() == text
