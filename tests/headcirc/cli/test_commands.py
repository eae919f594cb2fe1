import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headcirc.batch.files import UsageError, find_images, measure_files, to_drawing_paths, to_name
from headcirc.cli.commands import main, to_parser
from tests.support.depth_scale import draw_scale
from tests.support.synthetic import to_file

EXAMPLE = "examples/phantom.png"


def read_table(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def folder(tmp_path):
    """Two measurable pictures, one in a folder below, and a text file that calls itself PNG."""
    with open(EXAMPLE, "rb") as file:
        content = file.read()
    (tmp_path / "below").mkdir()
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "below" / "b.png").write_bytes(content)
    (tmp_path / "a_Annotation.png").write_bytes(content)
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_one_image_is_measured(capsys):
    """A file and its pixel size give one line with HC, BPD and OFD, and exit status 0."""
    assert main(["analyze", EXAMPLE, "--pixel-size-mm", "0.1277"]) == 0
    assert "HC 18" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("analyze", "1 some image was not"),
        ("check", "1 it measures the drawn head wrongly by over 3%"),
        ("serve", "0 done, 2 bad usage or failed"),
        ("gateway", "0 done, 2 bad usage or failed"),
        ("recalibrate", "0 done, 2 bad usage or failed"),
    ],
)
def test_help_has_the_exit_statuses_of_the_command(command, expected, capsys):
    """Those about images are not printed by a command that measures none."""
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert text.count("Exit status") == 1
    assert expected in text


def test_folder_gives_csv_overlays_and_json(folder, capsys):
    """A folder is walked; rows, pictures and JSON lines come out, annotations stay out."""
    table, overlays = folder / "out.csv", folder / "overlays"
    options = ["--recursive", "--pixel-size-mm", "0.1277", "--csv", str(table), "--json"]
    assert main(["analyze", str(folder), *options, "--overlay-dir", str(overlays)]) == 0
    rows = read_table(table)
    assert [row["image"].endswith(name) for row, name in zip(rows, ["a.png", "b.png"], strict=True)]
    assert all(175 < float(row["head_circumference_mm"]) < 193 for row in rows)
    assert len(list(overlays.iterdir())) == 2
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed[0]["acceptable"] is True


