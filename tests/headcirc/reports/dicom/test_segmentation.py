from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest

from headcirc.errors import InvalidFrameError, NoHeadFoundError, PixelSizeMissingError
from headcirc.reports.dicom.report_file import to_dicom_file
from headcirc.reports.dicom.segmentation import to_segmentation
from tests.support.dicom_sources import ROOT, SHA256, to_finding, to_ultrasound


@pytest.fixture(scope="module")
def found():
    return to_finding()


@pytest.fixture(scope="module")
def made(found):
    return to_segmentation(*found)


def test_mask_comes_back_as_it_was(found, made, tmp_path):
    path = tmp_path / "seg.dcm"
    path.write_bytes(to_dicom_file(made))
    read = hd.seg.segread(path)
    assert (read.pixel_array > 0).tolist() == found[1].tolist()


def test_mask_of_a_part_is_in_its_place_in_the_stored_picture():
    """Strips beside the picture are not measured; the mask still has the stored size."""
    whole = to_ultrasound(np.zeros((600, 900), np.uint8))
    finding, mask = to_finding(whole, left_px=100, top_px=40)
    stored = to_segmentation(finding, mask).pixel_array > 0
    assert stored.shape == (600, 900)
    assert stored[40 : 40 + mask.shape[0], 100:].tolist() == mask.tolist()
    assert stored.sum() == mask.sum()


def test_it_is_binary_with_one_segment(made):
    assert made.SegmentationType == "BINARY"
    (segment,) = made.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "69536005"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"


def test_pixel_size_is_the_picture_s():
    finding, mask = to_finding()
    image = replace(finding.answer.image, pixel_size_x_mm=0.1, pixel_size_y_mm=0.3)
    uneven = replace(finding, answer=replace(finding.answer, image=image))
    shared = to_segmentation(uneven, mask).SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [0.3, 0.1]


def test_geometry_is_called_nominal(made):
    """Viewers need a position; ultrasound has none, and the object says so."""
    assert made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    assert "nominal" in made.ContentDescription


def test_algorithm_has_name_version_and_checksum(made):
    (algorithm,) = made.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("synthetic", "0.0.0")
    assert SHA256 in algorithm.AlgorithmParameters


def test_reference_names_the_picture(made):
    (reference,) = made.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == f"{ROOT}.3.1"


def test_file_of_several_frames_is_refused():
    cine = to_ultrasound(np.zeros((3, 540, 800), np.uint8))
    with pytest.raises(InvalidFrameError, match="3 frames"):
        to_segmentation(*to_finding(cine, frame_index=1))


def test_no_head_is_refused(found):
    finding, mask = found
    with pytest.raises(NoHeadFoundError):
        to_segmentation(replace(finding, answer=replace(finding.answer, head=None)), mask)


def test_no_pixel_size_is_refused(found):
    """A nominal pixel size would be a wrong millimetre in every viewer."""
    finding, mask = found
    head = replace(finding.answer.head, head_circumference_mm=None)
    with pytest.raises(PixelSizeMissingError):
        to_segmentation(replace(finding, answer=replace(finding.answer, head=head)), mask)


def test_repeat_is_the_same_file(found, made):
    assert to_dicom_file(to_segmentation(*found)) == to_dicom_file(made)
