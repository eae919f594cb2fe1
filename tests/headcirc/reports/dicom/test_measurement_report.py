from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest

from headcirc.answers import Quality
from headcirc.errors import NoHeadFoundError, PixelSizeMissingError
from headcirc.geometry import Ellipse
from headcirc.reports.dicom.measurement_report import to_measurement_report
from headcirc.reports.dicom.report_file import to_dicom_file
from tests.support.dicom_sources import ROOT, SHA256, to_finding, to_ultrasound
from tests.support.sr_tree import find, read_number
from tests.support.synthetic import HEAD


@pytest.fixture(scope="module")
def finding():
    return to_finding()[0]


@pytest.fixture(scope="module")
def report(finding):
    return to_measurement_report(finding)


@pytest.mark.parametrize(
    ("code", "field", "unit"),
    [
        ("11984-2", "head_circumference_mm", "mm"),
        ("11852-1", "biparietal_diameter_mm", "mm"),
        ("11851-3", "occipitofrontal_diameter_mm", "mm"),
        ("42798000", "area_mm2", "mm2"),
    ],
)
def test_each_figure_stands_once(finding, report, code, field, unit):
    """A system that adds up all groups must not find the same number twice."""
    (item,) = find(report, code)
    value = getattr(finding.answer.head, field)
    assert read_number(item) == (pytest.approx(value, abs=0.005), unit)


def test_cephalic_index_is_in_per_cent(finding, report):
    (item,) = find(report, "11823-2")
    expected = 100 * finding.answer.head.cephalic_index
    assert read_number(item) == (pytest.approx(expected, abs=0.005), "%")


def test_gestational_age_names_its_equation(finding, report):
    (age,) = find(report, "18185-9")
    assert read_number(age)[1] == "d"
    (method,) = find(age, "370129005")
    assert method.ConceptCodeSequence[0].CodeValue == "11932-1"


def test_numbers_are_rounded(report):
    """Sixteen digits would promise what no one measured."""
    (item,) = find(report, "11984-2")
    assert len(str(item.MeasuredValueSequence[0].NumericValue)) <= 6


def test_interval_is_the_uncertainty_of_the_circumference(report):
    """The answer's interval reaches 3 mm up and 2 mm down."""
    (circumference,) = find(report, "11984-2")
    ((up,), (down,)) = find(circumference, "371886008"), find(circumference, "371885007")
    assert (read_number(up), read_number(down)) == ((3.0, "mm"), (2.0, "mm"))
    assert not find(report, "11852-1")[0].get("ContentSequence")


def test_report_without_an_interval_states_none(finding):
    head = replace(finding.answer.head, head_circumference_interval_mm=None)
    made = to_measurement_report(replace(finding, answer=replace(finding.answer, head=head)))
    assert not find(made, "371886008")
    assert "interval" not in find(made, "121106")[0].TextValue


def test_outline_is_a_closed_polyline_around_the_head(report):
    outline, ellipse = find(report, "111030")
    points = np.reshape(outline.GraphicData, (-1, 2))
    assert (outline.GraphicType, len(points)) == ("POLYLINE", 65)
    assert points[0].tolist() == points[-1].tolist()
    center = points[:-1].mean(axis=0)
    assert center == pytest.approx([HEAD.center_x_px + 0.5, HEAD.center_y_px + 0.5], abs=0.1)
    assert ellipse.GraphicType == "ELLIPSE"


def test_ellipse_begins_with_the_major_axis(report):
    ends = np.reshape(find(report, "111030")[1].GraphicData, (4, 2))
    major_px = np.linalg.norm(ends[1] - ends[0])
    minor_px = np.linalg.norm(ends[3] - ends[2])
    assert major_px == pytest.approx(2 * HEAD.semi_axis_major_px, abs=0.3)
    assert minor_px == pytest.approx(2 * HEAD.semi_axis_minor_px, abs=0.3)


def test_head_at_the_border_has_no_point_outside_the_picture():
    """DICOM forbids such points; the exact ellipse is left out, the outline follows the border."""
    cut = Ellipse(60.0, 270.0, 120.0, 90.0, 0.0)
    report = to_measurement_report(to_finding(ellipse=cut)[0])
    (outline,) = find(report, "111030")
    points = np.reshape(outline.GraphicData, (-1, 2))
    assert points.min() == 0
    assert find(report, "11984-2")


def test_reference_names_the_picture(report):
    for region in find(report, "111030"):
        (reference,) = region.ContentSequence[0].ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == f"{ROOT}.3.1"
        assert "ReferencedFrameNumber" not in reference


def test_reference_names_the_frame_of_a_cine_counted_from_1():
    cine = to_ultrasound(np.zeros((3, 540, 800), np.uint8))
    report = to_measurement_report(to_finding(cine, frame_index=1)[0])
    for region in find(report, "111030"):
        assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 2


def test_evidence_lists_the_picture(report):
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == f"{ROOT}.2"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == f"{ROOT}.3.1"


def test_report_is_not_verified(report):
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.PreliminaryFlag == "PRELIMINARY"


def test_study_patient_and_accession_are_the_source_s(report):
    assert report.StudyInstanceUID == f"{ROOT}.1"
    assert (report.PatientName, report.PatientID) == ("Doe^Jane", "P-1")
    assert (report.AccessionNumber, report.StudyID) == ("A-1", "S1")
    assert report.SeriesInstanceUID != f"{ROOT}.2"


def test_subject_is_a_fetus(report):
    (subject,) = find(report, "121024")
    assert subject.ConceptCodeSequence[0].CodeMeaning == "Fetus"


def test_algorithm_has_name_version_and_checksum(report):
    assert {each.TextValue for each in find(report, "111001")} == {"synthetic"}
    assert {each.TextValue for each in find(report, "111003")} == {"0.0.0"}
    assert f"model sha256 {SHA256}" in {each.TextValue for each in find(report, "111002")}
    assert report.DeviceSerialNumber == SHA256


def test_unreliable_result_says_so_to_people_and_to_programs(finding):
    quality = Quality(False, ("poor-ellipse-fit",))
    made = to_measurement_report(replace(finding, answer=replace(finding.answer, quality=quality)))
    assert {each.ConceptCodeSequence[0].CodeValue for each in find(made, "quality")} == {
        "not-acceptable"
    }
    (comment,) = find(made, "121106")
    assert comment.TextValue.startswith("Do not rely on this result.")
    assert "poor-ellipse-fit" in comment.TextValue


def test_comment_says_that_it_is_for_research(report):
    assert find(report, "121106")[0].TextValue.endswith("not a medical device.")


def test_no_head_is_refused(finding):
    answer = replace(finding.answer, head=None)
    with pytest.raises(NoHeadFoundError):
        to_measurement_report(replace(finding, answer=answer))


def test_no_pixel_size_is_refused(finding):
    """A report without millimetres is none."""
    head = replace(finding.answer.head, head_circumference_mm=None)
    with pytest.raises(PixelSizeMissingError):
        to_measurement_report(replace(finding, answer=replace(finding.answer, head=head)))


def test_repeat_is_the_same_file(finding):
    """An archive that gets it twice keeps it once, and a retry changes no byte."""
    first, second = (to_dicom_file(to_measurement_report(finding)) for _ in range(2))
    assert first == second


def test_highdicom_reads_it_back(report, tmp_path):
    path = tmp_path / "report.dcm"
    path.write_bytes(to_dicom_file(report))
    read = hd.sr.srread(path)
    groups = read.content.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == [
        "fetal head, polyline",
        "fetal head, ellipse",
    ]
