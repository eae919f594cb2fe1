import struct
import zlib

import pytest
from PIL import Image

from headcirc.errors import ImageTooLargeError, InvalidFrameError, UnreadableImageError
from headcirc.readers import decode_frame
from headcirc.readers.limits import MAXIMUM_ELEMENTS
from tests.headcirc.readers.test_decode import to_png_chunk
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file
from tests.support.tiff_files import (
    DATA,
    GREY,
    LONG,
    RATIONAL,
    SIDE_PX,
    make_chained_tiff,
    make_tiff,
    make_tiled_tiff,
)

HEAD = draw_head(SMALL_HEAD, rows=54, columns=80)
PIXELS = bytes(range(SIDE_PX**2))
BYTE = 1


def put_png_chunks(mode: str, chunks: int) -> bytes:
    """Return a PNG with empty chunks after its header."""
    png = to_file(Image.fromarray(HEAD).convert(mode))
    return png[:33] + to_png_chunk(b"abCd", b"") * chunks + png[33:]


def put_jpeg_bytes(these: bytes) -> bytes:
    """Return a JPEG with these bytes before its first segment."""
    jpeg = to_file(HEAD, "JPEG")
    return jpeg[:2] + these + jpeg[2:]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(put_png_chunks("L", MAXIMUM_ELEMENTS), id="png-chunks-grey"),
        pytest.param(put_png_chunks("RGB", MAXIMUM_ELEMENTS), id="png-chunks-colour"),
        pytest.param(put_jpeg_bytes(b"\xff\xfe\x00\x02" * MAXIMUM_ELEMENTS), id="jpeg-comments"),
        pytest.param(put_jpeg_bytes(b"\xff" * MAXIMUM_ELEMENTS), id="jpeg-padding"),
        pytest.param(make_tiled_tiff(MAXIMUM_ELEMENTS + 1), id="tiff-tiles"),
        pytest.param(
            make_tiff(GREY | {282: (RATIONAL, MAXIMUM_ELEMENTS + 1)}, PIXELS), id="tiff-fractions"
        ),
        pytest.param(
            make_tiff(GREY | {273: (BYTE, MAXIMUM_ELEMENTS + 1)}, PIXELS), id="tiff-strips-of-bytes"
        ),
    ],
)
def test_file_in_too_many_pieces_is_refused(content):
    """Whatever the pieces are, the refusal says how many are accepted and what to do."""
    with pytest.raises(ImageTooLargeError, match=r"50,000 pieces .* Save it again"):
        decode_frame(content)


@pytest.mark.parametrize(
    "content",
    [
        put_png_chunks("L", 2_000),
        put_png_chunks("RGB", 2_000),
        put_jpeg_bytes(b"\xff\xfe\x00\x02" * 2_000),
    ],
)
def test_file_in_many_pieces_is_decoded(content):
    """A few thousand are what encoders write into a file of 10 MB."""
    assert decode_frame(content).pixels.shape == HEAD.shape


def test_highest_picture_may_have_a_strip_for_every_row():
    """So libtiff writes wide pictures."""
    rows = 32_766
    places = struct.pack("<I", 8) * rows
    strips = {256: 1, 257: rows, 278: 1, 273: (LONG, rows)}
    assert decode_frame(make_tiff(GREY | strips, places)).pixels.shape == (rows, 1)


def make_large_tile_tiff(side_px: int) -> bytes:
    """Return a TIFF whose picture is the corner of one compressed tile."""
    data = zlib.compress(bytes(side_px**2))
    tiles = {259: 8, 322: side_px, 323: side_px, 324: DATA, 325: len(data)}
    return make_tiff({tag: value for tag, value in GREY.items() if tag != 273} | tiles, data)


def test_tile_far_larger_than_the_picture_is_refused():
    """It would be decoded whole: 400 KB of file held a thread for ten seconds, and 400 MB."""
    with pytest.raises(ImageTooLargeError, match="tiles hold 512 x 512 pixels; at most 200,000"):
        decode_frame(make_large_tile_tiff(512), maximum_pixels=100_000)


def test_tile_larger_than_a_small_picture_is_decoded():
    """So many writers make tiles of one size, whatever the picture's."""
    assert decode_frame(make_large_tile_tiff(512)).pixels.shape == (SIDE_PX, SIDE_PX)


def test_chained_pictures_are_counted_without_being_read():
    """For which Pillow takes minutes; more of them than pieces may be are too many."""
    with pytest.raises(InvalidFrameError, match="holds 50,000 pictures"):
        decode_frame(make_chained_tiff(MAXIMUM_ELEMENTS))
    with pytest.raises(ImageTooLargeError, match=r"50,000 pieces"):
        decode_frame(make_chained_tiff(MAXIMUM_ELEMENTS + 1))


def test_chain_that_leads_out_of_the_file_is_damage():
    """A directory that is not there is no second picture."""
    content = make_chained_tiff(2)
    with pytest.raises(UnreadableImageError):
        decode_frame(content[: len(content) // 2 + 8])
