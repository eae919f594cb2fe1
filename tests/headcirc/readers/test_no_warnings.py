import struct

import numpy as np
import pytest
from PIL import Image

from headcirc.errors import UnreadableImageError
from headcirc.readers import decode_frame
from tests.headcirc.readers.test_decode import make_bmp, to_png_chunk
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file
from tests.support.tiff_files import GREY, LONG, RATIONAL, SIDE_PX, make_tiff

HEAD = draw_head(SMALL_HEAD, rows=54, columns=80)
PIXELS = bytes(range(SIDE_PX**2))
DESCRIPTION, ROWS_PER_STRIP, RESOLUTION = 270, 278, 282
TURNED_AND_CUT_OFF = b"Exif\0\0MM\0*" + struct.pack(">IHHHI", 8, 9, 0x0112, 3, 1) + b"\0\6\0\0"
HEADER_END = 33


def put_animation(png: bytes, *frames: int, at: int = HEADER_END) -> bytes:
    """Return a PNG with an animation chunk for each of these numbers of frames."""
    chunks = b"".join(to_png_chunk(b"acTL", struct.pack(">II", each, 0)) for each in frames)
    return png[:at] + chunks + png[at:]


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({DESCRIPTION: (LONG, 1_000)}, id="longer-than-the-file"),
        pytest.param({DESCRIPTION: (LONG, 60), RESOLUTION: (RATIONAL, 1)}, id="out-of-the-file"),
        pytest.param({ROWS_PER_STRIP: (LONG, 2)}, id="two-numbers-for-one"),
    ],
)
def test_tiff_tag_that_pillow_skips_raises_no_warning(tags):
    """Such a tag does not keep a TIFF from being read; every warning is an error in the tests."""
    data = struct.pack("<II", SIDE_PX, SIDE_PX) + bytes(SIDE_PX**2)
    assert (decode_frame(make_tiff(GREY | tags, data)).pixels.shape) == (SIDE_PX, SIDE_PX)


@pytest.mark.parametrize("frames", [(0,), (1, 1), (2**31 + 1,)])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_png_with_an_invalid_animation_is_a_still_image(frames, mode):
    """Pillow reads it as a still image, too."""
    png = to_file(Image.fromarray(HEAD).convert(mode))
    for at in (HEADER_END, len(png) - 12):
        assert np.array_equal(decode_frame(put_animation(png, *frames, at=at)).pixels, HEAD)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_orientation_of_a_cut_off_exif_block_is_applied(format_name):
    """The tags before the cut count, as in Pillow."""
    picture = Image.fromarray(HEAD).convert("RGB")
    content = to_file(picture, format_name, exif=TURNED_AND_CUT_OFF)
    assert decode_frame(content).pixels.shape == HEAD.shape[::-1]


def put_images_index(jpeg: bytes, *entries: tuple[int, int, int, bytes]) -> bytes:
    """Return a JPEG with a multi-picture index of these tags, kinds, counts and values."""
    listed = b"".join(struct.pack(">HHI4s", *each) for each in entries)
    body = b"MPF\0MM\0*" + struct.pack(">IH", 8, len(entries)) + listed + bytes(4)
    return jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param((), id="empty"),
        pytest.param(((0xB001, 4, 1, b"\0\0\0\2"),), id="no-list"),
        pytest.param(
            ((0xB001, 4, 1, b"\0\0\0\2"), (0xB002, 7, 32, b"\0\0\1\0")),
            id="list-cut-off",
        ),
    ],
)
def test_jpeg_with_a_malformed_index_of_images_is_one_image(entries):
    """Only an index that can be read lists further images."""
    content = put_images_index(to_file(HEAD, "JPEG"), *entries)
    assert decode_frame(content).pixels.shape == HEAD.shape


def test_bmp_that_is_cut_off_writes_nothing_to_the_error_stream(capfd):
    """Colours or pixels that are missing are found before OpenCV decodes."""
    samples = np.zeros((16, 16), np.uint8)
    whole = make_bmp(samples, range(256))
    for content in (whole[:-1], whole[:300], whole[:46] + b"\xff" * 4 + whole[50:]):
        with pytest.raises(UnreadableImageError):
            decode_frame(content)
    assert capfd.readouterr().err == ""
