from dataclasses import replace

import numpy as np
import pytest

from headcirc.reports.dicom.capture import to_capture
from headcirc.reports.dicom.report_file import to_dicom_file
from tests.support.dicom_sources import ROOT, SHA256, to_finding, to_ultrasound

PICTURE = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)


@pytest.fixture(scope="module")
def finding():
    return to_finding()[0]


def test_picture_comes_back_as_it_was(finding):
    """Also with an odd number of bytes, which DICOM pads."""
    made = to_capture(finding, PICTURE)
    assert made.pixel_array.tolist() == PICTURE.tolist()


@pytest.mark.parametrize(("stated", "expected"), [(None, "YES"), ("YES", "YES"), ("NO", "NO")])
def test_text_in_the_picture_is_assumed_where_the_source_denies_it_not(stated, expected):
    changes = {} if stated is None else {"BurnedInAnnotation": stated}
    finding, _ = to_finding(to_ultrasound(**changes))
    assert to_capture(finding, PICTURE).BurnedInAnnotation == expected


def test_source_is_named_with_its_frame():
    cine = to_ultrasound(np.zeros((3, 540, 800), np.uint8))
    finding, _ = to_finding(cine, frame_index=1)
    (reference,) = to_capture(finding, PICTURE).SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == f"{ROOT}.3.1"
    assert reference.ReferencedFrameNumber == 2


def test_algorithm_has_name_version_and_checksum(finding):
    made = to_capture(finding, PICTURE)
    for fact in ("synthetic 0.0.0", f"model sha256 {SHA256}"):
        assert fact in made.DerivationDescription


def test_study_and_patient_are_the_source_s(finding):
    made = to_capture(finding, PICTURE)
    assert made.StudyInstanceUID == f"{ROOT}.1"
    assert (made.PatientName, made.AccessionNumber) == ("Doe^Jane", "A-1")


def test_it_has_no_pixel_size(finding):
    """The caption adds rows, and a viewer would measure on the drawing."""
    assert "PixelSpacing" not in to_capture(finding, PICTURE)


def test_picture_without_a_head_is_captured(finding):
    """Its caption says that no head was found."""
    assert to_capture(replace(finding, answer=replace(finding.answer, head=None)), PICTURE)


def test_repeat_is_the_same_file(finding):
    first, second = (to_dicom_file(to_capture(finding, PICTURE)) for _ in range(2))
    assert first == second
