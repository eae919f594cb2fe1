import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from headcirc.errors import (
    ImageTooLargeError,
    InvalidFrameError,
    UnreadableImageError,
    UnsupportedMediaTypeError,
)
from headcirc.geometry import PixelSpacing
from headcirc.readers import decode_frame
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file

GREY = draw_head(SMALL_HEAD, rows=54, columns=80)


@pytest.mark.parametrize("format_name", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_decode_to_the_same_grey_values(format_name):
    """A picture saved without loss comes back as it was, whatever the format."""
    assert (decode_frame(to_file(GREY, format_name)).pixels == GREY).all()


@pytest.mark.parametrize(("format_name", "options"), [("JPEG", {"quality": 95}), ("WEBP", {})])
def test_lossy_formats_decode_closely(format_name, options):
    """JPEG and WebP come back within a few grey levels on average."""
    pixels = decode_frame(to_file(GREY, format_name, **options)).pixels
    assert np.abs(pixels.astype(int) - GREY).mean() < 2


def test_16_bit_grey_is_scaled_by_its_bit_depth():
    """65535 becomes 255 and half of it 128, not a clipped 255."""
    samples = np.array([[0, 32768, 65535]], np.uint16)
    assert decode_frame(to_file(samples)).pixels.tolist() == [[0, 128, 255]]


def test_16_bit_grey_tiff_of_the_other_byte_order_is_scaled_too():
    """A big-endian 16-bit TIFF gives the same grey values."""
    image = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16).astype(">u2"))
    assert decode_frame(to_file(image, "TIFF")).pixels.tolist() == [[0, 128, 255]]


def test_alpha_is_ignored():
    """Transparent pixels keep the grey value that they are stored with."""
    rgba = np.dstack([GREY, GREY, GREY, np.zeros_like(GREY)])
    assert (decode_frame(to_file(rgba)).pixels == GREY).all()
    grey_alpha = Image.merge("LA", (Image.fromarray(GREY), Image.new("L", (80, 54))))
    assert (decode_frame(to_file(grey_alpha)).pixels == GREY).all()


def test_colour_becomes_luma():
    """Red, green and blue weigh 0.299, 0.587 and 0.114."""
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert decode_frame(to_file(rgb)).pixels.tolist() == [[76, 150, 29]]


@pytest.mark.parametrize("transparency", [None, 0])
def test_palette_indices_are_looked_up(transparency):
    """A palette picture gives its colours' luma, not its indices, transparent entries too."""
    image = Image.new("P", (2, 1))
    image.putpalette([200, 200, 200, 10, 10, 10])
    image.putpixel((1, 0), 1)
    options = {} if transparency is None else {"transparency": transparency}
    assert decode_frame(to_file(image, **options)).pixels.tolist() == [[200, 10]]


def make_bmp(samples, palette, data=None):
    """Return a BMP of 8 bits; `data` is its runs, where it is run-length encoded."""
    rows, columns = samples.shape
    body = samples[::-1].tobytes() if data is None else data
    colours = b"".join(bytes([grey, grey, grey, 0]) for grey in palette)
    start = 54 + len(colours)
    sizes = 40, columns, rows, 1, 8, data is not None, len(body), 0, 0, len(palette), 0
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(body), 0, 0, start)
        + struct.pack("<IiiHHIIiiII", *sizes)
        + colours
        + body
    )


def test_bmp_of_two_colours_in_8_bits_is_read_as_8_bits():
    """Pillow takes such a file's bytes for eight pixels each."""
    samples = (GREY > 100).astype(np.uint8)
    assert (decode_frame(make_bmp(samples, (0, 255))).pixels == 255 * samples).all()


