import csv
import os
import shutil
from dataclasses import replace

import pytest

from headcirc.answers import NO_HEAD, NO_PIXEL_SIZE, Row
from headcirc.batch.csv_table import COLUMNS, open_table, read_kept, to_origin, to_row
from headcirc.batch.files import CRASHED, UsageError
from headcirc.cli.commands import main
from headcirc.geometry import PixelSpacing

EXAMPLE = "examples/phantom.png"
SPACING = PixelSpacing(row_mm=0.1, column_mm=0.2)
MODEL = ("1.0.0", "sha", "openvino", "int8")
ROW = Row(
    head_circumference_mm=175.5,
    head_circumference_px=1755.0,
    biparietal_diameter_mm=0.3,
    acceptable=True,
    warnings="low-contrast shadowed-boundary",
)
NAMES = ('"a, b".png', "two\r\nlines.png", "\u00e4.png")


@pytest.fixture
def images(tmp_path):
    """Return files by their names."""
    paths = {name: tmp_path / str(number) for number, name in enumerate(NAMES)}
    for path in paths.values():
        path.write_bytes(b"a picture")
    return paths


@pytest.fixture
def table(tmp_path, images):
    """Return a table that has a row for each of them."""
    path = tmp_path / "out.csv"
    with open_table(path, to_origins(images), {}) as out:
        for name in NAMES:
            out.write(replace(ROW, image=name))
    return path


def to_origins(images, spacing=SPACING, model=MODEL):
    return {name: to_origin(path, spacing, model) for name, path in images.items()}


def test_lines_are_kept_as_they_were_measured(table, images):
    """Every cell comes back, whatever the name; the table that goes on begins with them."""
    before = table.read_bytes()
    kept = read_kept(table, to_origins(images))
    assert [to_row(cells) for cells in kept.values()] == [replace(ROW, image=n) for n in NAMES]
    with open_table(table, to_origins(images), kept):
        pass
    assert table.read_bytes() == before
    assert [path.name for path in table.parent.glob("*.unfinished")] == []


def test_cells_have_the_digits_that_mean_something(table, images):
    """Hundredths of a millimetre, a pixel size as it was stated, and `true` as the page writes."""
    row = Row(
        image=NAMES[0],
        head_circumference_mm=175.50499999,
        cephalic_index=0.78123456,
        pixel_size_x_mm=0.0691358052,
        acceptable=True,
    )
    with open_table(table, to_origins(images), {}) as out:
        out.write(row)
        out.write(Row(image=NAMES[1], head_circumference_mm=0.1 + 0.2))
    with table.open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert first["head_circumference_mm"] == "175.5"
    assert first["cephalic_index"] == "0.7812"
    assert first["pixel_size_x_mm"] == "0.069136"
    assert second["head_circumference_mm"] == "0.3"
    assert (first["acceptable"], second["acceptable"]) == ("true", "false")
    assert len(read_kept(table, to_origins(images))) == 2


