import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from headcirc.readers import grey
from headcirc.readers.decode import decode_frame
from tests.headcirc.readers.test_decode import to_png_chunk
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline
from tests.support.tiff_files import GREY, SIDE_PX, make_tiff

MAXIMUM_SAMPLE, PHOTOMETRIC = 281, 262
HEADER_END = 33
TWELVE_BITS = np.array([[0, 1, 2048, 4095]], np.uint16)
TWELVE_BITS_GREY = [[0, 0, 128, 255]]


def put_significant_bits(png: bytes, *bits: int) -> bytes:
    """Return a PNG that says how many bits of its samples count."""
    return png[:HEADER_END] + to_png_chunk(b"sBIT", bytes(bits)) + png[HEADER_END:]


def make_palette_tiff(greys: list[int], colour_map: list[int]) -> bytes:
    """Return a TIFF of one row whose palette has these numbers, all reds first."""
    image = Image.new("P", (len(greys), 1))
    image.putpalette([value for grey_value in greys for value in [grey_value] * 3])
    for column in range(len(greys)):
        image.putpixel((column, 0), column)
    content = to_file(image, "TIFF")
    listed = [*greys, *[0] * (256 - len(greys))] * 3
    old = struct.pack("<768H", *(value * 256 for value in listed))
    assert old in content
    padded = [*colour_map, *[0] * (256 - len(colour_map))] * 3
    return content.replace(old, struct.pack("<768H", *padded))


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_colour_map_of_8_bits_is_read_as_8_bits(factor):
    """TIFF has 16 bits for each colour; some writers put 0 to 255 there, which read black."""
    greys = [0, 10, 128, 255]
    content = make_palette_tiff(greys, [value * factor for value in greys])
    assert decode_frame(content).pixels.tolist() == [greys]


@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize("highest", [4095, 3987])
def test_12_bits_in_a_16_bit_tiff_are_scaled_by_their_maximum(order, highest):
    """It may be what the samples could reach, or do reach: both mean 12 bits."""
    content = to_file(
        Image.fromarray(np.minimum(TWELVE_BITS, highest).astype(order)),
        "TIFF",
        tiffinfo={MAXIMUM_SAMPLE: highest},
    )
    frame = decode_frame(content)
    assert frame.pixels.tolist() == [[0, 0, 128, 255 if highest == 4095 else 248]]
    assert not frame.has_narrow_range


def test_10_bits_of_a_tiff_whose_zero_is_white_are_turned():
    """0 is white and 1023 black."""
    samples = Image.fromarray(np.array([[0, 512, 1023]], np.uint16))
    content = to_file(samples, "TIFF", tiffinfo={MAXIMUM_SAMPLE: 1023, PHOTOMETRIC: 0})
    assert decode_frame(content).pixels.tolist() == [[255, 127, 0]]


@pytest.mark.parametrize("bits", [10, 12])
def test_significant_bits_of_a_16_bit_png_are_its_range(bits):
    """Samples that were stored as they are, and not scaled up as the format wants."""
    samples = np.array([[0, 2 ** (bits - 1), 2**bits - 1]], np.uint16)
    frame = decode_frame(put_significant_bits(to_file(samples), bits))
    assert frame.pixels.tolist() == [[0, 128, 255]]
    assert not frame.has_narrow_range


@pytest.mark.parametrize(
    "content",
    [
        put_significant_bits(to_file(TWELVE_BITS * 16), 12),
        put_significant_bits(to_file(TWELVE_BITS * 16), 0),
        put_significant_bits(to_file(TWELVE_BITS * 16), 16),
        to_file(Image.fromarray(TWELVE_BITS * 16), "TIFF", tiffinfo={MAXIMUM_SAMPLE: 4095}),
        to_file(Image.fromarray(TWELVE_BITS * 16), "TIFF", tiffinfo={MAXIMUM_SAMPLE: 0}),
    ],
)
def test_stated_range_that_the_samples_exceed_says_nothing(content):
    """As in a PNG that follows the format: its samples use all 16 bits, however many count."""
    frame = decode_frame(content)
    assert frame.pixels.tolist() == TWELVE_BITS_GREY
    assert not frame.has_narrow_range


def test_highest_sample_is_looked_for_in_every_strip(monkeypatch):
    """One bright sample at the end says that the stated range is wrong."""
    monkeypatch.setattr(grey, "STRIP_PIXELS", 4)
    samples = np.full((9, 4), 4_000, np.uint16)
    content = to_file(Image.fromarray(samples), "TIFF", tiffinfo={MAXIMUM_SAMPLE: 4095})
    assert np.unique(decode_frame(content).pixels).tolist() == [249]
    samples[-1, -1] = 65_535
    content = to_file(Image.fromarray(samples), "TIFF", tiffinfo={MAXIMUM_SAMPLE: 4095})
    assert decode_frame(content).pixels.max() == 255
    assert decode_frame(content).pixels.min() == 16


def to_colour_png(samples: np.ndarray) -> bytes:
    """Return a 16-bit colour PNG, which Pillow does not write."""
    return cv2.imencode(".png", np.dstack([samples] * 3))[1].tobytes()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(to_file(TWELVE_BITS), id="png"),
        pytest.param(to_colour_png(TWELVE_BITS), id="colour-png"),
        pytest.param(to_file(TWELVE_BITS + np.uint16(32_768)), id="offset"),
        pytest.param(to_file(Image.fromarray(TWELVE_BITS), "TIFF"), id="tiff"),
        pytest.param(
            to_file(Image.fromarray(TWELVE_BITS), "TIFF", tiffinfo={PHOTOMETRIC: 0}), id="negative"
        ),
    ],
)
def test_16_bit_samples_that_use_a_sixteenth_are_noticed(content):
    """Nothing says where white is, so the picture reads dark, or flat."""
    assert decode_frame(content).has_narrow_range


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(to_file(TWELVE_BITS * 16), id="all-of-16-bits"),
        pytest.param(to_colour_png(TWELVE_BITS * 16), id="colour"),
        pytest.param(to_file(TWELVE_BITS * 2), id="an-eighth"),
        pytest.param(to_file((TWELVE_BITS // 300).astype(np.uint8)), id="8-bits"),
        pytest.param(make_tiff(GREY | {258: 12}, bytes(SIDE_PX**2 * 2)), id="12-bit-tiff"),
        pytest.param(to_file(Image.new("1", (8, 8)), "TIFF"), id="1-bit-tiff"),
    ],
)
def test_other_pictures_have_no_narrow_range(content):
    """However dark they are: their range is known."""
    assert not decode_frame(content).has_narrow_range


def test_narrow_range_is_a_warning_beside_the_number():
    """Found or not, the head was looked for in a picture that may be darker than it was."""
    pipeline = to_synthetic_pipeline()
    dark = draw_head().astype(np.uint16) * 16
    for samples, warnings in ((dark, {"narrow-sample-range"}), (dark * 16, set())):
        found = set(pipeline.analyze(to_file(samples)).quality.warnings)
        assert found & {"narrow-sample-range"} == warnings
