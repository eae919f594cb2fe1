import json

import cv2
import numpy as np
import pytest

from headcirc.batch.files import UsageError, find_images
from headcirc.cli.commands import main
from tests.support.dicom_files import (
    PATIENT_ID,
    PATIENT_NAME,
    make_dicom,
    make_dicomdir,
    make_region,
)

EXAMPLE_CM = 0.01277
"""Pixel size of the phantom, whose head measures 184 mm."""
LEFT, TOP = 60, 30


@pytest.fixture(scope="module")
def screen():
    """Return the phantom as a device shows it: in a region, with text beside it."""
    phantom = cv2.imread("examples/phantom.png", cv2.IMREAD_GRAYSCALE)
    rows, columns = phantom.shape
    screen = np.zeros((rows + 2 * TOP, columns + LEFT), np.uint8)
    screen[TOP : TOP + rows, LEFT:] = phantom
    cv2.putText(screen, PATIENT_NAME, (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255)
    return screen


@pytest.fixture(scope="module")
def content(screen):
    rows, columns = screen.shape
    box = (LEFT, TOP, columns - 1, rows - TOP - 1)
    return make_dicom(screen, regions=[make_region(box, (EXAMPLE_CM, EXAMPLE_CM))], StudyID="1")


@pytest.fixture(scope="module")
def cine(screen):
    rows, columns = screen.shape
    box = (LEFT, TOP, columns - 1, rows - TOP - 1)
    frames = [np.zeros_like(screen), screen]
    return make_dicom(frames, regions=[make_region(box, (EXAMPLE_CM, EXAMPLE_CM))])


@pytest.fixture
def study(tmp_path, content):
    """Write a study as on a CD: files without suffixes in folders, and their DICOMDIR."""
    folder = tmp_path / "cd"
    (folder / "PAT1" / "SE2").mkdir(parents=True)
    (folder / "PAT1" / "SE2" / "IM000003").write_bytes(content)
    (folder / "DICOMDIR").write_bytes(make_dicomdir("PAT1\\SE2\\IM000003"))
    return folder


def read_rows(capsys):
    out, error = capsys.readouterr()
    assert PATIENT_ID not in out + error
    assert PATIENT_NAME not in out + error
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("named", ["", "DICOMDIR"])
def test_study_needs_no_table_of_pixel_sizes(study, named, capsys):
    """Its folder or its DICOMDIR is enough, and sub-folders are found by the DICOMDIR."""
    assert main(["analyze", str(study / named), "--json"]) == 0
    (row,) = read_rows(capsys)
    assert 178 < row["head_circumference_mm"] < 190
    assert row["pixel_size_x_mm"] == pytest.approx(0.1277)
    assert row["warnings"] == ""


def test_dicom_files_are_found_by_their_content(tmp_path, content):
    """Devices name files by numbers, or not at all; other files stay outside."""
    for name in ("IM0001", "1.2.840.10008.7", "a.dcm"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "README").write_text("no picture")
    (tmp_path / "notes.txt").write_bytes(content)
    found = find_images([tmp_path], recursive=False)
    assert [path.name for path in found] == ["1.2.840.10008.7", "IM0001", "a.dcm"]


def test_file_that_a_dicomdir_lists_and_that_is_missing_has_a_row(study, capsys):
    (listed,) = find_images([study / "DICOMDIR"], recursive=False)
    listed.unlink()
    assert main(["analyze", str(study / "DICOMDIR"), "--json"]) == 1
    assert "cannot be read" in read_rows(capsys)[0]["error"]


def test_names_of_a_cd_may_appear_in_lower_case(study):
    (listed,) = find_images([study / "DICOMDIR"], recursive=False)
    lower = study / str(listed.relative_to(study)).lower()
    lower.parent.mkdir(parents=True)
    listed.rename(lower)
    assert find_images([study / "DICOMDIR"], recursive=False) == [lower]


@pytest.mark.parametrize("name", ["..\\..\\secret", "A\\..\\secret", "../secret", "/etc"])
def test_dicomdir_leads_to_no_other_folder(study, name, capsys):
    """One that names files outside is refused as a whole."""
    path = study / "DICOMDIR"
    path.write_bytes(make_dicomdir("PAT1\\SE2\\IM000003", name))
    assert find_images([path], recursive=False) == [path]
    assert main(["analyze", str(path), "--json"]) == 1
    assert "no picture" in read_rows(capsys)[0]["error"]


def test_damaged_dicomdir_has_a_row(tmp_path, capsys):
    path = tmp_path / "DICOMDIR"
    path.write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    assert main(["analyze", str(tmp_path), "--json"]) == 1
    assert read_rows(capsys)[0]["image"] == str(path)


def test_cine_needs_a_frame(tmp_path, cine, capsys):
    """--frame chooses one; without it the row says how many there are."""
    path = tmp_path / "cine.dcm"
    path.write_bytes(cine)
    assert main(["analyze", str(path), "--json"]) == 1
    assert "holds 2 frames" in read_rows(capsys)[0]["error"]
    assert main(["analyze", str(path), "--json", "--frame", "1"]) == 0
    assert 178 < read_rows(capsys)[0]["head_circumference_mm"] < 190


def test_another_frame_is_measured_again(tmp_path, cine, capsys):
    """A resumed table keeps rows of the same frame only."""
    path, table = tmp_path / "cine.dcm", tmp_path / "out.csv"
    path.write_bytes(cine)
    options = ["analyze", str(path), "--csv", str(table)]
    assert main([*options, "--frame", "1"]) == 0
    assert main([*options, "--frame", "1", "--resume"]) == 0
    assert "1 of 1 images are in the table" in capsys.readouterr().err
    main([*options, "--frame", "0", "--resume"])
    assert "0 of 1 images are in the table" in capsys.readouterr().err


def test_stated_pixel_size_that_contradicts_the_file_gives_no_number(tmp_path, content, capsys):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    assert main(["analyze", str(path), "--json", "--pixel-size-mm", "0.2"]) == 1
    assert "0.1277 mm" in read_rows(capsys)[0]["error"]


def test_age_of_the_file_gives_a_centile(tmp_path, screen, capsys):
    """The row says where the age is from; a stated one counts more, and a difference is named."""
    rows, columns = screen.shape
    region = make_region((LEFT, TOP, columns - 1, rows - TOP - 1), (EXAMPLE_CM, EXAMPLE_CM))
    dates = {"StudyDate": "20260611", "LastMenstrualDate": "20260119"}
    path, charts = tmp_path / "a.dcm", tmp_path / "charts"
    path.write_bytes(make_dicom(screen, regions=[region], **dates))
    command = ["analyze", str(path), "--json"]
    assert main([*command, "--growth-chart-dir", str(charts)]) == 0
    (row,) = read_rows(capsys)
    assert (row["gestational_age_days"], row["gestational_age_source"]) == (143, "dicom")
    assert 0 < row["head_circumference_z_score"] < 1.5
    assert row["warnings"] == ""
    assert "stated in the DICOM file" in (charts / "a_growth.svg").read_text()
    assert main([*command, "--gestational-age-days", "150"]) == 0
    (row,) = read_rows(capsys)
    assert (row["gestational_age_days"], row["gestational_age_source"]) == (150, "request")
    assert row["warnings"] == "gestational-age-conflict"


def test_overlay_shows_the_picture_alone(tmp_path, content, screen):
    """The patient's name stands beside the picture on the screen, and not in the overlay."""
    path, overlays = tmp_path / "a.dcm", tmp_path / "overlays"
    path.write_bytes(content)
    main(["analyze", str(path), "--overlay-dir", str(overlays), "--bare-overlays"])
    overlay = cv2.imread(str(overlays / "a_overlay.png"))
    rows, columns = screen.shape
    assert overlay.shape[:2] == (rows - 2 * TOP, columns - LEFT)


def test_folder_without_dicom_is_still_bad_usage(tmp_path):
    (tmp_path / "README").write_text("no picture")
    with pytest.raises(UsageError, match="No image"):
        find_images([tmp_path], recursive=True)
