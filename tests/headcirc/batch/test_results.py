import csv
import os
import shutil
from dataclasses import replace

import pytest

from headcirc.answers import NO_HEAD, NO_PIXEL_SIZE, Row
from headcirc.batch.files import CRASHED, UsageError, to_name
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.results import (
    COLUMNS,
    DoneRule,
    find_done,
    open_table,
    read_fingerprint,
    read_rows,
)
from headcirc.batch.stated import StatedFacts
from headcirc.cli.commands import main
from headcirc.geometry import PixelSpacing

EXAMPLE = "examples/phantom.png"
SPACING = PixelSpacing(row_mm=0.1, column_mm=0.2)
MODEL = ModelIdentity("m", "1.0.0", "sha", "openvino", "int8")
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
    write(path, to_rule(images), *(replace(ROW, image=name) for name in NAMES))
    return path


def to_rule(images, spacing=SPACING, model=MODEL, **options):
    fingerprints = {
        name: read_fingerprint(path, StatedFacts(spacing), model) for name, path in images.items()
    }
    return DoneRule(fingerprints, **options)


def write(path, rule, *rows):
    with open_table(path, rule, ()) as out:
        for row in rows:
            out.write(row)


def test_rows_are_kept_as_they_were_measured(table, images):
    """Every cell comes back, whatever the name; the resumed table begins with them."""
    before = table.read_bytes()
    rule = to_rule(images)
    done = find_done(table, rule)
    assert done == {*NAMES}
    assert [*read_rows(table)] == [replace(ROW, image=name) for name in NAMES]
    with open_table(table, rule, done):
        pass
    assert table.read_bytes() == before
    assert [path.name for path in table.parent.glob("*.unfinished")] == []


def test_cells_have_the_digits_that_mean_something(table, images):
    """Hundredths of a millimetre, a pixel size as it was stated, and `true` as in JSON."""
    row = Row(
        image=NAMES[0],
        head_circumference_mm=175.50499999,
        cephalic_index=0.78123456,
        pixel_size_x_mm=0.0691358052,
        acceptable=True,
    )
    rule = to_rule(images)
    write(table, rule, row, Row(image=NAMES[1], head_circumference_mm=0.1 + 0.2))
    with table.open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert first["head_circumference_mm"] == "175.5"
    assert first["cephalic_index"] == "0.7812"
    assert first["pixel_size_x_mm"] == "0.069136"
    assert second["head_circumference_mm"] == "0.3"
    assert (first["acceptable"], second["acceptable"]) == ("true", "false")
    assert find_done(table, rule) == {*NAMES[:2]}


