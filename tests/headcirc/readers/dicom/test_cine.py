import io
import tracemalloc

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from headcirc.errors import ImageTooLargeError, UnreadableImageError, UnsupportedMediaTypeError
from headcirc.readers import decode_frame
from headcirc.readers.dicom.cine import DicomCine
from headcirc.readers.reader import ReadOptions
from tests.support.cines import COLUMNS, ROWS, draw_frames
from tests.support.dicom_files import ENCODERS, make_dicom, make_region

FRAMES = draw_frames(5, growth=0.05)


def open_cine(content):
    return DicomCine(io.BytesIO(content), ReadOptions())


def read_all(content):
    return [each.read() for each in open_cine(content)]


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, *ENCODERS])
def test_frames_in_turn_are_those_that_are_read_alone(syntax):
    """A cine that is read in turn gives the pixels that each frame gives when it is asked for."""
    encode = ENCODERS.get(syntax)
    encoded = None if encode is None else [encode(each) for each in FRAMES]
    content = make_dicom(FRAMES, syntax=syntax, encoded=encoded)
    for index, frame in enumerate(read_all(content)):
        alone = decode_frame(content, frame_index=index)
        assert np.array_equal(frame.pixels, alone.pixels)
        assert frame.source.frame_index == index
        assert frame.source.frames == len(FRAMES)


def test_only_the_region_with_the_picture_is_read_and_it_has_its_pixel_size():
    """Screen texts around a region do not reach the network."""
    regions = [make_region((10, 8, COLUMNS - 11, ROWS - 9))]
    frames = read_all(make_dicom(FRAMES, regions=regions))
    assert all(each.pixels.shape == (ROWS - 16, COLUMNS - 20) for each in frames)
    assert all(each.calibrations[0].spacing.column_mm == pytest.approx(0.13) for each in frames)


def test_each_frame_has_its_own_pixel_size_where_the_file_states_one():
    """Functional groups of a frame come before those of the object."""
    groups = []
    for index in range(len(FRAMES)):
        measures, group = Dataset(), Dataset()
        measures.PixelSpacing = [0.1 + 0.01 * index] * 2
        group.PixelMeasuresSequence = Sequence([measures])
        groups.append(group)
    frames = read_all(make_dicom(FRAMES, PerFrameFunctionalGroupsSequence=Sequence(groups)))
    sizes_mm = [each.calibrations[0].spacing.row_mm for each in frames]
    assert sizes_mm == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14])


@pytest.mark.parametrize(
    ("changes", "times_ms"),
    [
        ({"FrameTime": 40}, [0, 40, 80, 120, 160]),
        ({"FrameTimeVector": [0, 10, 20, 10, 10]}, [0, 10, 30, 40, 50]),
        ({"CineRate": 50}, [0, 20, 40, 60, 80]),
        ({"RecommendedDisplayFrameRate": 25}, [0, 40, 80, 120, 160]),
        ({"FrameTime": -40}, [None] * 5),
        ({}, [None] * 5),
    ],
)
def test_times_come_from_the_header(changes, times_ms):
    """Whatever attribute a device fills; nothing is made up where none is filled."""
    content = make_dicom(FRAMES, **changes)
    assert [each.time_ms for each in open_cine(content)] == times_ms


def test_a_damaged_frame_does_not_end_the_cine():
    """The frames after it are read."""
    encoded = [ENCODERS[uid.JPEGBaseline8Bit](each) for each in FRAMES]
    encoded[2] = encoded[2][: len(encoded[2]) // 3]
    content = make_dicom(FRAMES, syntax=uid.JPEGBaseline8Bit, encoded=encoded)
    read = []
    for each in open_cine(content):
        try:
            read.append(each.read().source.frame_index)
        except UnreadableImageError:
            read.append(None)
    assert read == [0, 1, None, 3, 4]


def test_a_file_that_was_cut_off_is_refused():
    """Uncompressed frames are counted before the first one is decoded."""
    content = make_dicom(FRAMES)[:-1000]
    with pytest.raises(UnreadableImageError):
        read_all(content)


def test_fewer_encoded_frames_than_stated_are_refused():
    """The fragments and the number of frames contradict each other."""
    encoded = [ENCODERS[uid.RLELossless](each) for each in FRAMES]
    content = make_dicom(FRAMES, syntax=uid.RLELossless, encoded=encoded, NumberOfFrames=9)
    with pytest.raises(UnreadableImageError):
        read_all(content)


def test_a_huge_number_of_frames_is_refused_unread():
    """A header of a few bytes can state two thousand million frames."""
    with pytest.raises(ImageTooLargeError, match="2,000,000,000 frames"):
        open_cine(make_dicom(FRAMES, NumberOfFrames=2_000_000_000))


def test_millions_of_empty_fragments_are_refused():
    """Each costs eight bytes of the file and some microseconds."""
    empty = b"\xfe\xff\x00\xe0" + bytes(4)
    data = empty + empty * 300_000 + b"\xfe\xff\xdd\xe0" + bytes(4)
    encoded = make_dicom(
        FRAMES, syntax=uid.RLELossless, encoded=[ENCODERS[uid.RLELossless](each) for each in FRAMES]
    )
    start = encoded.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    with pytest.raises(ImageTooLargeError):
        read_all(encoded[:start] + data)


def test_an_encoding_that_is_not_read_is_named():
    """As for a single frame."""
    content = make_dicom(FRAMES, syntax=uid.MPEG2MPML, encoded=[b"\0\0\1\xb3"] * len(FRAMES))
    with pytest.raises(UnsupportedMediaTypeError, match="MPEG2"):
        read_all(content)


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    """Ten times as many frames take the memory of one."""

    def measure_peak_bytes(count):
        path = tmp_path / f"{count}.dcm"
        path.write_bytes(make_dicom([FRAMES[0]] * count))
        with path.open("rb") as stream:
            tracemalloc.start()
            for each in DicomCine(stream, ReadOptions()):
                each.read()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    measure_peak_bytes(2)  # imports, caches
    few, many = measure_peak_bytes(20), measure_peak_bytes(200)
    assert many < few + 10 * FRAMES[0].nbytes
