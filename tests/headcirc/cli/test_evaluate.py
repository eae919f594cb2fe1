"""`headcirc evaluate` and `headcirc recalibrate`, through the command line."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

import headcirc
from headcirc.agreement.rows import read_rows, write_rows
from headcirc.cli.commands import main
from headcirc.errors import SiteFileError
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.support.compared import draw_compared

PHANTOM = "examples/phantom.png"
DRAWN_MM = 184.0
SHA256 = load_manifest(SHIPPED_MODEL_DIR).graphs["int8"].sha256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three copies of a phantom, and a file that is no image."""
    folder = tmp_path_factory.mktemp("scans")
    with open(PHANTOM, "rb") as file:
        content = file.read()
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(content)
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def write_table(path, *rows, header="file,hc_mm,pixel_size_mm"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def test_phantoms_agree_with_what_was_drawn(folder, tmp_path, capsys):
    """Figures on the screen, rows, summary and plot; images without a row are counted."""
    table = write_table(
        tmp_path / "t.csv", "a.png,184.0,0.1277", "b.png,182.0,0.1277", "broken.png,180,0.1277"
    )
    out = tmp_path / "out"
    assert main(["evaluate", str(folder), table, "--out", str(out)]) == 1  # one is no image
    printed = capsys.readouterr()
    assert "answered 2 of 3 (66.7 %)" in printed.out
    assert "Fewer than 30 acceptable images" in printed.out
    assert "1 images of the folder are not in the table." in printed.err
    rows = read_rows(out / "rows.csv")
    assert [row.error_mm is not None for row in rows] == [True, True, False]
    assert abs(rows[0].error_mm) < 0.03 * DRAWN_MM
    assert rows[1].error_mm - rows[0].error_mm == pytest.approx(2, abs=1e-3)
    assert {row.model_sha256 for row in rows} == {SHA256}
    assert rows[0].level == 0.9
    summary = json.loads((out / "summary.json").read_text())
    assert summary["of_answered"]["errors"]["bias_mm"]["n"] == 2
    assert summary["model"]["sha256"] == SHA256
    assert str(tmp_path) not in json.dumps(summary)
    ElementTree.parse(out / "bland_altman.svg")


SIZED = "file,hc_mm,pixel_size_mm"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,hc_mm", "a.png,184"], "No pixel size is known"),
        ([SIZED, "z.png,184,0.1"], "not in the folder, such as 'z.png'"),
        ([SIZED, "a.png,18.4,0.1"], "looks like centimetres"),
        ([SIZED, "a.png,184,0.1", "a.png,185,0.1"], "second row"),
    ],
)
def test_wrong_table_is_refused_before_measuring(folder, tmp_path, capsys, lines, message):
    header, *rows = lines
    table = write_table(tmp_path / "t.csv", *rows, header=header)
    out = tmp_path / "out"
    assert main(["evaluate", str(folder), table, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_two_pixel_sizes_are_refused(folder, tmp_path, capsys):
    table = write_table(tmp_path / "t.csv", "a.png,184,0.1")
    assert main(["evaluate", str(folder), table, "--pixel-size-mm", "0.1"]) == 2
    assert "leave out --pixel-size-mm" in capsys.readouterr().err


def test_missing_folder_is_refused(tmp_path, capsys):
    table = write_table(tmp_path / "t.csv", "a.png,184,0.1")
    assert main(["evaluate", str(tmp_path / "none"), table]) == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def site_file(tmp_path_factory):
    """Return the site file of 50 simulated cases of the shipped model, 4.4 mm apart."""
    folder = tmp_path_factory.mktemp("site")
    rows = draw_compared(50, np.random.default_rng(0), offset_mm=4.4, model_sha256=SHA256)
    write_rows(folder / "rows.csv", rows)
    path = folder / "site.json"
    assert main(["recalibrate", str(folder / "rows.csv"), "--out", str(path)]) == 0
    return path


def test_recalibration_says_what_it_chose(site_file, tmp_path, capsys):
    """Values, number of cases, guarantee, and the images to look at."""
    rows = site_file.with_name("rows.csv")
    assert main(["recalibrate", str(rows), "--out", str(tmp_path / "s.json")]) == 0
    printed = capsys.readouterr().out
    assert "Recalibrated for this site (50 cases" in printed
    assert "mm before" in printed
    assert "look at these first" in printed
    assert "at least 90%" in printed


def test_too_few_cases_write_no_site_file(site_file, tmp_path, capsys):
    rows = read_rows(site_file.with_name("rows.csv"))[:29]
    write_rows(tmp_path / "few.csv", rows)
    out = tmp_path / "s.json"
    assert main(["recalibrate", str(tmp_path / "few.csv"), "--out", str(out)]) == 2
    assert "at least 30 are needed" in capsys.readouterr().err
    assert not out.exists()


def test_rows_are_not_replaced_by_the_site_file(site_file, capsys):
    rows = str(site_file.with_name("rows.csv"))
    assert main(["recalibrate", rows, "--out", rows]) == 2
    assert "would be replaced" in capsys.readouterr().err


def test_site_file_is_applied_by_the_library(site_file):
    """HC and interval change as it says; the raw HC, the axes and the warnings stay."""
    options = {"backend": "openvino", "precision": "int8", "threads": 1}
    plain = headcirc.load_model(**options).measure(PHANTOM, pixel_size_mm=0.1277)
    model = headcirc.load_model(site_file=site_file, **options)
    found = model.measure(PHANTOM, pixel_size_mm=0.1277)
    site = model.pipeline.site
    assert found.head_circumference_raw_mm == plain.head_circumference_mm
    assert found.head_circumference_mm == pytest.approx(site.correct(plain.head_circumference_mm))
    assert found.head_circumference_mm - plain.head_circumference_mm == pytest.approx(4.4, abs=1.5)
    widths = [high - low for low, high in (found.interval_mm, plain.interval_mm)]
    assert widths[0] == pytest.approx(site.interval_factor * widths[1])
    assert found.biparietal_diameter_mm == plain.biparietal_diameter_mm
    assert found.warnings == plain.warnings


def test_site_file_is_applied_on_the_command_line(site_file, folder, tmp_path, capsys):
    """`analyze` shows both circumferences; `check` compares the raw one; `evaluate` notes it."""
    given = ["--site-file", str(site_file), "--precision", "int8"]
    assert main(["analyze", PHANTOM, "--pixel-size-mm", "0.1277", "--json", *given]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["head_circumference_mm"] - row["head_circumference_raw_mm"] > 2
    assert main(["check", *given]) == 0
    assert "site      Recalibrated for this site (50 cases" in capsys.readouterr().out
    table = write_table(tmp_path / "t.csv", "a.png,184.0,0.1277")
    assert main(["evaluate", str(folder), table, "--out", str(tmp_path / "o"), *given]) == 0
    (compared,) = read_rows(tmp_path / "o" / "rows.csv")
    assert len(compared.site_sha256) == 64
    assert main(["recalibrate", str(tmp_path / "o" / "rows.csv"), "--out", "s.json"]) == 2
    assert "measured with a site file" in capsys.readouterr().err


def test_site_file_of_another_precision_is_refused(site_file, capsys):
    """The float32 graph is another file; nothing is measured."""
    given = ["--site-file", str(site_file), "--precision", "fp32"]
    assert main(["analyze", PHANTOM, "--pixel-size-mm", "0.1277", *given]) == 2
    assert "site file was made with the model" in capsys.readouterr().err
    with pytest.raises(SiteFileError):
        headcirc.load_model(site_file=site_file, precision="fp32", threads=1)


def test_a_table_is_not_resumed_with_another_site_file(site_file, folder, tmp_path, capsys):
    """Rows without the correction are measured again."""
    table = tmp_path / "out.csv"
    common = ["analyze", str(folder / "a.png"), "--pixel-size-mm", "0.1277", "--csv", str(table)]
    assert main([*common, "--precision", "int8"]) == 0
    given = ["--precision", "int8", "--site-file", str(site_file), "--resume"]
    assert main([*common, *given]) == 0
    assert "0 of 1 images are in the table already." in capsys.readouterr().err
