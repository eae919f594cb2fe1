import io
from dataclasses import replace

import httpx
import numpy as np
import pydicom
import pytest

from headcirc.answers import Interval
from headcirc.client import HeadcircClient, RetryPolicy
from headcirc.gateway.measuring import (
    LaterError,
    LocalMeasurer,
    NeverError,
    RemoteMeasurer,
    choose_frames,
    measure_image,
)
from headcirc.gateway.settings import KINDS
from tests.support.dicom_sources import ROOT, to_dicom_file, to_ultrasound
from tests.support.sr_tree import find, read_number
from tests.support.synthetic import HEAD, draw_head, to_synthetic_pipeline
from tests.support.synthetic_service import serve_synthetic

EMPTY = np.zeros((540, 800), np.uint8)


@pytest.fixture
def measurer():
    return LocalMeasurer(to_synthetic_pipeline())


def write(folder, source=None):
    path = folder / "image.dcm"
    path.write_bytes(to_dicom_file(to_ultrasound() if source is None else source))
    return path


def measure(path, measurer, kinds=KINDS, cine_frames=9):
    return measure_image(path, measurer, kinds=kinds, cine_frames=cine_frames)


def read(report):
    return pydicom.dcmread(io.BytesIO(report.content))


def test_image_gives_every_report(tmp_path, measurer):
    made = measure(write(tmp_path), measurer)
    assert tuple(made.reports) == KINDS
    assert made.notes == ()
    for report in made.reports.values():
        assert read(report).SOPInstanceUID == report.sop_instance_uid
        assert read(report).StudyInstanceUID == f"{ROOT}.1"


def test_only_what_is_wanted_is_made(tmp_path, measurer):
    assert list(measure(write(tmp_path), measurer, ["seg"]).reports) == ["seg"]


def test_again_gives_the_same_instances(tmp_path, measurer):
    """Work that a crash interrupted is done again; the archive must not get two reports."""
    path = write(tmp_path)
    first, second = (measure(path, measurer).reports for _ in range(2))
    assert {k: v.sop_instance_uid for k, v in first.items()} == {
        k: v.sop_instance_uid for k, v in second.items()
    }


def test_image_without_a_head_gives_a_capture_and_says_why(tmp_path, measurer):
    made = measure(write(tmp_path, to_ultrasound(EMPTY)), measurer)
    assert list(made.reports) == ["capture"]
    assert made.notes == ("no-head-found",)


def test_image_without_a_pixel_size_gives_a_capture(tmp_path, measurer):
    plain = to_ultrasound(SequenceOfUltrasoundRegions=None)
    made = measure(write(tmp_path, plain), measurer)
    assert list(made.reports) == ["capture"]
    assert made.notes == ("pixel-size-missing",)


def test_best_frame_of_a_cine_is_reported(tmp_path, measurer):
    """The third of four frames has a head; the report refers to it in the whole file."""
    frames = np.stack([EMPTY, EMPTY, draw_head(), EMPTY])
    made = measure(write(tmp_path, to_ultrasound(frames)), measurer)
    report = read(made.reports["tid1500"])
    reference = find(report, "111030")[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedFrameNumber == 3
    assert reference.ReferencedSOPInstanceUID == f"{ROOT}.3.1"
    assert "seg" not in made.reports
    assert made.notes == ("invalid-frame",)


def test_narrower_interval_wins(tmp_path, measurer):
    """The acceptable frame that the model is surest of is reported."""
    frames = np.stack([draw_head(), draw_head(), draw_head()])
    widths_mm = iter((6, 2, 4))

    class Sure:
        def measure(self, content):
            measured = measurer.measure(content)
            head, half = measured.answer.head, next(widths_mm) / 2
            value = head.head_circumference_mm
            head = replace(
                head, head_circumference_interval_mm=Interval(0.9, value - half, value + half)
            )
            return replace(measured, answer=replace(measured.answer, head=head))

    made = measure(write(tmp_path, to_ultrasound(frames)), Sure())
    region = find(read(made.reports["tid1500"]), "111030")[0]
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 2


@pytest.mark.parametrize(
    ("frames", "most", "expected"),
    [
        (1, 9, [0]),
        (4, 9, [0, 1, 2, 3]),
        (9, 9, list(range(9))),
        (100, 1, [50]),
        (100, 4, [12, 37, 62, 87]),
    ],
)
def test_frames_are_chosen_at_equal_distances(frames, most, expected):
    assert choose_frames(frames, most) == expected


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (to_ultrasound(StudyInstanceUID=None), "dicom-header-unusable"),
        (to_ultrasound(PhotometricInterpretation="XYZ"), "unsupported-media-type"),
    ],
)
def test_image_that_can_never_be_reported_is_named(tmp_path, measurer, source, code):
    with pytest.raises(NeverError, match=code):
        measure(write(tmp_path, source), measurer)


def test_damaged_file_is_given_up(tmp_path, measurer):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(NeverError, match="unreadable-image"):
        measure(path, measurer)


# --- through a service ---------------------------------------------------------------------------


def to_remote(answer):
    retries = RetryPolicy(most_attempts=1)
    transport = httpx.MockTransport(answer)
    return RemoteMeasurer(HeadcircClient("http://test", retries=retries, transport=transport))


def to_problem(status, code):
    facts = {"code": code, "detail": "why", "request_id": "r"}
    headers = {"content-type": "application/problem+json"}
    return lambda _: httpx.Response(status, json=facts, headers=headers)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "unreadable-image"), (413, "image-too-large"), (415, "unsupported-media-type"),
     (422, "invalid-frame")],
)  # fmt: skip
def test_refusal_of_the_file_is_final(status, code):
    with pytest.raises(NeverError, match=code):
        to_remote(to_problem(status, code)).measure(b"")


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "unauthorized"), (404, "not-found"), (429, "overloaded"), (500, "internal-error"),
     (503, "not-ready"), (504, "timeout")],
)  # fmt: skip
def test_refusal_that_may_pass_is_tried_again(status, code):
    """A wrong key is the operator's to repair; the image waits for that."""
    with pytest.raises(LaterError, match=code):
        to_remote(to_problem(status, code)).measure(b"")


def test_service_that_does_not_answer_is_tried_again():
    def fail(request):
        raise httpx.ConnectError("no")

    with pytest.raises(LaterError, match="service-unreachable"):
        to_remote(fail).measure(b"")


def test_service_gives_the_same_reports_as_a_model_here(tmp_path, measurer):
    """Same instances, same circumference, same mask."""
    path = write(tmp_path)
    with serve_synthetic() as url, HeadcircClient(url) as client:
        made = measure(path, RemoteMeasurer(client)).reports
    local = measure(path, measurer).reports
    assert {k: v.sop_instance_uid for k, v in made.items()} == {
        k: v.sop_instance_uid for k, v in local.items()
    }
    numbers = [read_number(find(read(each["tid1500"]), "11984-2")[0]) for each in (made, local)]
    assert numbers[0] == numbers[1]
    masks = [read(each["seg"]).pixel_array for each in (made, local)]
    assert (masks[0] == masks[1]).all()
    expected = np.pi * HEAD.semi_axis_major_px * HEAD.semi_axis_minor_px
    assert (masks[0] > 0).sum() == pytest.approx(expected, rel=0.01)
    pictures = [read(each["capture"]).pixel_array for each in (made, local)]
    assert (pictures[0] == pictures[1]).all()
