import time
import zlib

import cv2
import numpy as np
import pytest

from headcirc.errors import UnreadableImageError
from headcirc.readers import decode_frame
from headcirc.readers.png import to_bare_png
from tests.headcirc.readers.test_decode import to_grey_png, to_png_chunk
from tests.support.mutations import make_overfull_png
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file

GREY = draw_head(SMALL_HEAD, rows=54, columns=80)
COLOUR = np.dstack([GREY, GREY, GREY])
HEADER_END = 33


def put_chunk(pixels, name, body):
    """Return a PNG with one more chunk behind its header."""
    content = to_file(pixels, "PNG")
    return content[:HEADER_END] + to_png_chunk(name, body) + content[HEADER_END:]


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"tEXt", b"Software\0a scanner"),
        (b"tEXt", b"no zero, and much longer than a keyword may be" * 9),
        (b"zTXt", b"Comment\0\0not compressed"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
        (b"iCCP", b"name\0\0not a profile"),
        (b"sBIT", b"\x09"),
        (b"sRGB", b"\x07"),
        (b"PLTE", bytes(6)),
        (b"pHYs", bytes(9)),
    ],
)
def test_what_stands_beside_the_pixels_is_left_out(pixels, name, body, capfd):
    """However odd it is; nothing is written to the standard error stream."""
    content = put_chunk(pixels, name, body)
    assert to_bare_png(content) == to_file(pixels, "PNG")
    assert np.array_equal(decode_frame(content).pixels, GREY)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"tEXt", b"exif\0"),
        (b"zTXt", b"Raw profile type APP1 EXIF\0"),
        (b"iTXt", b"XML:com.adobe.xmp\0"),
        (b"eXIf", b"MM"),
        (b"tRNS", bytes(2)),
        (b"acTL", bytes(8)),
    ],
)
def test_what_may_turn_or_change_the_picture_is_not_left_out(name, body):
    """Such files go the slow way, where it is read."""
    assert to_bare_png(put_chunk(GREY, name, body)) is None


def test_a_chunk_that_must_be_known_is_refused():
    """A capital letter says that the pixels cannot be read without it."""
    with pytest.raises(UnreadableImageError):
        decode_frame(put_chunk(GREY, b"ABCD", b""))


def test_other_kinds_of_file_have_no_bare_form():
    """16 bits, a palette, and what is no PNG."""
    for content in (to_file(GREY.astype(np.uint16) * 257, "PNG"), to_file(GREY, "BMP"), b""):
        assert to_bare_png(content) is None


FILTERS = {
    name: getattr(cv2, f"IMWRITE_PNG_FILTER_{name}")
    for name in ("NONE", "SUB", "UP", "AVG", "PAETH")
}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("row_filter", FILTERS.values(), ids=FILTERS)
def test_every_filter_of_rows_gives_the_stored_values(row_filter, channels):
    """HC18's rows have Paeth's filter; other encoders choose others."""
    samples = np.random.default_rng(7).integers(0, 256, (67, 91, channels), dtype=np.uint8)
    samples[..., 1:3] = samples[..., :1]  # a grey picture
    _, content = cv2.imencode(".png", samples, [cv2.IMWRITE_PNG_FILTER, row_filter])
    assert np.array_equal(decode_frame(content.tobytes()).pixels, samples[..., 0])


ROWS = b"".join(b"\0" + row.tobytes() for row in GREY)


@pytest.mark.parametrize(
    "data",
    [
        zlib.compress(ROWS + b"more"),
        zlib.compress(ROWS) + b"after the end",
        zlib.compress(ROWS)[:-4] + bytes(4),
    ],
    ids=["more rows", "bytes after", "wrong Adler-32"],
)
def test_what_follows_the_rows_changes_nothing(data):
    """All rows are there, and the chunk's checksum is right."""
    assert np.array_equal(decode_frame(to_grey_png(*GREY.shape, data)).pixels, GREY)


def test_data_after_the_last_row_are_not_decompressed():
    """10 MB that would become 10 GB take no longer than their checksum."""
    content = make_overfull_png()
    began_s = time.process_time()
    assert decode_frame(content).pixels.shape == (54, 80)
    assert time.process_time() - began_s < 1
