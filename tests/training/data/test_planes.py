import math

import pytest

from training.data.planes import load_planes

HEADER = "file,kind,source,center_x_px,center_y_px,semi_major_px,semi_minor_px,angle_deg"


def write_table(folder, *rows):
    (folder / "planes.csv").write_text("\n".join((HEADER, *rows)) + "\n")
    return folder


def test_plane_row_gives_an_ellipse_in_frame_pixels(tmp_path):
    """The axes of the table are semi-axes in frame pixels, and angles are modulo 180 degrees."""
    row = "head/Patient00644_Plane3_1_of_3.jpg,head,FETAL_PLANES_DB,464.46,245.92,333.86,241.86,180"
    (plane,) = load_planes(write_table(tmp_path, row))
    assert plane.ellipse.semi_axis_major_px == pytest.approx(333.86)
    assert plane.ellipse.semi_axis_minor_px == pytest.approx(241.86)
    assert math.sin(plane.ellipse.angle_rad) == pytest.approx(0, abs=1e-6)
    assert (plane.country, plane.group) == (None, "FETAL_PLANES_DB Patient00644")


def test_patients_of_different_countries_are_different(tmp_path):
    """Countries reuse patient numbers, so the country is part of the patient."""
    rows = [
        'femur/patient018_DZA_plane2.jpg,femur,"African planes, Algeria",,,,,',
        'femur/patient018_EGY_plane2.jpg,femur,"African planes, Egypt",,,,,',
    ]
    first, second = load_planes(write_table(tmp_path, *rows))
    assert (first.group, second.group) == ("Algeria", "Egypt")
    assert first.patient != second.patient
    assert first.ellipse is None


def test_unknown_kind_of_plane_is_refused(tmp_path):
    """A new kind is not silently trained as another one."""
    row = "spine/Patient1_Plane1_1_of_1.jpg,spine,FETAL_PLANES_DB,,,,,"
    with pytest.raises(ValueError, match="spine"):
        load_planes(write_table(tmp_path, row))


def test_folder_without_planes_is_refused(tmp_path):
    """The error message names the expected table."""
    with pytest.raises(FileNotFoundError, match=r"planes\.csv"):
        load_planes(tmp_path)


def test_real_table_has_its_published_counts(planes_dir):
    """410 heads, 335 of them with an ellipse, and 800 other planes."""
    planes = load_planes(planes_dir)
    assert sum(plane.kind == "head" for plane in planes) == 410
    assert sum(plane.ellipse is not None for plane in planes) == 335
    assert len(planes) == 1210
    assert all(plane.path.is_file() for plane in planes)
