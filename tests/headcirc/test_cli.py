import csv
import json

import pytest

from headcirc.batch import UsageError, find_images, load_pixel_sizes
from headcirc.cli import main
from headcirc.geometry import PixelSpacing
from tests.synthetic import to_file

EXAMPLE = "examples/phantom.png"


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


def test_folder_gives_csv_overlays_and_json(folder, capsys):
    """A folder is walked; rows, pictures and JSON lines come out, annotations stay out."""
    table, overlays = folder / "out.csv", folder / "overlays"
    options = ["--recursive", "--pixel-size-mm", "0.1277", "--csv", str(table), "--json"]
    assert main(["analyze", str(folder), *options, "--overlay-dir", str(overlays)]) == 0
    with table.open() as file:
        rows = list(csv.DictReader(file))
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


def test_without_pixel_size_nothing_is_invented(capsys):
    """No pixel size: no millimetres, a reason, and exit status 1."""
    assert main(["analyze", EXAMPLE]) == 1
    assert "no pixel size is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze", "absent.png"], "does not exist"),
        (["analyze", EXAMPLE, "--pixel-size-mm", "9"], "from 0.005 to 2 mm"),
        (["analyze", EXAMPLE, "--backend", "abacus"], "unknown"),
        (["analyze", EXAMPLE, "--pixel-sizes", "LICENSE"], "columns"),
        (["check", "--model", "tests"], "no manifest.json"),
    ],
)
def test_bad_usage_is_told_in_a_sentence(arguments, message, capsys):
    """Bad usage ends with status 2 and a remedy, without a stack trace."""
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_port_that_is_none_is_refused_before_the_model_is_loaded(capsys, port):
    """Told in a sentence, with status 2."""
    assert main(["serve", f"--port={port}"]) == 2
    assert "ports are 1 to 65535" in capsys.readouterr().err


def test_unknown_option_ends_with_status_2():
    """Argparse's own refusal has the documented status too."""
    with pytest.raises(SystemExit) as ended:
        main(["analyze", EXAMPLE, "--pixel-size-mm", "abc"])
    assert ended.value.code == 2


def test_hc18_s_own_table_is_accepted(tmp_path):
    """Its columns, with their unit in brackets, give square pixels."""
    table = tmp_path / "sizes.csv"
    table.write_text("filename,pixel size(mm),head circumference (mm)\n000_HC.png,0.069,44.3\n")
    assert load_pixel_sizes(table) == {"000_HC.png": PixelSpacing(0.069, 0.069)}


def test_table_with_unequal_pixels_is_accepted(tmp_path):
    """X and y columns keep their axes, as the phantoms' own table has them."""
    table = tmp_path / "sizes.csv"
    table.write_text("filename,pixel_size_x_mm,pixel_size_y_mm\na.png,0.1,0.2\n")
    assert load_pixel_sizes(table) == {"a.png": PixelSpacing(row_mm=0.2, column_mm=0.1)}


def test_bad_line_of_a_table_is_named(tmp_path):
    """A size that is no number stops the run before it begins and names its line."""
    table = tmp_path / "sizes.csv"
    table.write_text("filename,pixel_size_mm\na.png,0.1\nb.png,abc\n")
    with pytest.raises(UsageError, match="Line 3"):
        load_pixel_sizes(table)


def test_empty_folder_is_bad_usage(tmp_path):
    """A folder without images is told, not measured as a success."""
    with pytest.raises(UsageError, match="No image"):
        find_images([tmp_path], recursive=True)


def test_check_measures_a_drawn_head(capsys):
    """`headcirc check` says what runs where and measures a head."""
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    assert "backend   openvino int8" in printed
    assert "phantom   HC" in printed


def test_file_with_the_wrong_name_is_told_by_content(tmp_path, capsys):
    """A JPEG called .png is measured as what it is."""
    from PIL import Image

    path = tmp_path / "photo.png"
    path.write_bytes(to_file(Image.open(EXAMPLE), "JPEG", quality=95))
    assert main(["analyze", str(path), "--pixel-size-mm", "0.1277"]) == 0
