import re
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from headcirc.errors import UnreadableImageError, UnsupportedMediaTypeError
from headcirc.readers import decode_frame
from tests.headcirc.readers.test_decode import make_bmp, to_png_chunk
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file
from tests.support.tiff_files import GREY, LONG, SIDE_PX, make_tiff

ROWS, COLUMNS = 50, 60
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
HEAD = draw_head(SMALL_HEAD, rows=54, columns=80)
SIDE = 16
SAMPLES = np.random.default_rng(5).integers(0, 16, (SIDE, SIDE), np.uint8)


def join_png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these chunks and its end; every checksum is right."""
    parts = (to_png_chunk(*each) for each in (*chunks, (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def make_png(bits: int, colour: int, rows: int, extra: tuple[tuple[bytes, bytes], ...] = ()):
    """Return a PNG of ROWS x COLUMNS that holds so many rows."""
    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, bits, colour, 0, 0, 0)
    row = b"\0" + b"\x01" * (COLUMNS * bits * CHANNELS[colour] // 8)
    return join_png((b"IHDR", header), *extra, (b"IDAT", zlib.compress(row * rows)))


@pytest.mark.parametrize(
    ("bits", "colour", "extra"),
    [
        pytest.param(8, 2, (), id="colour"),
        pytest.param(16, 0, (), id="grey-16"),
        pytest.param(8, 3, ((b"PLTE", bytes(768)),), id="palette"),
        pytest.param(8, 4, (), id="grey-alpha"),
        pytest.param(8, 0, ((b"tEXt", b"Author\0none"),), id="grey-with-text"),
    ],
)
def test_png_without_its_last_rows_is_unreadable(bits, colour, extra):
    """Whole, it is decoded; without its last row, which Pillow would make black, it is refused."""
    assert decode_frame(make_png(bits, colour, ROWS, extra)).pixels.shape == (ROWS, COLUMNS)
    with pytest.raises(UnreadableImageError):
        decode_frame(make_png(bits, colour, ROWS - 1, extra))


@pytest.mark.parametrize("shape", [(54, 80), (1, 1), (3, 5), (9, 2)])
def test_interlaced_png_is_whole(shape):
    """Seven passes, some of them empty in small pictures, are counted as they are written."""
    rows, columns = shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 1)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2)]  # fmt: skip
    widths = [(-(-(columns - x) // dx), -(-(rows - y) // dy)) for x, y, dx, dy in passes]
    body = b"".join((b"\0" + b"\x50" * 3 * wide) * high for wide, high in widths if wide > 0)

    whole = join_png((b"IHDR", header), (b"IDAT", zlib.compress(body)))
    assert (decode_frame(whole).pixels == 0x50).all()
    with pytest.raises(UnreadableImageError):
        decode_frame(join_png((b"IHDR", header), (b"IDAT", zlib.compress(body[:-1]))))


def test_rows_behind_a_picture_are_not_inflated():
    """Once the picture is whole: 50 KB of file could be 50 MB, and 10 MB far more."""
    content = make_png(8, 2, ROWS + 300_000)
    tracemalloc.start()
    try:
        assert decode_frame(content).pixels.shape == (ROWS, COLUMNS)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


THUMBNAIL = b"Exif\0\0" + to_file(HEAD[:8, :8], "JPEG")


def cut_jpeg(content: bytes, share: float) -> bytes:
    """Return a JPEG with so much of its scan's data, and an end in good order."""
    start = content.rindex(b"\xff\xda")
    return content[: start + int(share * (len(content) - start))].rstrip(b"\xff") + b"\xff\xd9"


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 3}, {"exif": THUMBNAIL}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_jpeg_cut_off_and_closed_is_unreadable(mode, options, share):
    """Its end is in good order, and a decoder makes grey what the data do not reach."""
    whole = to_file(Image.fromarray(HEAD).convert(mode), "JPEG", **options)
    assert decode_frame(whole).pixels.shape == HEAD.shape
    with pytest.raises(UnreadableImageError):
        decode_frame(cut_jpeg(whole, share))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}])
def test_jpeg_that_ends_in_grey_is_whole(mode, options):
    """The very grey of what is missing may be meant: every pixel's data are there."""
    grey = HEAD.copy()
    grey[20:] = 128
    whole = to_file(Image.fromarray(grey).convert(mode), "JPEG", **options)
    assert decode_frame(whole).pixels[-1, -1] == 128


def to_restart_parts(content: bytes) -> list[bytes]:
    """Return a JPEG cut before each restart marker."""
    return re.split(rb"(?=\xff[\xd0-\xd7])", content)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("in_place", [b"", bytes(20)])
def test_jpeg_with_a_hole_is_unreadable(options, in_place):
    """Bytes that were lost from its first scan shift, or make grey, all that follows."""
    whole = to_file(HEAD, "JPEG", **options)
    hole = whole.index(b"\xff\xda") + 40
    with pytest.raises(UnreadableImageError):
        decode_frame(whole[:hole] + in_place + whole[hole + 20 :])