def test_one_bad_image_does_not_stop_the_others(folder, capsys):
    """The bad file gives a reason, the good one a number, and the exit status is 1."""
    (folder / "broken.png").write_bytes(b"no image at all")
    assert main(["analyze", str(folder), "--pixel-size-mm", "0.1277"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("not measured" in line and "PNG, JPEG" in line for line in lines)
    assert any("HC 18" in line for line in lines)


def test_folder_that_cannot_be_read_is_named(folder, capsys, monkeypatch):
    """It has a row with the reason, the others are measured, and the exit status is 1."""

    def scan(path, scan=os.scandir):
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert main(["analyze", str(folder), "--recursive", "--pixel-size-mm", "0.1277"]) == 1
    measured, locked = capsys.readouterr().out.splitlines()
    assert "HC 18" in measured
    assert locked.endswith("below: not measured: the folder cannot be read")


def test_without_pixel_size_nothing_is_invented(capsys):
    """No pixel size: no millimetres, a reason, and exit status 1."""
    assert main(["analyze", EXAMPLE]) == 1
    printed = capsys.readouterr()
    assert "no pixel size is known" in printed.out
    assert "1 without a pixel size: --pixel-size-mm" in printed.err


def test_pixel_size_from_the_depth_scale(tmp_path, capsys):
    """The row says that the scale gave it and how surely; without a scale there is no number."""
    head = np.asarray(Image.open(EXAMPLE).convert("L"))
    (tmp_path / "a.png").write_bytes(to_file(draw_scale(40.0, pixels=head)))
    (tmp_path / "b.png").write_bytes(to_file(head))
    table = tmp_path / "out.csv"
    options = ["--pixel-size-from-scale", "5", "--csv", str(table)]
    assert main(["analyze", str(tmp_path), *options]) == 1
    scaled, plain = read_table(table)
    assert float(scaled["pixel_size_x_mm"]) == pytest.approx(0.125, rel=2e-3)
    assert scaled["pixel_size_source"] == "scale-bar"
    assert float(scaled["pixel_size_confidence"]) > 0.95
    assert "No depth scale was found" in plain["error"]
    assert plain["pixel_size_source"] == plain["head_circumference_mm"] == ""
    assert "by the depth scale (confidence 1.000)" in capsys.readouterr().out
    assert main(["analyze", str(tmp_path), "--pixel-size-from-scale", "0.1"]) == 2


def test_several_images_are_summed_up(folder, capsys):
    """Standard error says how many images were measured."""
    (folder / "broken.png").write_bytes(b"no image at all")
    main(["analyze", str(folder), "--pixel-size-mm", "0.1277"])
    printed = capsys.readouterr()
    assert "1 of 2 images are measured, 0 of them NOT RELIABLE." in printed.err
    assert "images are" not in printed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze", "absent.png"], "does not exist"),
        (["analyze", EXAMPLE, "--pixel-size-mm", "9"], "from 0.005 to 2 mm"),
        (["analyze", EXAMPLE, "--backend", "abacus"], "unknown"),
        (["analyze", EXAMPLE, "--pixel-sizes", "LICENSE"], "columns"),
        (["analyze", EXAMPLE, "--csv", "absent/out.csv"], "in a folder that exists"),
        (["analyze", EXAMPLE, "--csv", "examples"], "Is a directory"),
        (["analyze", EXAMPLE, "--csv", "/dev/full"], "No space left"),
        (["analyze", EXAMPLE, "--overlay-dir", "LICENSE"], "name a folder"),
        (["analyze", EXAMPLE, "--gestational-ages", "LICENSE"], "'gestational_age_days'"),
        (["analyze", EXAMPLE, "--earlier", "105:110"], "add --growth-chart-dir"),
        (["analyze", EXAMPLE, "--overlay-dir", "/proc"], "name a folder"),
        (["analyze", "a" * 300], "name too long"),
        (["check", "--model", "tests"], "no manifest.json"),
    ],
)
def test_bad_usage_is_reported_in_a_sentence(arguments, message, capsys):
    """Bad usage ends with status 2 and a remedy, before any row and without a stack trace."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_port_that_is_none_is_refused_before_the_model_is_loaded(capsys, port):
    """Told in a sentence, with status 2."""
    assert main(["serve", f"--port={port}"]) == 2
    assert "ports are 1 to 65535" in capsys.readouterr().err


def test_port_in_use_is_refused_before_the_model_is_loaded(capsys):
    """It is named with the remedy, with status 2, in place of a log that ends in an error."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", f"--port={port}"]) == 2
    assert f"port {port} (Address already in use); name another --port" in capsys.readouterr().err


def test_unknown_option_ends_with_status_2(capsys):
    """Argparse's own refusal has the documented status too, and says what a number looks like."""
    with pytest.raises(SystemExit) as ended:
        main(["analyze", EXAMPLE, "--pixel-size-mm", "0,12,3"])
    assert ended.value.code == 2
    assert "millimetres, such as 0.12" in capsys.readouterr().err


def test_decimal_comma_is_accepted(capsys):
    """As on the page, where most of Europe writes one."""
    assert main(["analyze", EXAMPLE, "--pixel-size-mm", "0,1277"]) == 0
    assert "HC 18" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["analyze", "batch", "serve", "check"])
def test_every_option_has_a_help(command):
    """No option is listed by its name alone."""
    (commands,) = [each for each in to_parser()._actions if each.dest == "command"]
    parser = commands.choices[command]
    assert parser.description
    assert [each.dest for each in parser._actions if len(each.help or "") < len("a word or")] == []


def test_empty_folder_is_bad_usage(tmp_path):
    """A folder without images is an error."""
    with pytest.raises(UsageError, match="No image"):
        find_images([tmp_path], recursive=True)


def test_image_named_twice_is_measured_once(tmp_path):
    """Two rows of one head would count it twice."""
    image = tmp_path / "a.png"
    image.touch()
    assert find_images([image, tmp_path, image], recursive=False) == [image]