@pytest.mark.parametrize("reason", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1"])
def test_cell_begins_no_formula(table, images, reason):
    """A server's words are in it, and whoever opens the table trusts it."""
    row = Row(image=NAMES[0], warnings=reason, error=reason)
    with open_table(table, to_origins(images), {}) as out:
        out.write(row)
    with table.open(newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert line["error"] == line["warnings"] == f"'{reason}"


def test_crashed_file_is_tried_again_only_if_asked(table, images):
    """It would end the process again; who has another release may want to know."""
    reason = f"{CRASHED}: the process that measures was ended by SIGSEGV"
    with open_table(table, to_origins(images), {}) as out:
        out.write(Row(image=NAMES[0], error=reason))
        out.write(Row(image=NAMES[1], error=NO_HEAD))
    assert list(read_kept(table, to_origins(images))) == list(NAMES[:2])
    kept = read_kept(table, to_origins(images), retry_crashed=True)
    assert list(kept) == [NAMES[1]]


def test_line_of_what_has_changed_is_not_kept(table, images):
    """A row of another pixel size, model or file is not kept, even if file sizes are equal."""
    assert read_kept(table, to_origins(images, PixelSpacing(row_mm=0.2, column_mm=0.1))) == {}
    assert read_kept(table, to_origins(images, spacing=None)) == {}
    assert read_kept(table, to_origins(images, model=(*MODEL[:3], "fp32"))) == {}
    images[NAMES[1]].write_bytes(b"other one")
    os.utime(images[NAMES[1]], ns=(1, 1))
    images[NAMES[2]].unlink()
    assert list(read_kept(table, to_origins(images))) == [NAMES[0]]


def test_files_that_have_changed_names_are_measured_anew(table, images):
    """Even two of the same size and time, as an archive of bitmaps holds them."""
    first, second = images[NAMES[0]], images[NAMES[1]]
    for path in (first, second):
        os.utime(path, ns=(1, 1))
    origins = to_origins(images)
    with open_table(table, origins, {}) as out:
        out.write(replace(ROW, image=NAMES[0]))
        out.write(replace(ROW, image=NAMES[1]))
    first.rename(first.with_name("between"))
    second.rename(first)
    first.with_name("between").rename(second)
    assert read_kept(table, to_origins(images)) == {}


def test_line_that_was_edited_is_not_kept(table, images):
    """Nor one whose number a spreadsheet has rounded, or that was moved to another image."""
    table.write_bytes(table.read_bytes().replace(b"175.5", b"175.50", 1))
    assert len(read_kept(table, to_origins(images))) == 2
    with table.open(newline="") as file:
        rows = [*csv.reader(file)]
    rows[1][0], rows[2][0] = rows[2][0], rows[1][0]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert list(read_kept(table, to_origins(images))) == [NAMES[2]]


def test_torn_table_keeps_its_whole_lines(table, images):
    """Wherever a killed run or a full disk has cut it, what is kept is true."""
    content, origins = table.read_bytes(), to_origins(images)
    whole = read_kept(table, origins)
    begin = len(",".join(COLUMNS))
    for end in range(begin, len(content)):
        table.write_bytes(content[:end])
        kept = read_kept(table, origins)
        assert kept == {name: whole[name] for name in NAMES[: len(kept)]}
    table.write_bytes(b"")
    assert read_kept(table, origins) == {}


def test_what_failed_is_tried_again_and_a_result_is_not(table, images):
    """No head and no pixel size are results; a file that could not be read may be there now."""
    reasons = (NO_HEAD, NO_PIXEL_SIZE, "the file cannot be read")
    with open_table(table, to_origins(images), {}) as out:
        for name, reason in zip(NAMES, reasons, strict=True):
            out.write(Row(image=name, error=reason))
    assert list(read_kept(table, to_origins(images))) == list(NAMES[:2])


def test_table_of_other_images_is_not_emptied(table, images):
    """To go on with it would drop their rows."""
    origins = to_origins({"other.png": images[NAMES[0]]})
    with pytest.raises(UsageError, match="rows of 3 images that are not named here"):
        read_kept(table, origins)


def test_other_table_is_not_gone_on_with(tmp_path):
    """As one of an earlier release, or of something else."""
    (tmp_path / "sizes.csv").write_text("filename,pixel_size_mm\na.png,0.1\n")
    with pytest.raises(UsageError, match="does not have the columns"):
        read_kept(tmp_path / "sizes.csv", {})


def test_stopped_run_goes_on(tmp_path, capsys):
    """Measured are the last, whose row was cut, and one without its picture; the others stay."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(EXAMPLE, scans / name)
    table, overlays = tmp_path / "out.csv", tmp_path / "overlays"
    command = ["analyze", str(scans), "--pixel-size-mm", "0.1277", "--csv", str(table)]
    command += ["--overlay-dir", str(overlays)]
    assert main(command) == 0
    first = table.read_text()
    table.write_text(first[:-20])
    (overlays / "a_overlay.png").unlink()
    capsys.readouterr()
    assert main([*command, "--resume"]) == 0
    printed, told = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.splitlines()] == [
        str(scans / name) for name in ("a.png", "c.png")
    ]
    assert "1 of 3 images are in the table already" in told
    assert "3 of 3 images are measured" in told
    assert sorted(table.read_text().splitlines()) == sorted(first.splitlines())
    assert len(list(overlays.iterdir())) == 3


def test_going_on_needs_a_table(capsys):
    """Which, is told."""
    assert main(["analyze", EXAMPLE, "--resume"]) == 2
    assert "name it by --csv" in capsys.readouterr().err
