import re
from dataclasses import replace

import pytest
from pydicom.uid import UID

from headcirc.answers import Site, to_growth
from headcirc.growth import choose_age
from headcirc.reports.dicom import identity
from headcirc.reports.dicom.identity import to_identification, to_instance_uid, to_uid
from headcirc.reports.dicom.source_header import to_evidence
from tests.support.dicom_sources import to_finding, to_ultrasound


@pytest.fixture(scope="module")
def finding():
    return to_finding()[0]


def to_uids(finding):
    evidence = to_evidence(finding.source)
    facts = [to_identification(finding, evidence, kind) for kind in identity.SERIES]
    return [each["sop_instance_uid"] for each in facts]


def test_uid_is_a_uuid_s(finding):
    """2.25 and the integer of a UUID, as PS3.5 allows it to anyone without a root."""
    assert re.fullmatch(r"2\.25\.\d{1,39}", to_uid("a"))
    assert UID(to_uid("a")).is_valid


def test_parts_do_not_run_into_one_another():
    assert to_uid("ab", "c") != to_uid("a", "bc")


def test_same_question_has_the_same_identifiers(finding):
    assert to_uids(finding) == to_uids(to_finding()[0])


def test_time_of_the_answer_changes_no_identifier(finding):
    later = replace(finding, answer=replace(finding.answer, created="2027-01-01T00:00:00Z"))
    assert to_uids(later) == to_uids(finding)


def test_kinds_have_different_instances_and_series(finding):
    assert len(set(to_uids(finding))) == len(identity.SERIES)
    evidence = to_evidence(finding.source)
    series = {
        to_identification(finding, evidence, kind)["series_instance_uid"]
        for kind in identity.SERIES
    }
    assert len(series) == len(identity.SERIES)


def change_source(finding):
    return to_finding(to_ultrasound(SOPInstanceUID="1.2.3"))[0]


def change_frame(finding):
    return replace(finding, source=replace(finding.source, frame_index=1))


def change_model(finding):
    model = replace(finding.answer.model, sha256="cd" * 32)
    return replace(finding, answer=replace(finding.answer, model=model))


def change_model_version(finding):
    model = replace(finding.answer.model, version="9")
    return replace(finding, answer=replace(finding.answer, model=model))


def change_pixel_size(finding):
    image = replace(finding.answer.image, pixel_size_x_mm=0.3)
    return replace(finding, answer=replace(finding.answer, image=image))


def change_site(finding):
    site = Site(1.0, 1.01, 1.1, 40, "2026-01-02")
    return replace(finding, answer=replace(finding.answer, site=site))


def change_gestational_age(finding):
    growth = to_growth(finding.answer.head, choose_age(200, None))
    return replace(finding, answer=replace(finding.answer, growth=growth))


@pytest.mark.parametrize(
    "change",
    [
        change_source,
        change_frame,
        change_model,
        change_model_version,
        change_pixel_size,
        change_site,
        change_gestational_age,
    ],
    ids=lambda each: each.__name__,
)
def test_another_question_has_another_instance(finding, change):
    """What changes the content changes the identifier: DICOM allows no two contents of one."""
    changed = change(finding)
    evidence = to_evidence(changed.source)
    before = to_instance_uid(finding, to_evidence(finding.source), "seg")
    assert to_instance_uid(changed, evidence, "seg") != before


def test_another_release_has_another_instance(finding, monkeypatch):
    before = to_uids(finding)
    monkeypatch.setattr(identity, "__version__", "99")
    assert not set(before) & set(to_uids(finding))