def test_images_of_a_folder_are_found_by_their_suffix(tmp_path):
    """Files that macOS writes beside images are left out; the message lists the suffixes."""
    for name in ("._a.png", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"a folder of \.bmp, .* \.webp"):
        find_images([tmp_path], recursive=True)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    """A device or a pipe that is called an image has a row with the reason, and ends no run."""
    device, pipe = tmp_path / "a.png", tmp_path / "b.png"
    device.symlink_to("/dev/null")
    os.mkfifo(pipe)
    images = find_images([tmp_path], recursive=False)
    assert images == [device, pipe]
    rows = measure_files(lambda *_: pytest.fail("read"), images, dict.fromkeys(images))
    for row in rows:
        assert row.error == "a pipe, socket or device cannot be read; name a file"


def test_image_is_not_replaced_by_the_table(folder, capsys):
    """As by `--csv *.png` without the table's name: refused before anything is written."""
    image = folder / "a.png"
    content = image.read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["analyze", "--csv", str(image), EXAMPLE])
    assert ended.value.code == 2
    assert "would be replaced; name a table" in capsys.readouterr().err
    assert image.read_bytes() == content


def test_name_that_the_terminal_cannot_write_ends_no_run(tmp_path):
    """Its letters are escaped, and the images after it have their rows."""
    for name in ("\u00e4.png", "\u00f6.png"):
        (tmp_path / name).touch()
    command = [sys.executable, "-m", "headcirc.cli.commands", "analyze", str(tmp_path)]
    given = os.environ | {"PYTHONIOENCODING": "ascii"}  # noqa: TID251 - Python's, not ours
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=given)
    assert ended.returncode == 1
    first, second = ended.stdout.splitlines()
    assert "/\\xe4.png: not measured: The file is empty" in first and "/\\xf6.png" in second


def test_file_with_the_wrong_suffix_is_recognised_by_content(tmp_path, capsys):
    """A JPEG called .png is measured as what it is."""
    from PIL import Image

    path = tmp_path / "photo.png"
    path.write_bytes(to_file(Image.open(EXAMPLE), "JPEG", quality=95))
    assert main(["analyze", str(path), "--pixel-size-mm", "0.1277"]) == 0


def test_overlay_that_cannot_be_written_costs_no_row(tmp_path, capsys):
    """Its image has its number and the reason, the next one everything; exit status 1."""
    for name in ("a.png", "b.png"):
        shutil.copy(EXAMPLE, tmp_path / name)
    overlays = tmp_path / "overlays"
    (overlays / "a_overlay.png").mkdir(parents=True)
    options = ["--pixel-size-mm", "0.1277", "--overlay-dir", str(overlays)]
    assert main(["analyze", str(tmp_path), *options]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert "HC 18" in first and "the overlay is missing: Is a directory" in first
    assert "HC 18" in second and "missing" not in second
    assert (overlays / "b_overlay.png").is_file()


def test_line_of_a_picture_without_a_head_says_that_it_shows_another_plane(tmp_path, capsys):
    """A white disc on black is no plane of the head."""
    rows, columns = np.ogrid[:540, :800]
    disc = np.hypot(rows - 270, columns - 400) < 60
    path = tmp_path / "disc.png"
    path.write_bytes(to_file(np.where(disc, 255, 0).astype(np.uint8)))
    assert main(["analyze", str(path), "--pixel-size-mm", "0.1"]) == 1
    said = "not measured: no head was found; it does not look like a plane of the fetal head"
    assert said in capsys.readouterr().out


def test_overlay_that_cannot_be_written_hides_no_other_reason(tmp_path, capsys):
    """Without a pixel size, too, the row says that there is none."""
    (tmp_path / "phantom_overlay.png").mkdir()
    assert main(["analyze", EXAMPLE, "--overlay-dir", str(tmp_path)]) == 1
    reasons = "no pixel size is known; the overlay is missing: Is a directory"
    assert f"not measured: {reasons}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("named", "images", "expected"),
    [
        (["scans"], ["scans/1.png"], ["1_overlay.png"]),
        (["scans"], ["scans/1.png", "scans/p/1.png"], ["1_overlay.png", "p/1_overlay.png"]),
        (["p", "q/r"], ["p/1.png", "q/r/1.png"], ["p/1_overlay.png", "q/r/1_overlay.png"]),
        (["p/1.png", "q/1.png"], ["p/1.png", "q/1.png"], ["p/1_overlay.png", "q/1_overlay.png"]),
        (["../x/1.png"], ["../x/1.png"], ["1_overlay.png"]),
        (["p"], ["p/1.png", "p/1.bmp"], ["1.png_overlay.png", "1.bmp_overlay.png"]),
    ],
)
def test_no_overlay_replaces_another(tmp_path, monkeypatch, named, images, expected):
    """Images of one name in different folders keep their folders, in one folder their suffix."""
    monkeypatch.chdir(tmp_path)
    for folder in ("scans", "p", "q/r"):
        Path(folder).mkdir(parents=True)
    paths = [Path(each) for each in images]
    folders, ending = [Path(each) for each in named], "_overlay.png"
    found = to_drawing_paths(folders, paths, Path("out"), ending=ending)
    assert [found[path] for path in paths] == [Path("out") / each for each in expected]


