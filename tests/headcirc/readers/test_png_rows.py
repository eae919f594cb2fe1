import struct
import zlib

import cv2
import numpy as np
import pytest

from headcirc.errors import UnreadableImageError
from headcirc.readers import decode_frame, png_rows
from headcirc.readers.png import HEADER, count_row_bytes
from headcirc.readers.png_rows import store_rows
from tests.headcirc.readers.test_decode import to_png_chunk
from tests.support.synthetic import draw_head, to_file

GREY = draw_head(rows=270, columns=400)
HEAD, TAIL = slice(0, 33), to_png_chunk(b"IEND", b"")


def to_png(compressed: bytes, pieces: int = 1) -> bytes:
    """Return a PNG of GREY's size with these data, in a number of chunks."""
    step = -(-len(compressed) // pieces)
    chunks = [
        to_png_chunk(b"IDAT", compressed[at : at + step]) for at in range(0, len(compressed), step)
    ]
    return to_file(GREY, "PNG")[HEAD] + b"".join(chunks) + TAIL


def to_rows(pixels) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def store(content: bytes) -> bytes:
    return store_rows(content, count_row_bytes(content[HEADER]))


@pytest.mark.parametrize("pieces", [1, 7])
def test_rows_are_stored_unchanged(pieces):
    """The new file is longer, and any decoder reads the same picture from it."""
    content = to_png(zlib.compress(to_rows(GREY)), pieces)
    stored = store(content)
    assert len(stored) > GREY.size
    for each in (content, stored):
        found = cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(found, GREY)
    assert np.array_equal(decode_frame(content).pixels, GREY)


def test_filters_and_colour_are_left_to_the_decoder():
    """A file as an encoder writes it, with filtered rows of three samples."""
    colour = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])
    content = to_file(colour, "PNG")
    stored = store(content)
    assert stored != content
    same = [cv2.imdecode(np.frombuffer(each, np.uint8), -1) for each in (content, stored)]
    assert np.array_equal(*same)


@pytest.mark.parametrize(
    "data",
    [
        zlib.compress(to_rows(GREY))[:-4],
        zlib.compress(to_rows(GREY)[:-1]),
        zlib.compress(to_rows(GREY) + b"more"),
        zlib.compress(to_rows(GREY)) + b"after the end",
        zlib.compress(to_rows(GREY))[:-4] + struct.pack(">I", 1),
        b"not compressed",
    ],
    ids=["no checksum", "a byte less", "more rows", "bytes after", "wrong checksum", "garbage"],
)
def test_unusual_data_are_left_as_they_are(data):
    """The decoder alone decides what it accepts."""
    content = to_png(data)
    assert store(content) is content


def test_missing_rows_are_refused_as_before():
    with pytest.raises(UnreadableImageError):
        decode_frame(to_png(zlib.compress(to_rows(GREY)[:-801])))


def test_large_picture_and_missing_library_change_nothing(monkeypatch):
    """Without ISA-L, or with many rows, OpenCV decompresses."""
    content = to_file(GREY, "PNG")
    monkeypatch.setattr(png_rows, "MOST_BYTES", 1_000)
    assert store(content) is content
    monkeypatch.undo()
    monkeypatch.setattr(png_rows, "isal_zlib", None)
    assert store(content) is content
    assert np.array_equal(decode_frame(content).pixels, GREY)
