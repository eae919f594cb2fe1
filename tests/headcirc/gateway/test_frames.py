import io
import subprocess
import sys

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from headcirc.errors import ImageTooLargeError, UnreadableImageError
from headcirc.gateway import frames as frames_module
from headcirc.gateway.frames import open_received
from headcirc.readers import decode_frame
from tests.support.dicom_sources import to_dicom_file, to_ultrasound
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file

FRAMES = np.stack([np.full((60, 80), 40 * number, np.uint8) for number in range(4)])


def write(path, source):
    path.write_bytes(to_dicom_file(source))
    return path


def test_single_frame_is_the_file_itself(tmp_path):
    path = write(tmp_path / "a.dcm", to_ultrasound())
    received = open_received(path)
    assert received.frames == 1
    assert received.read_frame(0) == path.read_bytes()


@pytest.mark.parametrize("index", [0, 2, 3])
def test_native_frame_becomes_a_file_of_its_own(tmp_path, index):
    received = open_received(write(tmp_path / "cine.dcm", to_ultrasound(FRAMES)))
    assert received.frames == 4
    frame = decode_frame(received.read_frame(index))
    assert (frame.pixels == FRAMES[index]).all()
    assert frame.source.frames == 1


def test_header_stays_with_the_frame(tmp_path):
    received = open_received(write(tmp_path / "cine.dcm", to_ultrasound(FRAMES)))
    header = decode_frame(received.read_frame(1)).source.header
    assert header.PatientID == "P-1"
    assert header.SequenceOfUltrasoundRegions[0].PhysicalUnitsXDirection == 3


@pytest.mark.parametrize("has_offsets", [True, False])
def test_compressed_frame_becomes_a_file_of_its_own(tmp_path, has_offsets):
    """With a table of offsets and without one, as old scanners write it."""
    encoded = [
        to_file(draw_head(SMALL_HEAD, rows=60, columns=80) // (n + 1), "JPEG") for n in range(3)
    ]
    source = to_ultrasound(FRAMES[:3])
    source.PixelData = encapsulate(encoded, has_bot=has_offsets)
    source["PixelData"].is_undefined_length = True
    path = write(tmp_path / "cine.dcm", source)
    read = dcmread(path)
    read.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    read.save_as(path)
    received = open_received(path)
    for index, each in enumerate(encoded):
        expected = decode_frame(each).pixels
        assert np.abs(decode_frame(received.read_frame(index)).pixels - expected).max() <= 1


def test_colour_frames_are_found(tmp_path):
    source = to_ultrasound(FRAMES)
    colours = np.random.default_rng(0).integers(0, 256, (4, 60, 80, 3), np.uint8)
    source.SamplesPerPixel, source.PhotometricInterpretation = 3, "RGB"
    source.PlanarConfiguration = 0
    source.PixelData = colours.tobytes()
    received = open_received(write(tmp_path / "cine.dcm", source))
    single = dcmread(io.BytesIO(received.read_frame(2)))
    assert (single.pixel_array == colours[2]).all()


def test_memory_does_not_grow_with_the_cine(tmp_path):
    """A frame of a 200 MB cine is read with less than 20 MB more than the imports take."""
    path, side, frames = tmp_path / "cine.dcm", 1000, 200
    short = np.zeros((2, side, side), np.uint8)
    content = to_dicom_file(to_ultrasound(short, NumberOfFrames=frames))
    length = content.index((2 * side * side).to_bytes(4, "little"), 256)
    content = (
        content[:length] + (frames * side * side).to_bytes(4, "little") + content[length + 4 :]
    )
    path.write_bytes(content)
    with path.open("ab") as file:  # a file with a hole: it takes no room on the disk
        file.truncate(len(content) + (frames - 2) * side * side)
    code = f"""
import resource
from pathlib import Path
from headcirc.gateway.frames import open_received
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
received = open_received(Path({str(path)!r}))
assert received.frames == {frames}
assert len(received.read_frame({frames - 1})) > {side * side}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000


@pytest.mark.parametrize("frames", ["0", "-1", "99999999"])
def test_impossible_number_of_frames_is_refused(tmp_path, frames):
    path = write(tmp_path / "cine.dcm", to_ultrasound(FRAMES, NumberOfFrames=frames))
    with pytest.raises(UnreadableImageError):
        open_received(path).read_frame(0)


def test_cine_that_is_cut_off_is_refused(tmp_path):
    path = write(tmp_path / "cine.dcm", to_ultrasound(FRAMES))
    path.write_bytes(path.read_bytes()[:-100])
    received = open_received(path)
    with pytest.raises(UnreadableImageError):
        received.read_frame(3)


def test_file_that_is_not_dicom_is_refused(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"no DICOM at all" * 100)
    with pytest.raises(UnreadableImageError):
        open_received(path)


def test_single_frame_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(frames_module, "MOST_FRAME_BYTES", 100)
    with pytest.raises(ImageTooLargeError):
        open_received(write(tmp_path / "a.dcm", to_ultrasound())).read_frame(0)


def test_missing_file_is_not_called_damaged(tmp_path):
    """The disk may be at fault; the image must not be given up."""
    with pytest.raises(FileNotFoundError):
        open_received(tmp_path / "absent.dcm")
