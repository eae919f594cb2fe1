import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from headcirc.cli.commands import main
from headcirc.model.site import load_site
from headcirc.overlay import to_png
from tests.headcirc.model.test_site import FACTS
from tests.support.dicom_sources import ROOT, to_dicom_file, to_ultrasound
from tests.support.sr_tree import find, read_number
from tests.support.synthetic import draw_head, to_synthetic_pipeline


@pytest.fixture(autouse=True)
def pipeline(monkeypatch):
    """Measure bright ellipses in place of loading the model."""
    synthetic = to_synthetic_pipeline()
    monkeypatch.setattr("headcirc.cli.dicom_report.load_pipeline", lambda *_, **__: synthetic)
    return synthetic


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_bytes(to_dicom_file(to_ultrasound()))
    return path


def run(*arguments):
    return main(["report", *map(str, arguments)])


def test_all_reports_are_written(scan, tmp_path, capsys):
    out = tmp_path / "new" / "reports"
    assert run(scan, "--sr", "--seg", "--capture", "--out", out) == 0
    assert sorted(each.name for each in out.iterdir()) == [
        "scan_capture.dcm", "scan_seg.dcm", "scan_sr.dcm",
    ]  # fmt: skip
    for path in out.iterdir():
        assert pydicom.dcmread(path).StudyInstanceUID == f"{ROOT}.1"
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_site_file_reaches_the_report(scan, tmp_path, monkeypatch):
    """The circumference in the report is the corrected one."""
    site = tmp_path / "site.json"
    site.write_text(json.dumps(FACTS))

    def load(*_, site_file, **__):
        pipeline = to_synthetic_pipeline()
        return replace(pipeline, site=load_site(site_file, model_sha256="a" * 64))

    assert run(scan, "--sr", "--out", tmp_path / "plain") == 0
    monkeypatch.setattr("headcirc.cli.dicom_report.load_pipeline", load)
    assert run(scan, "--sr", "--site-file", site, "--out", tmp_path / "site") == 0
    plain, corrected = (read_circumference(tmp_path / name) for name in ("plain", "site"))
    assert corrected - plain == pytest.approx(4.4, abs=0.1)


def read_circumference(folder):
    """Return the head circumference of the only report in a folder, in mm."""
    (path,) = folder.iterdir()
    item, *_ = find(pydicom.dcmread(path), "11984-2", "NUM")
    return read_number(item)[0]


def test_template_is_chosen(scan, tmp_path):
    assert run(scan, "--sr", "--template", "5000", "--out", tmp_path) == 0
    made = pydicom.dcmread(tmp_path / "scan_sr.dcm")
    assert made.ContentTemplateSequence[0].TemplateIdentifier == "5000"


def test_what_cannot_be_written_is_named_and_the_rest_is_written(tmp_path, capsys):
    """A cine has no segmentation; its report and its capture are there."""
    cine = tmp_path / "cine.dcm"
    cine.write_bytes(to_dicom_file(to_ultrasound(np.stack([draw_head()] * 2))))
    out = tmp_path / "out"
    assert run(cine, "--frame", 1, "--sr", "--seg", "--capture", "--out", out) == 1
    assert "cine_seg.dcm: not written: The DICOM file has 2 frames" in capsys.readouterr().err
    assert {each.name for each in out.iterdir()} == {"cine_sr.dcm", "cine_capture.dcm"}


def test_file_that_is_not_dicom_does_not_stop_the_others(scan, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    picture.write_bytes(to_png(np.zeros((9, 9), np.uint8)))
    out = tmp_path / "out"
    assert run(picture, tmp_path / "absent.dcm", scan, "--capture", "--out", out) == 1
    said = capsys.readouterr().err
    assert "picture.png: not measured: The file is not DICOM" in said
    assert "absent.dcm: not measured: No such file" in said
    assert (out / "scan_capture.dcm").exists()


def test_pixel_size_can_be_stated_where_the_file_has_none(tmp_path):
    path = tmp_path / "plain.dcm"
    path.write_bytes(to_dicom_file(to_ultrasound(SequenceOfUltrasoundRegions=None)))
    assert run(path, "--sr", "--out", tmp_path) == 1
    assert run(path, "--sr", "--pixel-size-mm", "0.2", "--out", tmp_path) == 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "choose one or more"),
        (("--sr", "same"), "same name"),
    ],
)
def test_bad_usage_is_refused_before_anything_is_measured(scan, tmp_path, capsys, names, message):
    files = [scan]
    if "same" in names:
        twin = tmp_path / "below" / "scan.dcm"
        twin.parent.mkdir()
        twin.write_bytes(scan.read_bytes())
        files.append(twin)
    chosen = [name for name in names if name.startswith("--")]
    assert run(*files, *chosen, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_report_does_not_replace_a_file_that_is_measured(scan, tmp_path, capsys):
    other = tmp_path / "scan_sr.dcm"
    other.write_bytes(scan.read_bytes())
    assert run(scan, other, "--sr", "--out", tmp_path) == 2
    assert "would be replaced" in capsys.readouterr().err
    assert other.read_bytes() == scan.read_bytes()