def test_overlays_have_a_caption_unless_bare_ones_are_asked_for(tmp_path):
    """Below the picture: its rows are the bare overlay's, and the width stays."""
    options = ["analyze", EXAMPLE, "--pixel-size-mm", "0.1277", "--overlay-dir"]
    assert main([*options, str(tmp_path / "captioned")]) == 0
    assert main([*options, str(tmp_path / "bare"), "--bare-overlays"]) == 0
    captioned, bare = (
        np.asarray(Image.open(tmp_path / name / "phantom_overlay.png"))
        for name in ("captioned", "bare")
    )
    assert bare.shape == (540, 800, 3)
    assert captioned.shape[1:] == bare.shape[1:]
    assert len(captioned) > 560
    assert (captioned[:540] == bare).all()


AGED = ["analyze", EXAMPLE, "--pixel-size-mm", "0.1277", "--gestational-age-days", "143"]


def test_stated_age_gives_a_centile_in_line_table_and_chart(tmp_path, capsys):
    """The chart is an SVG beside the name of the image, with the earlier points."""
    table, charts = tmp_path / "out.csv", tmp_path / "charts"
    options = ["--csv", str(table), "--growth-chart-dir", str(charts), "--earlier", "105:110.5"]
    assert main([*AGED, *options]) == 0
    assert "GA 20w" in (line := capsys.readouterr().out)
    assert "at 20w3d centile " in line
    (row,) = read_table(table)
    assert row["gestational_age_days"] == "143"
    assert 0 < float(row["head_circumference_z_score"]) < 1.5
    assert 50 < float(row["head_circumference_centile"]) < 95
    assert 140 < float(row["gestational_age_hadlock_1984_days"]) < 150
    document = (charts / "phantom_growth.svg").read_text()
    assert document.count("<circle") == 2


def test_resumed_run_draws_missing_charts_and_notices_another_age(tmp_path, capsys):
    """A row is kept for the same stated age, and with its chart there."""
    table, charts = tmp_path / "out.csv", tmp_path / "charts"
    options = ["--csv", str(table), "--resume", "--growth-chart-dir", str(charts)]
    assert main([*AGED, *options]) == 0
    assert main([*AGED, *options]) == 0
    assert "1 of 1 images are in the table already" in capsys.readouterr().err
    (charts / "phantom_growth.svg").unlink()
    assert main([*AGED, *options]) == 0
    assert (charts / "phantom_growth.svg").exists()
    assert main([*AGED[:-1], "144", *options]) == 0
    assert "0 of 1 images are in the table already" in capsys.readouterr().err
    (row,) = read_table(table)
    assert row["gestational_age_days"] == "144"


