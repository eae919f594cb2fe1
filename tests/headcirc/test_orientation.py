import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from headcirc.decode import decode_frame
from tests.synthetic import SMALL_HEAD, draw_head, to_file

GREY = draw_head(SMALL_HEAD, rows=54, columns=80)


def test_exif_orientation_is_applied():
    """A picture stored on its side stands upright, with rows and columns exchanged."""
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise to show
    frame = decode_frame(to_file(GREY, "JPEG", exif=exif, quality=95))
    assert frame.pixels.shape == (80, 54)
    assert np.abs(frame.pixels.astype(int) - np.rot90(GREY, -1)).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(orientation):
    """Turned and mirrored, in all formats that tell, TIFF too."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(to_file(stored, exif=exif))))
    for picture, format_name in ((stored, "PNG"), (stored.convert("RGB"), "PNG"), (stored, "TIFF")):
        frame = decode_frame(to_file(picture, format_name, exif=exif))
        assert np.array_equal(frame.pixels, np.asarray(expected))


def to_exif(*entries):
    """Return an EXIF block whose directory has these tags, kinds, counts and values."""
    listed = b"".join(struct.pack(">HHII", *each) for each in entries)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + listed + bytes(4)


def test_orientation_is_applied_beside_tags_of_the_wrong_kind():
    """A camera's name that is a fraction is nothing to refuse a whole picture for."""
    exif = to_exif((0x0112, 3, 1, 6 << 16), (0x0110, 5, 1, 8))
    assert decode_frame(to_file(GREY, "JPEG", exif=exif)).pixels.shape == (80, 54)


@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0neither II nor MM", to_exif((0x0112, 3, 1, 9 << 16)), to_exif((0x0112, 2, 2, 6))],
)
def test_exif_that_says_no_orientation_turns_nothing(exif):
    """Unreadable, or no number from 1 to 8: the pixels are seen as they are stored."""
    assert decode_frame(to_file(GREY, "JPEG", exif=exif)).pixels.shape == (54, 80)
