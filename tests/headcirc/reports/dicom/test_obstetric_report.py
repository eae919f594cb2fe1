from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from highdicom.sr.coding import CodedConcept
from pydicom.sequence import Sequence

from headcirc.answers import Quality, to_growth
from headcirc.errors import UnreliableResultError
from headcirc.geometry import Ellipse
from headcirc.growth import choose_age
from headcirc.reports.dicom.obstetric_report import to_obstetric_report
from headcirc.reports.dicom.obstetric_rows import find_violations
from headcirc.reports.dicom.report_file import to_dicom_file
from tests.support.dicom_sources import SHA256, to_finding, to_ultrasound
from tests.support.sr_tree import find, read_number


@pytest.fixture(scope="module")
def finding():
    return to_finding()[0]


@pytest.fixture(scope="module")
def report(finding):
    return to_obstetric_report(finding)


def test_sections_are_in_the_template_s_order(report):
    names = [
        each.ConceptNameCodeSequence[0].CodeValue
        for each in report.ContentSequence
        if each.ValueType == "CONTAINER"
    ]
    assert names == ["121111", "125001", "125002"]
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "5000"


def test_each_kind_of_measurement_has_a_group_of_its_own(finding, report):
    head = finding.answer.head
    groups = find(report, "125005")
    measured = [
        (
            each.ContentSequence[0].ConceptNameCodeSequence[0].CodeValue,
            *read_number(each.ContentSequence[0]),
        )
        for each in groups
    ]
    assert measured == [
        ("11984-2", pytest.approx(head.head_circumference_mm, abs=0.005), "mm"),
        ("11852-1", pytest.approx(head.biparietal_diameter_mm, abs=0.005), "mm"),
        ("11851-3", pytest.approx(head.occipitofrontal_diameter_mm, abs=0.005), "mm"),
    ]  # fmt: skip


def test_ratio_is_in_its_section(report):
    (section,) = find(report, "125001")
    assert read_number(find(section, "11823-2")[0])[1] == "%"


def test_both_sections_are_about_a_fetus(report):
    for code in ("125001", "125002"):
        (section,) = find(report, code)
        assert section.ContentSequence[0].ConceptNameCodeSequence[0].CodeValue == "121030"


def test_circumference_names_its_picture_and_ellipse(report):
    (circumference,) = find(report, "11984-2")
    (region,) = find(circumference, "121112")
    assert (region.GraphicType, len(region.GraphicData)) == ("ELLIPSE", 8)


def test_head_at_the_border_has_an_outline_in_place_of_the_ellipse():
    cut = Ellipse(60.0, 270.0, 120.0, 90.0, 0.0)
    (region,) = find(to_obstetric_report(to_finding(ellipse=cut)[0]), "121112")
    assert region.GraphicType == "POLYLINE"
    assert min(region.GraphicData) >= 0


def test_frame_of_a_cine_is_counted_from_1():
    cine = to_ultrasound(np.zeros((3, 540, 800), np.uint8))
    (region,) = find(to_obstetric_report(to_finding(cine, frame_index=2)[0]), "121112")
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 3


def test_algorithm_stands_at_every_measurement(report):
    numbers = [each for each in find(report, "11984-2") + find(report, "11852-1")]
    for each in numbers:
        assert {found.TextValue for found in find(each, "111002")} >= {f"model sha256 {SHA256}"}


def test_gestational_age_has_the_code_of_its_equation(finding, report):
    (age,) = find(report, "18185-9")
    days = finding.answer.gestational_age.hadlock_1984.days
    assert read_number(age) == (pytest.approx(days, abs=0.005), "d")
    (equation,) = find(age, "121420")
    assert equation.ConceptCodeSequence[0].CodeValue == "11932-1"


def test_gestational_age_out_of_range_is_left_out(finding):
    age = replace(finding.answer.gestational_age.hadlock_1984, days=None)
    ages = replace(finding.answer.gestational_age, hadlock_1984=age)
    answer = replace(finding.answer, gestational_age=ages)
    assert not find(to_obstetric_report(replace(finding, answer=answer)), "18185-9")


