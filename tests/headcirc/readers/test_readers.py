from types import SimpleNamespace

import numpy as np
import pytest

from headcirc.errors import ImageTooLargeError
from headcirc.geometry import CalibratedRegion, Frame, PixelSpacing
from headcirc.readers import decode, decode_frame
from tests.headcirc.readers.test_decode import make_bmp
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file

HEAD = draw_head(SMALL_HEAD, rows=54, columns=80)
FILES = {
    "PNG": to_file(HEAD),
    "JPEG": to_file(HEAD, "JPEG"),
    "BMP": make_bmp(HEAD, range(256)),
    "TIFF": to_file(HEAD, "TIFF"),
    "WEBP": to_file(HEAD, "WEBP"),
}
SIDES_AT = 24
"""In a WebP that starts with the chunk VP8X."""


@pytest.mark.parametrize("name", FILES)
def test_exactly_one_reader_recognises_a_file(name):
    """The order of the list then decides nothing."""
    names = [reader.NAME for reader in decode.READERS if reader.recognises(FILES[name])]
    assert names == [name]
    assert [reader.NAME for reader in decode.READERS if reader.recognises(b"")] == []


def read_cine(content, options):
    """Return the frame of a number, with a scale of its own."""
    index = options.frame_index or 0
    spacing = PixelSpacing(0.1 * (index + 1), 0.1)
    pixels = np.full((4, 6), content[4 + index], np.uint8)
    return Frame(pixels, (CalibratedRegion(0, 0, 5, 3, spacing, source="dicom"),))


def test_reader_of_several_calibrated_frames_only_joins_the_list(monkeypatch):
    """It gets the options as they are, and its frames keep their own calibration."""
    cine = SimpleNamespace(
        NAME="CINE", recognises=lambda content: content.startswith(b"cine"), read=read_cine
    )
    monkeypatch.setattr(decode, "READERS", (*decode.READERS, cine))
    frame = decode_frame(b"cine\x05\x06\x07", frame_index=2)
    assert np.unique(frame.pixels).tolist() == [7]
    assert frame.calibrations[0].spacing.row_mm == pytest.approx(0.3)


def test_webp_that_states_a_huge_canvas_is_refused_before_it_is_opened():
    """Pillow allocates the whole canvas, of up to two gigabytes, when it opens the file."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0"
    content = bytearray(to_file(HEAD, "WEBP", exif=exif))
    assert content[12:16] == b"VP8X"
    content[SIDES_AT : SIDES_AT + 6] = b"\xfe\x3f\0" * 2
    with pytest.raises(ImageTooLargeError, match="16383 x 16383"):
        decode_frame(bytes(content))