def test_age_outside_the_standard_is_no_failure(tmp_path, capsys):
    """The head is measured, the line says that there is no centile, and the chart says it too."""
    assert main([*AGED[:-1], "90", "--growth-chart-dir", str(tmp_path)]) == 0
    assert "at 12w6d no centile" in capsys.readouterr().out
    assert "outside the growth standard" in (tmp_path / "phantom_growth.svg").read_text()


@pytest.mark.parametrize(
    "option",
    [["--gestational-age-days", "20w3d"], ["--gestational-age-days", "0"], ["--earlier", "x"]],
)
def test_age_that_is_no_number_of_days_is_bad_usage(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["analyze", EXAMPLE, *option])
    assert ended.value.code == 2
    assert "days" in capsys.readouterr().err


def test_chart_without_an_age_is_reported_as_missing(tmp_path, capsys):
    """The image is measured; its line says what the chart lacks."""
    charts = tmp_path / "charts"
    command = ["analyze", EXAMPLE, "--pixel-size-mm", "0.1277", "--growth-chart-dir", str(charts)]
    assert main(command) == 1
    assert "the growth chart is missing: No gestational age" in capsys.readouterr().out
    assert not any(charts.iterdir())


def test_table_states_the_age_of_each_image(tmp_path, capsys):
    """One table can hold pixel sizes and ages; an image without an age has no centile."""
    for name in ("a.png", "b.png"):
        shutil.copy(EXAMPLE, tmp_path / name)
    sizes = tmp_path / "sizes.csv"
    lines = ["filename,pixel_size_mm,gestational_age_days", "a.png,0.1277,143", "b.png,0.1277,"]
    sizes.write_text("\n".join(lines))
    tables = ["--pixel-sizes", str(sizes), "--gestational-ages", str(sizes)]
    assert main(["analyze", str(tmp_path), *tables, "--json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["gestational_age_days"], first["gestational_age_source"]) == (143, "request")
    assert second["gestational_age_days"] is second["head_circumference_z_score"] is None


def test_earlier_point_that_is_later_is_bad_usage(tmp_path, capsys):
    charts = ["--growth-chart-dir", str(tmp_path)]
    assert main([*AGED, *charts, "--earlier", "150:200"]) == 2
    assert "later age" in capsys.readouterr().err


def test_overlays_are_not_measured_by_the_next_run(tmp_path):
    """They lie where the images are, if one wants, and are no images."""
    shutil.copy(EXAMPLE, tmp_path / "a.png")
    assert main(["analyze", str(tmp_path), "--overlay-dir", str(tmp_path)]) == 1  # no pixel size
    assert (tmp_path / "a_overlay.png").exists()
    assert find_images([tmp_path], recursive=True) == [tmp_path / "a.png"]


def test_name_that_is_no_text_costs_no_row(tmp_path):
    """Bytes that are no UTF-8, as old archives leave them, are escaped in the table."""
    shutil.copy(EXAMPLE, os.fsencode(tmp_path) + b"/\xe9.png")
    table = tmp_path / "out.csv"
    assert main(["analyze", str(tmp_path), "--pixel-size-mm", "0.1", "--csv", str(table)]) == 0
    (row,) = read_table(table)
    assert row["image"] == f"{tmp_path}/\\xe9.png"


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@SUM(1).png", "\t1.png"])
def test_name_begins_no_formula_in_a_spreadsheet(name):
    """Its row still names the same file, by a path that begins with the folder."""
    assert to_name(Path(name)) == f"./{name}"
    assert Path(to_name(Path(name))) == Path(name)
    assert to_name(Path("scans") / name) == f"scans/{name}"


@pytest.mark.parametrize("name", ["=1+1.png", "\uff1d1.png"])
def test_name_with_a_control_character_is_escaped(name):
    """In every row; a tab or a line end is quoted by the table and stays."""
    assert to_name(Path(f"\x1b[2J{name}")) == f"\\x1b[2J{name}"
    assert to_name(Path("a\t\nb.png")) == "a\t\nb.png"


def test_name_writes_nothing_to_the_terminal(tmp_path, capsys):
    """What is not visible in a name is escaped, among the rows and at the end."""
    for name in ("a\x1b]0;owned\x07.png", "b\u202egnp.png"):
        (tmp_path / name).touch()
    assert main(["analyze", str(tmp_path)]) == 1
    printed = "".join(capsys.readouterr())
    assert printed.count("a\\x1b]0;owned\\x07.png: ") == 2
    assert printed.count("b\\u202egnp.png: ") == 2
    assert not {"\x1b", "\x07", "\u202e"} & {*printed}


def test_failed_files_are_listed_at_the_end(folder, capsys):
    """Each with its reason, at most twenty of them; one without a pixel size is counted alone."""
    for number in range(21):
        (folder / f"broken{number:02}.png").touch()
    assert main(["analyze", str(folder)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "1 without a pixel size" in lines[1]
    assert lines[2] == "21 failed:"
    assert lines[3].startswith(f"  {folder}/broken00.png: The file is empty")
    assert lines[-2] == "  and 1 more" and len(lines) == 3 + 20 + 2


def test_bare_command_prints_help_with_an_example(capsys):
    """Who types the name alone learns what to type; nothing was measured, so it is no success."""
    assert main([]) == 2
    printed = capsys.readouterr().out
    assert "headcirc analyze scan.png --pixel-size-mm 0.12" in printed
    assert "{analyze,batch," in printed


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_table_goes_to_standard_output(folder, name):
    """Only the table, so that another program can read it; messages go to standard error."""
    command = [sys.executable, "-m", "headcirc.cli.commands", "analyze", str(folder), "--recursive"]
    command += ["--pixel-size-mm", "0.1277", "--csv", name]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=100)
    assert ended.returncode == 0
    rows = [*csv.DictReader(ended.stdout.decode().splitlines())]
    assert [row["image"][-5:] for row in rows] == ["a.png", "b.png"]
    assert all(row["acceptable"] in ("true", "false") for row in rows)
    assert b"2 of 2 images are measured" in ended.stderr
    assert not Path("-").exists()


@pytest.mark.parametrize(
    ("options", "message"), [(["--json"], "leave out one"), (["--resume"], "--csv, a file")]
)
def test_table_on_standard_output_cannot_be_resumed(options, message, capsys):
    """Nor can it hold two kinds of rows."""
    assert main(["analyze", EXAMPLE, "--csv", "-", *options]) == 2
    assert message in capsys.readouterr().err


def test_progress_stays_out_of_a_redirected_standard_error(folder, capsys):
    """A log of a nightly run has sentences, and no bar."""
    main(["analyze", str(folder), "--recursive", "--pixel-size-mm", "0.1277"])
    messages = capsys.readouterr().err
    assert "measuring" not in messages and "%|" not in messages and "\r" not in messages
    summary, usage = messages.splitlines()
    assert summary == "2 of 2 images are measured, 0 of them NOT RELIABLE."
    assert usage.startswith("2 images in ")


def test_table_does_not_replace_an_image(folder, capsys):
    """Not by a link or another name of the same file, either."""
    image = folder / "a.png"
    content = image.read_bytes()
    (folder / "out.csv").symlink_to(image)
    assert main(["analyze", str(image), "--csv", str(folder / "out.csv")]) == 2
    assert "would be replaced by the table" in capsys.readouterr().err
    assert image.read_bytes() == content


def test_overlay_does_not_replace_an_image(tmp_path, capsys):
    """An image with the name of an overlay is refused before anything is measured."""
    for name in ("a.png", "a_overlay.png"):
        shutil.copy(EXAMPLE, tmp_path / name)
    content = (tmp_path / "a_overlay.png").read_bytes()
    images = [str(tmp_path / name) for name in ("a.png", "a_overlay.png")]
    assert main(["analyze", *images, "--overlay-dir", str(tmp_path)]) == 2
    assert "would be replaced by a drawing" in capsys.readouterr().err
    assert (tmp_path / "a_overlay.png").read_bytes() == content


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_overlay_is_not_written_through_a_link(tmp_path, link):
    """The link goes, and what it led to stays."""
    shutil.copy(EXAMPLE, tmp_path / "a.png")
    (tmp_path / "precious").write_text("precious")
    overlays = tmp_path / "overlays"
    overlays.mkdir()
    link(overlays / "a_overlay.png", tmp_path / "precious")
    command = ["analyze", str(tmp_path / "a.png"), "--pixel-size-mm", "0.1277"]
    assert main([*command, "--overlay-dir", str(overlays)]) == 0
    assert (tmp_path / "precious").read_text() == "precious"
    assert (overlays / "a_overlay.png").read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in overlays.iterdir()] == ["a_overlay.png"]


def test_overlay_leaves_its_folder_by_no_link(folder, tmp_path_factory, capsys):
    """A sub-folder that is a link out of the folder is refused before anything is measured."""
    overlays, elsewhere = tmp_path_factory.mktemp("overlays"), tmp_path_factory.mktemp("elsewhere")
    (overlays / "below").symlink_to(elsewhere)
    command = ["analyze", str(folder), "--recursive", "--overlay-dir", str(overlays)]
    assert main(command) == 2
    assert "leads out of the folder of --overlay-dir" in capsys.readouterr().err
    assert not [*elsewhere.iterdir()]


@pytest.mark.parametrize(
    "system_folder",
    [
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", ".@__thumb", ".snapshot", ".zfs"),
        *(".AppleDouble", "__MACOSX", ".Trashes", ".Spotlight-V100", ".fseventsd", ".Trash-1000"),
        *("$RECYCLE.BIN", "System Volume Information", "lost+found", ".thumbnails", "~snapshot"),
        *("@EADIR", "$Recycle.Bin"),
    ],
)
def test_folders_of_a_system_are_not_looked_into(tmp_path, system_folder):
    """Thumbnails, and what was deleted, would be measured with the image's pixel size."""
    inside = tmp_path / "scans" / system_folder / "1.png"
    inside.mkdir(parents=True)
    for path in (tmp_path / "scans" / "1.png", inside / "SYNOPHOTO_THUMB_M.jpg"):
        path.touch()
    assert find_images([tmp_path], recursive=True) == [tmp_path / "scans" / "1.png"]
    assert find_images([inside], recursive=True) == [inside / "SYNOPHOTO_THUMB_M.jpg"]


def test_hidden_files_are_no_images(tmp_path):
    """Nor what Windows keeps beside them, nor a folder that is walked through by its name."""
    for name in ("._1.png", ".1.png", "Thumbs.db", "ehthumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / name).touch()
    (tmp_path / "case.png").mkdir()
    (tmp_path / "case.png" / "1.png").touch()
    assert find_images([tmp_path], recursive=True) == [tmp_path / "case.png" / "1.png"]


STOPPABLE = """
import signal, sys
from headcirc.cli.commands import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
sys.exit(main())
"""


@pytest.fixture
def long_run(tmp_path):
    """Start a run over many images and wait for its first row."""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(400):
        (many / f"{number:03}.png").symlink_to(Path(EXAMPLE).absolute())
    command = [sys.executable, "-c", STOPPABLE, "analyze", str(many), "--pixel-size-mm", "0.1"]
    command += ["--csv", str(tmp_path / "out.csv")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert "HC" in process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_rows_of_a_stopped_run_are_kept(long_run, tmp_path):
    """Each row is in the table before it is printed; Ctrl-C ends in a sentence, not a trace."""
    assert len(read_table(tmp_path / "out.csv")) >= 1
    long_run.send_signal(signal.SIGINT)
    printed, messages = long_run.communicate(timeout=60)
    assert long_run.returncode == 130
    assert "What was written stays" in messages and "Traceback" not in messages
    rows = read_table(tmp_path / "out.csv")
    assert 1 + len(printed.splitlines()) <= len(rows) < 400
    assert all(row["head_circumference_mm"] for row in rows)


def test_reader_that_has_seen_enough_ends_the_run(long_run):
    """As `headcirc analyze ... | head -1` does: status 1, and the table can be resumed."""
    long_run.stdout.close()
    messages = long_run.stderr.read()
    assert long_run.wait(timeout=60) == 1
    assert "Traceback" not in messages and "BrokenPipe" not in messages
    assert "What was written stays; --resume goes on from there." in messages