@pytest.mark.parametrize("reason", ["=1+1", "+1", "-1", "@SUM(1)"])
def test_cell_begins_no_formula(table, images, reason):
    """It may hold a server's text, and people trust the table that they open."""
    row = Row(image=NAMES[0], warnings=reason, error=reason)
    write(table, to_rule(images), row)
    with table.open(newline="", encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert line["error"] == line["warnings"] == f"'{reason}"


def test_image_whose_name_is_guarded_is_done(table, tmp_path):
    """The run that goes on knows it by the same name."""
    path = tmp_path / "a;=1+1.png"
    path.write_bytes(b"x")
    name = to_name(path)
    assert name.endswith("a;'=1+1.png")
    rule = to_rule({name: path})
    write(table, rule, replace(ROW, image=name))
    assert find_done(table, rule) == {name}


def test_crashed_file_is_tried_again_only_if_asked(table, images):
    """It would crash the process again."""
    reason = f"{CRASHED}: the process that measures was ended by SIGSEGV"
    rows = Row(image=NAMES[0], error=reason), Row(image=NAMES[1], error=NO_HEAD)
    write(table, to_rule(images), *rows)
    assert find_done(table, to_rule(images)) == {*NAMES[:2]}
    assert find_done(table, to_rule(images, retry_crashed=True)) == {NAMES[1]}


def test_row_is_not_kept_if_what_it_was_measured_from_has_changed(table, images):
    """Another pixel size, model or file, even if the new file has the same size."""
    other_model = replace(MODEL, precision="fp32")
    assert not find_done(table, to_rule(images, PixelSpacing(row_mm=0.2, column_mm=0.1)))
    assert not find_done(table, to_rule(images, spacing=None))
    assert not find_done(table, to_rule(images, model=other_model))
    images[NAMES[1]].write_bytes(b"other one")
    os.utime(images[NAMES[1]], ns=(1, 1))
    images[NAMES[2]].unlink()
    assert find_done(table, to_rule(images)) == {NAMES[0]}


def test_row_of_a_file_that_could_not_be_looked_at_is_not_kept(table, images):
    """Nobody knows from which file it was measured, so that the next run cannot compare."""
    rule = to_rule({name: path.with_name("gone") for name, path in images.items()})
    write(table, rule, replace(ROW, image=NAMES[0]))
    assert not find_done(table, rule)


def test_files_that_have_swapped_names_are_measured_again(table, images):
    """Even two of the same size and time, as an archive of bitmaps holds them."""
    first, second = images[NAMES[0]], images[NAMES[1]]
    for path in (first, second):
        os.utime(path, ns=(1, 1))
    write(table, to_rule(images), *(replace(ROW, image=name) for name in NAMES[:2]))
    first.rename(first.with_name("between"))
    second.rename(first)
    first.with_name("between").rename(second)
    assert not find_done(table, to_rule(images))


def test_row_that_was_edited_is_not_kept(table, images):
    """Neither is one whose number a spreadsheet has rounded, or that has another image's name."""
    table.write_bytes(table.read_bytes().replace(b"175.5", b"175.50", 1))
    assert len(find_done(table, to_rule(images))) == 2
    assert len([*read_rows(table)]) == 2
    with table.open(newline="") as file:
        rows = [*csv.reader(file)]
    rows[1][0], rows[2][0] = rows[2][0], rows[1][0]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert find_done(table, to_rule(images)) == {NAMES[2]}


def test_torn_table_keeps_its_complete_rows(table, images):
    """Wherever a killed run or a full disk has cut it, what is kept is true."""
    content, rule = table.read_bytes(), to_rule(images)
    rows = [*read_rows(table)]
    begin = len(",".join(COLUMNS))
    for end in range(begin, len(content)):
        table.write_bytes(content[:end])
        done = find_done(table, rule)
        assert done == {*NAMES[: len(done)]}
        assert [*read_rows(table)] == rows[: len(done)]
    table.write_bytes(b"")
    assert not find_done(table, rule)


def test_image_with_two_rows_keeps_one(table, images):
    """Two runs that wrote to one table leave no image twice in the next."""
    lines = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join([*lines, *lines[1:]]))
    rule = to_rule(images)
    with open_table(table, rule, find_done(table, rule)):
        pass
    assert [row.image for row in read_rows(table)] == [*NAMES]


def test_what_failed_is_tried_again_and_a_result_is_not(table, images):
    """No head and no pixel size are results; a file that could not be read may be there now."""
    reasons = (NO_HEAD, NO_PIXEL_SIZE, "the file cannot be read")
    rows = [Row(image=name, error=each) for name, each in zip(NAMES, reasons, strict=True)]
    write(table, to_rule(images), *rows)
    assert find_done(table, to_rule(images)) == {*NAMES[:2]}


def test_table_of_other_images_is_not_emptied(table, images):
    """Resuming it would drop their rows; a batch keeps them beside its own."""
    other = {"other.png": images[NAMES[0]]}
    with pytest.raises(UsageError, match="rows of 3 images that are not named here"):
        find_done(table, to_rule(other))
    rule = to_rule(other, keep_others=True)
    with open_table(table, rule, find_done(table, rule)) as out:
        out.write(replace(ROW, image="other.png"))
    assert [row.image for row in read_rows(table)] == [*NAMES, "other.png"]


@pytest.mark.parametrize("keep_others", [False, True])
def test_failure_of_an_image_that_is_not_named_is_dropped(table, images, keep_others):
    """Such as of a folder that could not be read: now its images are there in its place."""
    write(table, to_rule(images | {"below": table}), Row("below", error="cannot be read"))
    rule = to_rule(images, keep_others=keep_others)
    with open_table(table, rule, find_done(table, rule)) as out:
        out.write(replace(ROW, image=NAMES[0]))
    assert [row.image for row in read_rows(table)] == [NAMES[0]]


def test_other_table_is_not_resumed(tmp_path):
    """One of an earlier release, or of something else."""
    (tmp_path / "sizes.csv").write_text("filename,pixel_size_mm\na.png,0.1\n")
    with pytest.raises(UsageError, match="does not have the columns"):
        find_done(tmp_path / "sizes.csv", DoneRule({}))


def test_stopped_run_is_resumed(tmp_path, capsys):
    """The image of the cut row and the one without overlay are measured again; the others stay."""
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
    printed, messages = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.splitlines()] == [
        str(scans / name) for name in ("a.png", "c.png")
    ]
    assert "1 of 3 images are in the table already" in messages
    assert "3 of 3 images are measured" in messages
    assert sorted(table.read_text().splitlines()) == sorted(first.splitlines())
    assert len(list(overlays.iterdir())) == 3


def test_resume_needs_a_table(capsys):
    """The message names the option."""
    assert main(["analyze", EXAMPLE, "--resume"]) == 2
    assert "name it by --csv" in capsys.readouterr().err
