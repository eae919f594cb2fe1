import warnings
from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from headcirc.dicom_source import DicomSource
from headcirc.errors import UnusableHeaderError
from headcirc.reports.dicom.source_header import to_evidence, to_local_time
from tests.support.dicom_sources import to_header, to_ultrasound


def to_clean(**changes) -> Dataset:
    return to_evidence(DicomSource(to_header(to_ultrasound(**changes))))


def test_valid_header_is_copied():
    evidence = to_clean()
    assert (evidence.PatientName, evidence.PatientID) == ("Doe^Jane", "P-1")
    assert (evidence.StudyDate, evidence.StudyTime) == ("20260101", "101500")
    assert (evidence.AccessionNumber, evidence.InstanceNumber) == ("A-1", 7)


def test_nothing_else_of_the_source_is_kept():
    """Pixels, private attributes and what a report does not need stay behind."""
    source = to_ultrasound(OtherPatientIDs="secret", PatientComments="secret")
    source.add_new(0x00091001, "LO", "secret")
    evidence = to_evidence(DicomSource(source))
    assert "PixelData" not in evidence
    assert "secret" not in str(evidence)


@pytest.mark.parametrize(
    "keyword",
    ["AccessionNumber", "StudyID", "StudyDate", "StudyTime", "PatientSex", "PatientBirthDate",
     "PatientName", "PatientID", "ReferringPhysicianName"],
)  # fmt: skip
def test_missing_type_2_attribute_is_empty(keyword):
    assert to_clean(**{keyword: None})[keyword].value in ("", None)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("StudyTime", "25:61", ""),
        ("StudyTime", "noon", ""),
        ("StudyTime", "10:15:30", "101530"),
        ("StudyTime", "1015", "1015"),
        ("StudyTime", "101530.123456", "101530.123456"),
        ("StudyTime", "101560", ""),
        ("StudyDate", "2026.01.31", "20260131"),
        ("StudyDate", "20260231", ""),
        ("StudyDate", "yesterday", ""),
        ("PatientBirthDate", "00000000", ""),
        ("PatientSex", "U", ""),
        ("PatientSex", "female", ""),
        ("PatientSex", "O", "O"),
        ("AccessionNumber", "12345678901234567", ""),
        ("AccessionNumber", "1234567890123456", "1234567890123456"),
        ("PatientID", "x" * 65, ""),
        ("PatientID", "two\\values", ""),
        ("PatientID", "line\nbreak", ""),
        ("PatientName", "a^b^c^d^e^f", ""),
        ("PatientName", "a=b=c=d", ""),
        ("PatientName", "x" * 65, ""),
    ],
)
def test_invalid_value_is_empty_and_an_old_form_is_rewritten(keyword, value, expected):
    """A value that breaks a rule is left empty, never cut to fit."""
    found = to_clean(**{keyword: value})[keyword].value
    assert ("" if found is None else str(found)) == expected


@pytest.mark.parametrize(("stated", "expected"), [(0, 1), (-3, 1), (12, 12), (None, 1)])
def test_instance_number_is_positive(stated, expected):
    assert to_clean(InstanceNumber=stated).InstanceNumber == expected


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Zoë"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 144", "Иванов^Иван"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    ],
)
def test_name_in_any_character_set_is_kept(charset, name):
    """Names come out in UTF-8, whatever the source's character set."""
    evidence = to_clean(SpecificCharacterSet=charset, PatientName=name)
    assert evidence.SpecificCharacterSet == "ISO_IR 192"
    assert str(evidence.PatientName) == name


def test_name_that_cannot_be_decoded_is_empty():
    """A name in another character set than stated is not written as replacement marks."""
    evidence = to_clean(SpecificCharacterSet="ISO_IR 192", PatientName=PersonName(b"D\xff^Jane"))
    assert str(evidence.PatientName or "") == ""


def test_values_are_not_logged(caplog):
    """The warnings of pydicom quote the value that they complain of."""
    with warnings.catch_warnings(record=True) as caught:
        to_clean(PatientID="P" * 70, StudyTime="Doe", PatientName="x" * 70)
    assert not caught
    assert not caplog.records


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "1.02.3", "1.2.x", "1." * 40 + "1"])
def test_identifier_that_cannot_be_repeated_is_refused(keyword, value):
    """Without the study's and the instance's own UID a report would belong to nothing."""
    with pytest.raises(UnusableHeaderError, match=keyword):
        to_clean(**{keyword: value})


@pytest.mark.parametrize(
    "uid", ["1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.88.33", "1.3.9"]
)
def test_class_that_a_report_cannot_refer_to_is_refused(uid):
    """Retired ultrasound, a structured report, a private class."""
    with pytest.raises(UnusableHeaderError, match="kind"):
        to_clean(SOPClassUID=uid)


def test_refusal_quotes_no_value():
    """The message goes into logs and answers; the header identifies a patient."""
    with pytest.raises(UnusableHeaderError) as caught:
        to_clean(StudyInstanceUID="Doe^Jane")
    assert "Doe" not in str(caught.value)


def test_time_of_the_answer_is_on_the_clock_of_the_source():
    evidence = to_clean(TimezoneOffsetFromUTC="+0530")
    assert to_local_time("2026-01-02T03:04:05Z", evidence).strftime("%H%M%S") == "083405"


def test_time_of_the_answer_is_on_this_machine_s_clock_without_an_offset():
    found = to_local_time("2026-01-02T03:04:05Z", to_clean())
    assert found == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found.utcoffset() == found.astimezone().utcoffset()