@pytest.mark.parametrize("lost", [1, 8])
def test_jpeg_that_lost_a_piece_between_restarts_is_unreadable(lost):
    """A decoder finds its place again at the next restart: the hole is grey, the rest is right."""
    parts = to_restart_parts(to_file(HEAD, "JPEG", restart_marker_blocks=3))
    assert len(parts) > 20
    assert decode_frame(b"".join(parts)).pixels.shape == HEAD.shape
    with pytest.raises(UnreadableImageError):
        decode_frame(b"".join(parts[:5] + parts[5 + lost :]))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content + b"junk" * 9, id="bytes-behind"),
        pytest.param(lambda content: content[:-2] + b"\x12\x34" + content[-2:], id="before-end"),
        pytest.param(lambda content: content[:-2] + b"\xff\xff" + content[-2:], id="fill"),
        pytest.param(lambda content: content[:11] + b"\x02" + content[12:], id="jfif-2"),
    ],
)
def test_jpeg_with_all_its_pixels_is_read_however_odd(change):
    """What devices write around the pixels, and headers of later versions, lose none."""
    whole = to_file(HEAD, "JPEG")
    assert whole[6:11] == b"JFIF\0"
    assert np.array_equal(decode_frame(change(whole)).pixels, decode_frame(whole).pixels)


@pytest.mark.parametrize("shape", [(54, 80), (540, 800)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_without_its_end_mark_is_unreadable(shape, options):
    """It was cut off, if only by two bytes; a finer scan may have been to follow."""
    rows, columns = shape
    whole = to_file(Image.fromarray(HEAD).resize((columns, rows)), "JPEG", **options)
    with pytest.raises(UnreadableImageError):
        decode_frame(whole[:-2])


def test_tiff_with_a_strip_too_few_is_unreadable():
    """Its directory is whole and says so of a picture that is not."""
    pixels = bytes(range(SIDE_PX**2))
    strips = GREY | {278: SIDE_PX // 2}
    places = {count: struct.pack(f"<{count}I", *range(8, 8 + count)) for count in (2, 3)}
    whole = make_tiff(strips | {273: (LONG, 2)}, places[2] + pixels)
    assert decode_frame(whole).pixels.shape == (SIDE_PX, SIDE_PX)
    with pytest.raises(UnreadableImageError):
        decode_frame(make_tiff(strips | {273: (LONG, 1)}, pixels))


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_tiff_of_jpeg_data_is_unsupported(capfd, share):
    """What its data do not reach is made grey, so a whole one is refused like half of one."""
    jpeg = cut_jpeg(to_file(HEAD[:SIDE_PX, :SIDE_PX], "JPEG"), share)
    content = make_tiff(GREY | {259: 7, 279: len(jpeg)}, jpeg)
    with pytest.raises(UnsupportedMediaTypeError, match="Save it as PNG"):
        decode_frame(content)
    with pytest.raises(UnsupportedMediaTypeError, match="Save it as PNG"):
        decode_frame(to_file(Image.fromarray(HEAD), "TIFF", compression="jpeg"))
    assert capfd.readouterr().err == ""


def test_tag_that_reaches_out_of_the_file_is_told_to_nobody():
    """Pillow passes it over and warns; of each file in other words, which Python would keep."""
    content = make_tiff(GREY | {270: (LONG, 1_000)}, bytes(SIDE_PX**2))
    program = (
        "import sys; from headcirc.readers import decode_frame;"
        "decode_frame(sys.stdin.buffer.read())"
    )
    command = [sys.executable, "-W", "default", "-c", program]
    found = subprocess.run(command, input=content, capture_output=True, check=True)
    assert found.stderr == b""


def to_runs(rows: int) -> bytes:
    """Return so many of the samples' rows: half in runs, half one by one, from below."""
    half = SIDE // 2 - 1  # odd: what is not in runs is filled up to an even number of bytes
    return b"".join(
        b"".join(bytes([1, each]) for each in row[:-half])
        + bytes([0, half, *row[-half:], 0])
        + b"\0\0"
        for row in SAMPLES[::-1][:rows]
    )


@pytest.mark.parametrize(
    "rest", [b"\0\1", b"\0\2\0\1\0\1", b"\0\0\0\1"], ids=["ends", "jumps", "empty-row"]
)
def test_bmp_whose_runs_leave_pixels_out_is_unreadable(rest):
    """It ends early in good order, or passes pixels over: those would become the first colour."""
    whole = make_bmp(SAMPLES, range(0, 256, 16), to_runs(SIDE) + b"\0\1")
    assert (decode_frame(whole).pixels == 16 * SAMPLES).all()
    with pytest.raises(UnreadableImageError):
        decode_frame(make_bmp(SAMPLES, range(0, 256, 16), to_runs(SIDE - 1) + rest))


def test_whole_files_of_every_mode_are_whole():
    """Nothing that Pillow writes is said to lack a pixel."""
    image = Image.fromarray(HEAD)
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16"):
        for format_name in ("PNG", "TIFF"):
            content = to_file(image.convert(mode), format_name)
            assert decode_frame(content).pixels.shape == HEAD.shape