def test_bmp_of_many_runs_is_decoded():
    """Ultrasound's noise makes nearly each pixel a run, far more than other files have pieces."""
    samples = np.random.default_rng(0).integers(0, 256, (160, 320), np.uint8)
    rows = (b"".join(bytes([1, each]) for each in row) + b"\0\0" for row in samples[::-1])
    content = make_bmp(samples, range(256), b"".join(rows) + b"\0\1")
    assert (decode_frame(content).pixels == samples).all()
    with pytest.raises(UnreadableImageError):
        decode_frame(content[: len(content) // 2])


def test_cmyk_jpeg_has_white_where_there_is_no_ink():
    """CMYK becomes colour first, so that no ink is white."""
    image = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert decode_frame(to_file(image, "JPEG")).pixels.min() > 250


def test_stated_pixel_size_covers_the_whole_upright_frame():
    """The region of a stated pixel size runs from the first to the last pixel centre."""
    frame = decode_frame(to_file(GREY), pixel_spacing=PixelSpacing(0.2, 0.1))
    (region,) = frame.calibrations
    assert (region.left_px, region.top_px, region.right_px, region.bottom_px) == (0, 0, 79, 53)
    assert region.source == "request"


def test_resolution_tags_say_nothing_about_millimetres():
    """A file with a DPI tag has no pixel size."""
    assert decode_frame(to_file(GREY, dpi=(254, 254))).calibrations == ()


def test_empty_file_is_unreadable():
    """No bytes: the error says so."""
    with pytest.raises(UnreadableImageError, match="empty"):
        decode_frame(b"")


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_is_unreadable(format_name, share):
    """A file cut off anywhere is refused, never measured in part."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    content = to_file(noise, format_name)
    with pytest.raises(UnreadableImageError):
        decode_frame(content[: int(len(content) * share)])


@pytest.mark.parametrize("content", [b"just some text", b"%PDF-1.7", b"\x00" * 400, b"GIF89a..."])
def test_other_content_is_unsupported_whatever_its_name(content):
    """What a file is, its content says."""
    with pytest.raises(UnsupportedMediaTypeError, match="PNG, JPEG, BMP, TIFF and WEBP"):
        decode_frame(content)


def make_png_bomb(columns: int, rows: int) -> bytes:
    """Return a PNG of almost no bytes whose header announces a huge picture."""

    def to_chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\x00" * 1_000_000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + to_chunk(b"IHDR", header)
        + to_chunk(b"IDAT", data)
        + to_chunk(b"IEND", b"")
    )


def test_bomb_is_refused_by_its_header():
    """20,000 x 20,000 pixels are refused before one is decoded."""
    with pytest.raises(ImageTooLargeError, match="20000 x 20000"):
        decode_frame(make_png_bomb(20_000, 20_000))


@pytest.mark.parametrize("shape", [(1, 32_767), (32_767, 1)])
def test_side_too_long_for_opencv_is_refused(shape):
    """Few pixels in one long row or column could not be brought to the network's size."""
    with pytest.raises(ImageTooLargeError, match="32,766 on a side"):
        decode_frame(to_file(np.zeros(shape, np.uint8)))
    decode_frame(to_file(np.zeros([min(side, 32_766) for side in shape], np.uint8)))


@pytest.mark.parametrize("format_name", ["TIFF", "WEBP", "PNG", "MPO"])
def test_several_pictures_in_one_file_are_refused(format_name):
    """A file of three pictures is not measured on a guess, and is told how many it holds."""
    pages = [Image.fromarray(each).convert("RGB") for each in (GREY, 255 - GREY, GREY // 2)]
    content = to_file(pages[0], format_name, save_all=True, append_images=pages[1:])
    with pytest.raises(InvalidFrameError, match="holds 3 pictures"):
        decode_frame(content)


def test_frame_number_of_a_plain_picture_can_only_be_zero():
    """Frame 0 is the picture; frame 3 does not exist."""
    assert decode_frame(to_file(GREY), frame_index=0).pixels.shape == (54, 80)
    with pytest.raises(InvalidFrameError, match="Frame 3"):
        decode_frame(to_file(GREY), frame_index=3)


def to_png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def to_grey_png(rows, columns, body):
    """Return a whole 8-bit grey PNG whose compressed data are `body`, checksums right."""
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(to_png_chunk(*each) for each in chunks)


def test_plain_grey_png_has_the_values_that_pillow_reads():
    """The quick way changes no pixel."""
    pixels = np.random.default_rng(3).integers(0, 256, (67, 91), dtype=np.uint8)
    content = to_file(pixels, "PNG")
    assert np.array_equal(decode_frame(content).pixels, pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), pixels)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(67, 91), (601, 701)])
def test_plain_colour_png_has_the_values_that_pillow_reads(shape, channels):
    """Opaque or not, in one strip or in several."""
    samples = np.random.default_rng(5).integers(0, 256, (*shape, channels), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(samples[..., :3]).convert("L"))
    assert np.array_equal(decode_frame(to_file(samples, "PNG")).pixels, expected)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(zlib.compress((b"\0" + b"\7" * 60) * 30), id="rows-missing"),
        pytest.param(zlib.compress((b"\0" + b"\7" * 60) * 50)[:-12], id="stream-cut"),
        pytest.param(zlib.compress((b"\x09" + b"\7" * 60) * 50), id="unknown-filter"),
        pytest.param(b"no stream", id="no-stream"),
    ],
)
def test_whole_png_with_broken_data_is_unreadable(body):
    """Right checksums around wrong data: no row is invented, as Pillow alone would."""
    with pytest.raises(UnreadableImageError):
        decode_frame(to_grey_png(50, 60, body))


def test_flipped_bit_of_a_png_is_unreadable():
    """Every byte of the file behind its signature counts, checksums too."""
    content = to_file(draw_head(), "PNG")
    for place in np.random.default_rng(4).integers(33, len(content) - 12, 20):
        damaged = bytearray(content)
        damaged[place] ^= 4
        with pytest.raises(UnreadableImageError):
            decode_frame(bytes(damaged))