def test_growth_is_reported_at_the_stated_age_alone(finding, report):
    """Each measure has its z-score; without a stated age there is none."""
    assert not find(report, "125013")
    growth = to_growth(finding.answer.head, choose_age(189, None))
    compared = to_obstetric_report(replace(finding, answer=replace(finding.answer, growth=growth)))
    ranks = [read_number(each) for each in find(compared, "125013")]
    figures = (
        growth.head_circumference, growth.biparietal_diameter, growth.occipitofrontal_diameter,
    )  # fmt: skip
    assert ranks == [(pytest.approx(each.z_score, abs=0.005), "1") for each in figures]
    assert "27w0d" in find(compared, "121421")[0].TextValue
    assert "z-score" in find(compared, "121106")[0].TextValue


def test_unreliable_result_is_refused(finding):
    """A reporting system would take over the numbers without the warning."""
    quality = Quality(False, ("poor-ellipse-fit",))
    unreliable = replace(finding, answer=replace(finding.answer, quality=quality))
    with pytest.raises(UnreliableResultError):
        to_obstetric_report(unreliable)


def test_repeat_is_the_same_file(finding):
    first, second = (to_dicom_file(to_obstetric_report(finding)) for _ in range(2))
    assert first == second


# --- the checker ---------------------------------------------------------------------------------


def test_valid_report_breaks_no_row(report):
    assert find_violations(report) == []


def drop_observer(report):
    kept = [each for each in report.ContentSequence if each.ValueType != "UIDREF"]
    report.ContentSequence = Sequence(kept)


def use_wrong_unit(report):
    measured = find(report, "11984-2")[0].MeasuredValueSequence[0]
    measured.MeasurementUnitsCodeSequence = [CodedConcept("cm", "UCUM", "cm")]


def use_wrong_code(report):
    """11779-6 is the estimated date of delivery, which public code sends as circumference."""
    find(report, "11984-2")[0].ConceptNameCodeSequence = [CodedConcept("11779-6", "LN", "HC")]


def swap_sections(report):
    report.ContentSequence = Sequence(
        [*report.ContentSequence[:-2], *report.ContentSequence[:-3:-1]]
    )


def empty_group(report):
    find(report, "125005")[0].ContentSequence = Sequence([])


def drop_picture(report):
    find(report, "121112")[0].ContentSequence = Sequence([])


def use_wrong_relationship(report):
    find(report, "125005")[0].RelationshipType = "HAS PROPERTIES"


def drop_fetus(report):
    del find(report, "125002")[0].ContentSequence[0]


def rename_root(report):
    report.ConceptNameCodeSequence = [CodedConcept("126000", "DCM", "Imaging Measurement Report")]


def drop_template(report):
    del report.ContentTemplateSequence


def drop_algorithm_version(report):
    (circumference,) = find(report, "11984-2")
    kept = [
        each
        for each in circumference.ContentSequence
        if each.ConceptNameCodeSequence[0].CodeValue != "111003"
    ]
    circumference.ContentSequence = Sequence(kept)


def double_region(report):
    (circumference,) = find(report, "11984-2")
    circumference.ContentSequence.append(find(report, "121112")[0])


def lose_value(report):
    find(report, "11984-2")[0].MeasuredValueSequence = Sequence([])


@pytest.mark.parametrize(
    "damage",
    [drop_observer, use_wrong_unit, use_wrong_code, swap_sections, empty_group, drop_picture,
     use_wrong_relationship, drop_fetus, rename_root, drop_template, drop_algorithm_version,
     double_region, lose_value],
    ids=lambda each: each.__name__,
)  # fmt: skip
def test_damage_is_a_violation(report, damage):
    """Each damage breaks a row, and the checker says which."""
    damaged = deepcopy(report)
    damage(damaged)
    assert find_violations(damaged)
