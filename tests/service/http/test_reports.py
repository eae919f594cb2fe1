import io

import highdicom as hd
import numpy as np
import pydicom
import pytest

from tests.service.http.test_problems import check
from tests.support.dicom_sources import ROOT, to_dicom_file, to_ultrasound
from tests.support.sr_tree import find, read_number
from tests.support.synthetic import HEAD, draw_head, to_file

CONTENT = to_dicom_file(to_ultrasound())
ROUTES = ("/v1/sr", "/v1/sr?template=5000", "/v1/seg", "/v1/capture")
CLASSES = {
    "/v1/sr": "Comprehensive SR Storage",
    "/v1/sr?template=5000": "Comprehensive SR Storage",
    "/v1/seg": "Segmentation Storage",
    "/v1/capture": "Secondary Capture Image Storage",
}


def post(client, route, content=CONTENT, **fields):
    fields = {"pixel_size_mm": "0.2"} | fields
    return client.post(route, files={"image": ("doe.dcm", content)}, data=fields)


def read(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom"
    return pydicom.dcmread(io.BytesIO(answer.content))


@pytest.mark.parametrize("route", ROUTES)
def test_answer_is_a_dicom_file_of_the_same_study(client, route):
    made = read(post(client, route))
    assert made.SOPClassUID.name == CLASSES[route]
    assert made.StudyInstanceUID == f"{ROOT}.1"
    assert (made.PatientID, made.AccessionNumber) == ("P-1", "A-1")


@pytest.mark.parametrize("route", ROUTES)
def test_repeat_is_the_same_instance(client, route):
    """A client that tries again after a lost answer makes no second report."""
    assert post(client, route).content == post(client, route).content


def test_report_has_the_number_of_the_json_answer(client):
    fields = {"pixel_size_mm": "0.2"}
    files = {"image": ("doe.dcm", CONTENT)}
    stated = client.post("/v1/head-circumference", files=files, data=fields).json()
    (circumference,) = find(read(post(client, "/v1/sr")), "11984-2")
    expected = pytest.approx(stated["head_circumference_mm"], abs=0.005)
    assert read_number(circumference) == (expected, "mm")


def test_all_reports_of_a_file_cost_one_inference(client, pipeline):
    for route in ROUTES:
        post(client, route)
    assert len(pipeline.backend.calls) == 1


def test_model_is_identified(client, pipeline):
    made = read(post(client, "/v1/capture"))
    assert pipeline.graph.sha256 in made.DerivationDescription


def test_mask_of_the_segmentation_is_the_head(client):
    made = hd.seg.segread(io.BytesIO(post(client, "/v1/seg").content))
    expected = np.pi * HEAD.semi_axis_major_px * HEAD.semi_axis_minor_px
    assert (made.pixel_array > 0).sum() == pytest.approx(expected, rel=0.01)


def test_capture_has_the_caption_below_the_picture(client):
    made = read(post(client, "/v1/capture"))
    assert made.Columns == 800
    assert made.Rows > 540


def test_frame_of_a_cine_is_reported(client):
    frames = np.stack([np.zeros((540, 800), np.uint8), draw_head()])
    cine = to_dicom_file(to_ultrasound(frames))
    region = find(read(post(client, "/v1/sr", cine, frame="1")), "111030")[0]
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 2
    check(post(client, "/v1/seg", cine, frame="1"), 422, "invalid-frame")
    check(post(client, "/v1/sr", cine), 422, "invalid-frame")


@pytest.mark.parametrize("route", ROUTES)
def test_file_that_is_not_dicom_is_refused(client, pipeline, route):
    """It has no patient and no study; it is refused before it is measured."""
    check(post(client, route, to_file(draw_head())), 415, "unsupported-media-type")
    assert not pipeline.backend.calls


@pytest.mark.parametrize("route", ["/v1/sr", "/v1/sr?template=5000", "/v1/seg"])
def test_no_head_is_refused_and_its_capture_is_not(client, route):
    empty = to_dicom_file(to_ultrasound(np.zeros((540, 800), np.uint8)))
    check(post(client, route, empty), 422, "no-head-found")
    assert read(post(client, "/v1/capture", empty))


@pytest.mark.parametrize("route", ["/v1/sr", "/v1/sr?template=5000", "/v1/seg"])
def test_no_pixel_size_is_refused(client, route):
    plain = to_ultrasound(SequenceOfUltrasoundRegions=None)
    answer = post(client, route, to_dicom_file(plain), pixel_size_mm="")
    check(answer, 422, "pixel-size-missing")


@pytest.mark.parametrize("route", ROUTES)
def test_header_without_identifiers_is_refused(client, route):
    lost = to_dicom_file(to_ultrasound(StudyInstanceUID=None))
    check(post(client, route, lost), 422, "dicom-header-unusable")


def test_unknown_template_is_refused(client):
    check(post(client, "/v1/sr?template=2000"), 422, "invalid-parameter")


@pytest.mark.parametrize("route", ROUTES)
def test_caller_that_takes_no_dicom_is_refused(client, route):
    files = {"image": ("a", CONTENT)}
    answer = client.post(route, files=files, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")


def test_nothing_of_the_header_is_logged(client, caplog):
    caplog.set_level(0)
    for route in ROUTES:
        post(client, route, to_dicom_file(to_ultrasound(StudyTime="25:61", PatientSex="U")))
    for secret in ("Doe", "P-1", "A-1", ROOT):
        assert secret not in caplog.text
