"""A person's ellipse on the command line; `tests/headcirc/test_corrections.py` has the figures."""

import json
import math

import numpy as np
import pytest

from headcirc.answers import CORRECTED, HeadEllipse, to_analysis_facts
from headcirc.cli.commands import main
from headcirc.corrections import DrawnEllipse, require_drawn, to_corrected
from headcirc.geometry import PixelSpacing
from tests.support.dicom_files import make_dicom, make_region
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

ELLIPSE = (410, 262, 215, 160, 33)
HALF_TURN_DEG = 180.0


@pytest.fixture(autouse=True)
def pipeline(monkeypatch):
    """Measure bright ellipses in place of loading the model."""
    synthetic = to_synthetic_pipeline()
    monkeypatch.setattr("headcirc.cli.correct.load_pipeline", lambda *_, **__: synthetic)
    return synthetic


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(to_file(draw_head()))
    return path


def run(scan, *options, ellipse=ELLIPSE, by="RT"):
    given = ["--ellipse", *map(str, ellipse), "--by", by]
    return main(["correct", str(scan), *given, *map(str, options)])


def read(capsys):
    return json.loads(capsys.readouterr().out)


def test_circle_of_known_radius_measures_two_pi_r(scan, capsys):
    """150 pixels of 0.2 mm: 188.5 mm, and both diameters 60 mm."""
    assert run(scan, "--pixel-size-mm", 0.2, ellipse=(400, 270, 150, 150, 0)) == 0
    head = read(capsys)["correction"]["head"]
    assert head["head_circumference_mm"] == pytest.approx(2 * math.pi * 30, rel=1e-9)
    assert head["biparietal_diameter_mm"] == pytest.approx(60)
    assert head["occipitofrontal_diameter_mm"] == pytest.approx(60)
    assert head["area_mm2"] == pytest.approx(math.pi * 30**2)
    assert head["head_circumference_interval_mm"] is None


def test_ellipse_in_pixels_that_are_not_square_is_mapped_as_a_whole(tmp_path, capsys):
    """A circle of 100 pixels of 0.1 x 0.2 mm, as the DICOM file says, is 20 x 40 mm."""
    path = tmp_path / "scan.dcm"
    region = make_region((0, 0, 799, 539), (0.01, 0.02))  # cm a pixel
    path.write_bytes(make_dicom([draw_head()], regions=[region]))
    assert run(path, ellipse=(400, 270, 100, 100, 0)) == 0
    head = read(capsys)["correction"]["head"]
    assert head["occipitofrontal_diameter_mm"] == pytest.approx(40)
    assert head["biparietal_diameter_mm"] == pytest.approx(20)
    assert head["cephalic_index"] == pytest.approx(0.5)


def test_answer_is_that_of_the_service(scan, pipeline, capsys):
    """The automatic part stays, and yours counts: field by field what the service's code makes."""
    given = ["--pixel-size-mm", 0.13, "--gestational-age-days", 133, "--note", " caput "]
    assert run(scan, *given, ellipse=(*ELLIPSE[:4], 33 - HALF_TURN_DEG)) == 0
    printed = read(capsys)
    analysis = pipeline.analyze(
        scan.read_bytes(), pixel_spacing=PixelSpacing(0.13, 0.13), gestational_age_days=133
    )
    answer = to_analysis_facts(analysis, pipeline)
    drawn = DrawnEllipse(
        ellipse=HeadEllipse(*map(float, ELLIPSE)),
        by="RT",
        at=printed["correction"]["at"],
        note="caput",
    )
    expected = to_corrected(answer, require_drawn(drawn, answer.image))
    assert printed["method"] == CORRECTED
    assert printed["correction"] == to_json(expected.correction)
    assert printed["head"] == to_json(answer.head)
    assert printed["correction"]["growth"]["gestational_age_days"] == 133


def to_json(value):
    return json.loads(json.dumps(value, default=vars))


def test_answer_is_written_to_a_file_and_a_line_is_printed(scan, tmp_path, capsys):
    out = tmp_path / "answer.json"
    assert run(scan, "--pixel-size-mm", 0.13, "--out", out) == 0
    told = capsys.readouterr()
    written = json.loads(out.read_text())["correction"]
    assert told.out == ""
    hc_mm, difference_mm = written["head"]["head_circumference_mm"], written["difference_mm"]
    assert told.err.startswith(f"Corrected HC {hc_mm:.1f} mm, {difference_mm:+.1f} mm from")


def test_head_that_was_missed_can_be_drawn(tmp_path, capsys):
    path = tmp_path / "black.png"
    path.write_bytes(to_file(np.zeros((540, 800), np.uint8)))
    assert run(path, "--pixel-size-mm", 0.13) == 0
    answer = read(capsys)
    assert answer["head"] is None
    assert answer["correction"]["head"]["head_circumference_mm"] > 100
    assert answer["correction"]["difference_mm"] is None


def test_without_a_pixel_size_there_are_pixels_only(scan, capsys):
    assert run(scan) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["correction"]["head"]["head_circumference_mm"] is None
    assert "no pixel size is known" in told.err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ellipse": (900, 262, 215, 160, 33)}, "outside the picture of 800 x 540"),
        ({"ellipse": (410, 262, 160, 215, 33)}, "exchange them and turn"),
        ({"ellipse": (410, 262, 215, 0, 33)}, "semi_minor_px is 0.0"),
        ({"ellipse": (410, 262, 215, 160, "nan")}, "not a finite number"),
        ({"by": " "}, "it must say who corrected"),
        ({"by": "Doe^Jane"}, "separate the parts of a name"),
    ],
)
def test_what_cannot_be_used_is_bad_usage(scan, capsys, changed, message):
    """As the service refuses it; nothing is printed that could be taken for an answer."""
    assert run(scan, "--pixel-size-mm", 0.13, **changed) == 2
    told = capsys.readouterr()
    assert (told.out, message in told.err) == ("", True)


@pytest.mark.parametrize(
    ("ellipse", "message"),
    [((410, 262, 215, 160), "expected 5 arguments"), ((410, 262, 215, 160, "x"), "not a number")],
)
def test_ellipse_is_five_numbers(scan, capsys, ellipse, message):
    with pytest.raises(SystemExit) as ended:
        run(scan, ellipse=ellipse)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_note_of_several_lines_is_refused(scan, capsys):
    assert run(scan, "--note", "two\nlines") == 2
    assert "line break" in capsys.readouterr().err


def test_what_is_read_is_not_replaced(scan, tmp_path, capsys):
    table = tmp_path / "sizes.csv"
    table.write_text("filename,pixel_size_mm\nscan.png,0.13\n")
    other_name = tmp_path / "same.png"
    other_name.hardlink_to(scan)
    for place in (scan, table, other_name):
        before = place.read_bytes()
        assert run(scan, "--pixel-sizes", table, "--out", place) == 2
        assert "would be replaced" in capsys.readouterr().err
        assert place.read_bytes() == before


def test_file_that_cannot_be_measured_is_reported(tmp_path, capsys):
    """Status 1, as of other commands: the image is at fault, not the command line."""
    path = tmp_path / "scan.png"
    assert run(path) == 1
    path.write_bytes(b"no image")
    assert run(path) == 1
    told = capsys.readouterr()
    assert told.err.count("not measured: ") == 2
    assert told.out == ""
