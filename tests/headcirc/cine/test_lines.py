import io
import threading
from contextlib import closing

import pytest

from headcirc.cine.lines import measure_cine
from headcirc.errors import (
    PixelSizeConflictError,
    ScaleBarError,
    UnreadableImageError,
    UnsupportedMediaTypeError,
)
from headcirc.geometry import PixelSpacing, ScaleMarks
from tests.support.cines import (
    COLUMNS,
    MM_PER_PX,
    ROWS,
    draw_empty,
    draw_frames,
    to_circumference_mm,
    write_video,
)
from tests.support.dicom_files import make_dicom, make_region
from tests.support.synthetic import to_file, to_synthetic_pipeline

FRAMES = draw_frames(7)
SPACING = PixelSpacing(MM_PER_PX, MM_PER_PX)
MIDDLE_MM = to_circumference_mm(3)


def measure(*contents, **options):
    streams = [io.BytesIO(each) for each in contents]
    with closing(measure_cine(to_synthetic_pipeline(), streams, **options)) as lines:
        return list(lines)


def to_dicom(frames=FRAMES, **changes):
    delta = (MM_PER_PX / 10, MM_PER_PX / 10)
    region = make_region((0, 0, COLUMNS - 1, ROWS - 1), delta)
    return make_dicom(frames, regions=[region], FrameTime=50, **changes)


def require_middle(lines, *, frames=7):
    """Check the lines of heads that grow slowly around a known circumference."""
    start, *measured, found = lines
    assert (start.type, start.frames) == ("start", frames)
    assert [each.frame for each in measured] == list(range(frames))
    assert found.head_circumference_mm == pytest.approx(MIDDLE_MM, rel=0.01)
    assert (found.frames, found.frames_agreeing) == (frames, 7)
    return measured, found


def test_a_dicom_cine_has_its_own_pixel_size_and_times():
    measured, _ = require_middle(measure(to_dicom()))
    assert [each.time_ms for each in measured] == [50.0 * index for index in range(7)]
    assert all(each.image.pixel_size_source == "dicom" for each in measured)
    assert [each.image.dicom.frame for each in measured] == list(range(7))


@pytest.mark.parametrize(("name", "codec"), [("cine.mp4", "mp4v"), ("cine.avi", "MJPG")])
def test_a_video_needs_a_stated_pixel_size(tmp_path, name, codec):
    """Without one every frame has pixels, and the summary has no number."""
    content = write_video(tmp_path / name, FRAMES, codec=codec).read_bytes()
    require_middle(measure(content, pixel_spacing=SPACING))
    found = measure(content)[-1]
    assert (found.head_circumference_mm, found.code) == (None, "pixel-size-missing")
    assert found.frames_with_head == 7


def test_pictures_are_a_cine_too():
    """In the order in which they are given; one that is damaged costs itself."""
    files = [to_file(each) for each in FRAMES]
    require_middle(measure(*files, pixel_spacing=SPACING))
    damaged = [*files[:3], files[3][:60], *files[3:]]
    measured, found = require_middle(measure(*damaged, pixel_spacing=SPACING), frames=8)
    assert measured[3].error.code == "unreadable-image"
    assert found.frames_unreadable == 1


def test_frames_without_a_head_do_not_count():
    lines = measure(to_dicom([draw_empty(), *FRAMES, draw_empty()]))
    _, found = require_middle(lines, frames=9)
    assert (found.frames_with_head, found.frames_measured) == (7, 7)


def test_a_pixel_size_against_the_files_own_is_refused():
    with pytest.raises(PixelSizeConflictError):
        measure(to_dicom(), pixel_spacing=PixelSpacing(0.3, 0.3))


def test_a_depth_scale_that_is_not_there_is_refused():
    """The caller said that there is one."""
    with pytest.raises(ScaleBarError):
        measure(*[to_file(each) for each in FRAMES], pixel_spacing=ScaleMarks(10.0))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnreadableImageError),
        (b"no picture", UnsupportedMediaTypeError),
        (to_dicom()[:-2000], UnreadableImageError),
        (b"\0\0\0\x14ftypmp42" + bytes(100), UnreadableImageError),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_before_any_line(content, error):
    lines = measure_cine(to_synthetic_pipeline(), [io.BytesIO(content)])
    with closing(lines), pytest.raises(error):
        next(lines)


def test_nothing_is_left_running_when_the_caller_stops(tmp_path):
    """Threads and the decoder's process end with the iterator."""
    before = threading.active_count()
    path = write_video(tmp_path / "cine.mp4", FRAMES)
    with path.open("rb") as stream:
        lines = measure_cine(to_synthetic_pipeline(), [stream])
        next(lines)
        lines.close()
    assert threading.active_count() == before
