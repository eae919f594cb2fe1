import struct

import numpy as np
import pytest
from PIL import Image

from headcirc.errors import UnreadableImageError, UnsupportedMediaTypeError
from headcirc.readers import decode_frame, grey
from headcirc.readers.grey import to_grey
from tests.support.synthetic import to_file
from tests.support.tiff_files import GREY, LONG, SIDE_PX, make_tiff

SAMPLES = SIDE_PX**2
BITS, PHOTOMETRIC, FILL_ORDER, CHANNELS, PLANES, SAMPLE_FORMAT = 258, 262, 266, 277, 284, 339
COLOUR = {PHOTOMETRIC: 2, CHANNELS: 3, 273: (LONG, 3)}


def make_picture(mode):
    """Return noise of a size that no strip divides."""
    rows, columns = 37, 53
    random = np.random.default_rng(5)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65_536, (rows, columns), np.uint16))
    colour = Image.fromarray(random.integers(0, 256, (rows, columns, 3), np.uint8))
    return colour.quantize(64) if mode == "P" else colour.convert(mode)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"]
)
@pytest.mark.parametrize("strip_pixels", [1, 160, 1_000])
def test_strips_give_what_the_whole_gives(monkeypatch, mode, strip_pixels):
    """Grey values do not depend on how many rows are converted at a time."""
    picture = make_picture(mode)
    whole = to_grey(picture)
    monkeypatch.setattr(grey, "STRIP_PIXELS", strip_pixels)
    assert np.array_equal(to_grey(picture), whole)
    if mode == "I;16":
        expected = np.rint(np.asarray(picture).astype(np.float32) * np.float32(255 / 65_535))
    else:
        expected = np.asarray(picture.convert("RGBA").convert("RGB").convert("L"))
    assert np.array_equal(whole, expected)


def test_12_bit_tiff_is_scaled_by_its_own_white():
    """4095 is white and 2048 grey."""
    samples = b"\xff\xff\xff\x80\x08\x00" * (SAMPLES // 4)  # 4095, 4095, 2048, 2048 and again
    pixels = decode_frame(make_tiff(GREY | {BITS: 12}, samples)).pixels
    assert pixels[0].tolist() == [255, 255, 128, 128] * 2


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_tiff_whose_zero_is_white_is_white(bits):
    """PhotometricInterpretation 0 turns black and white round, at every depth."""
    nothing = bytes(SAMPLES * bits // 8)
    for photometric, expected in ((0, 255), (1, 0)):
        frame = decode_frame(make_tiff(GREY | {BITS: bits, PHOTOMETRIC: photometric}, nothing))
        assert np.unique(frame.pixels).tolist() == [expected]


@pytest.mark.parametrize(
    ("order", "compression"),
    [("<u2", None), ("<u2", "tiff_adobe_deflate"), ("<u2", "tiff_lzw"), (">u2", None)],
)
def test_white_zero_is_known_however_it_is_packed(order, compression):
    """In either byte order, and where libtiff unpacks, 65535 is black and nothing else turns."""
    picture = Image.fromarray(np.array([[0, 32_767, 65_535]], order))
    content = to_file(picture, "TIFF", compression=compression, tiffinfo={PHOTOMETRIC: 0})
    assert decode_frame(content).pixels.tolist() == [[255, 128, 0]]


@pytest.mark.parametrize(("lightness", "grey_value"), [(0, 0), (128, 119), (255, 255)])
def test_lab_tiff_becomes_luma(lightness, grey_value):
    """CIELAB's half lightness is sRGB's 119, not 128."""
    content = to_file(Image.new("LAB", (3, 2), (lightness, 128, 128)), "TIFF")
    assert np.unique(decode_frame(content).pixels).tolist() == [grey_value]


@pytest.mark.parametrize("photometric", [4, 9, 32803, 34892])
def test_tiff_of_an_odd_kind_is_not_called_damaged(photometric):
    """Masks, ICC's Lab and raw sensors' samples: the refusal names the remedy that there is."""
    with pytest.raises(UnreadableImageError, match=r"kind that is not read here; .* as PNG"):
        decode_frame(make_tiff(GREY | {PHOTOMETRIC: photometric}, bytes(SAMPLES)))


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(GREY | {SAMPLE_FORMAT: 2}, id="signed-8"),
        pytest.param(GREY | {SAMPLE_FORMAT: 2, BITS: 16}, id="signed-16"),
        pytest.param(GREY | {SAMPLE_FORMAT: 3, BITS: 32}, id="fractions"),
        pytest.param(GREY | {BITS: 32}, id="unsigned-32"),
        pytest.param({tag: GREY[tag] for tag in GREY if tag != PHOTOMETRIC}, id="which-is-black"),
    ],
)
def test_samples_of_unknown_meaning_are_refused(tags):
    """No picture is better than one whose black and white are a guess."""
    with pytest.raises(UnsupportedMediaTypeError, match="Save it as PNG"):
        decode_frame(make_tiff(tags, bytes(SAMPLES * 4)))


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(COLOUR | {BITS: 16}, id="colour-16"),
        pytest.param(COLOUR | {FILL_ORDER: 2}, id="lowest-bit-first"),
        pytest.param({PHOTOMETRIC: 0}, id="zero-is-white-8"),
        pytest.param({PHOTOMETRIC: 0, BITS: 1}, id="zero-is-white-1"),
    ],
)
def test_uncompressed_planes_that_would_be_misread_are_refused(tags):
    """Pillow takes them for other samples: half a picture, stretched, or one turned to negative."""
    places = struct.pack("<3I", 8, 8, 8)
    content = make_tiff(GREY | {PLANES: 2} | tags, places + bytes(SAMPLES * 8))
    with pytest.raises(UnsupportedMediaTypeError, match="planes of a rare kind"):
        decode_frame(content)


def test_uncompressed_planes_of_8_bits_are_read():
    """One after another, and the only one of a grey picture."""
    samples = bytes(range(SAMPLES))
    grey = decode_frame(make_tiff(GREY | {PLANES: 2}, samples)).pixels
    assert grey.tobytes() == samples
    tags = GREY | {PLANES: 2} | COLOUR
    start = 8 + 2 + 12 * len(tags) + 4 + 12
    places = struct.pack("<3I", *(start + SAMPLES * plane for plane in range(3)))
    assert (decode_frame(make_tiff(tags, places + samples * 3)).pixels == grey).all()
