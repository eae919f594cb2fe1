import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from headcirc.readers import decode_frame
from tests.headcirc.readers.test_decode import to_png_chunk
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file

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


TURNED_XMP = b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>'
TURNED_EXIF = (
    b"\nexif\n26\n"
    + (b"Exif\0\0" + struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0))
    .hex()
    .encode()
)


@pytest.mark.parametrize(
    ("chunk", "shape"),
    [
        pytest.param((b"tEXt", b"Raw profile type exif\0" + TURNED_EXIF), (80, 54), id="exif"),
        pytest.param((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + TURNED_XMP), (80, 54), id="xmp"),
        pytest.param((b"tEXt", b"date:create\x002026-11-28"), (54, 80), id="date"),
        pytest.param((b"iTXt", b"Software\0\0\0\0\0exif"), (54, 80), id="software"),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_text_in_a_png_turns_it_only_if_it_says_so(chunk, shape, mode):
    """Image editors keep an orientation in texts of certain names."""
    content = to_file(Image.fromarray(GREY).convert(mode), "PNG")
    with_text = content[:33] + to_png_chunk(*chunk) + content[33:]
    expected = GREY if shape == GREY.shape else np.rot90(GREY, -1)
    assert np.array_equal(decode_frame(with_text).pixels, expected)
