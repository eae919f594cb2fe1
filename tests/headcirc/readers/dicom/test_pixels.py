import struct
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from headcirc.errors import (
    ImageTooLargeError,
    InvalidFrameError,
    UnreadableImageError,
    UnsupportedMediaTypeError,
)
from headcirc.readers import decode_frame
from headcirc.readers.dicom import file
from headcirc.readers.dicom.directory import list_pictures
from tests.headcirc.jpeg_files import make_rare_jpegs
from tests.support.dicom_files import ENCODERS, PATIENT_NAME, encode_rle, make_dicom

ROWS, COLUMNS = 54, 80
GREY = np.clip(np.add.outer(np.arange(ROWS) * 3, np.arange(COLUMNS)), 0, 255).astype(np.uint8)
COLOUR = np.stack((GREY, GREY.T.reshape(GREY.shape) // 2, 255 - GREY), axis=-1)
LUMA = np.rint(COLOUR @ [0.299, 0.587, 0.114])
LOSSY = (uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEGLSNearLossless)
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
EXAMPLES = {
    "examples_palette.dcm": (350, 800),
    "examples_rgb_color.dcm": (240, 320),
    "examples_ybr_color.dcm": (240, 320),
    "examples_jpeg2k.dcm": (480, 640),
    "SC_ybr_full_422_uncompressed.dcm": (100, 100),
    "SC_rgb_small_odd.dcm": (3, 3),
    "SC_rgb_small_odd_big_endian.dcm": (3, 3),
    "ExplVR_BigEnd.dcm": (60, 80),
    "SC_rgb_dcmtk_+eb+cr.dcm": (100, 100),
    "SC_rgb_dcmtk_+eb+cy+s2.dcm": (100, 100),
    "SC_jpeg_no_color_transform.dcm": (256, 256),
    "SC_jpeg_no_color_transform_2.dcm": (256, 256),
    "SC_rgb_jpeg_gdcm.dcm": (100, 100),
    "GDCMJ2K_TextGBR.dcm": (400, 400),
    "image_dfl.dcm": (512, 512),
}
"""pydicom's files, with the sizes of their pictures."""


def read(content, **options):
    """Return the pixels of a file; none of them has a calibration."""
    return decode_frame(content, **options).pixels


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize("pixels", [GREY, COLOUR, GREY.astype(np.uint16) * 257])
def test_uncompressed_samples_are_read_in_every_byte_order(syntax, pixels):
    """Grey values come back as they were, 16 bits as 8, colours as luma."""
    expected = LUMA if pixels.ndim > 2 else GREY
    assert np.abs(read(make_dicom(pixels, syntax=syntax)) - expected).max() <= 1


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda each: each.keyword)
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_compressed_samples_are_those_that_were_encoded(syntax, pixels):
    """A lossless codec gives them exactly, but for the rounding of luma."""
    kind = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if syntax == uid.JPEGBaseline8Bit and pixels.ndim > 2:
        kind = "YBR_FULL_422"
    content = make_dicom(
        pixels,
        syntax=syntax,
        encoded=[ENCODERS[syntax](pixels)],
        PhotometricInterpretation=kind,
    )
    expected = GREY if pixels.ndim == 2 else LUMA
    difference = np.abs(read(content).astype(int) - expected)
    assert difference.max() <= (12 if syntax in LOSSY else pixels.ndim - 2)


def test_deeper_samples_use_their_stored_bits():
    """12 bits in 16 are scaled by 4095; what other programs left in the upper bits is ignored."""
    deep = np.linspace(0, 4095, GREY.size).reshape(GREY.shape).astype(np.uint16)
    expected = np.rint(deep / 4095 * 255)
    stored = {"BitsStored": 12, "HighBit": 11}
    assert np.array_equal(read(make_dicom(deep, **stored)), expected)
    assert np.array_equal(read(make_dicom(deep | 0x8000, **stored)), expected)
    for syntax in (uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless):
        encoded = [ENCODERS[syntax](deep)]
        assert np.array_equal(
            read(make_dicom(deep, syntax=syntax, encoded=encoded, **stored)), expected
        )


def test_signed_samples_run_from_black_to_white():
    deep = np.linspace(-2048, 2047, GREY.size).reshape(GREY.shape).astype(np.int16)
    content = make_dicom(deep, BitsStored=12, HighBit=11)
    assert np.array_equal(read(content), np.rint((deep + 2048) / 4095 * 255))


def test_narrow_range_of_deep_samples_is_noticed_unless_a_window_is_stated():
    """8 bits in a header of 16: without a window the picture would be read nearly black."""
    deep = GREY.astype(np.uint16)
    assert decode_frame(make_dicom(deep)).has_narrow_range
    stated = decode_frame(make_dicom(deep, WindowCenter=128, WindowWidth=256))
    assert not stated.has_narrow_range
    assert np.abs(stated.pixels - GREY.astype(int)).max() <= 1
    assert not decode_frame(make_dicom(GREY)).has_narrow_range


def test_monochrome1_is_inverted():
    assert np.array_equal(
        read(make_dicom(GREY, PhotometricInterpretation="MONOCHROME1")), 255 - GREY
    )


@pytest.mark.parametrize(
    ("window", "black", "white"),
    [
        ({"WindowCenter": 100, "WindowWidth": 51}, 74, 125),
        ({"WindowCenter": [100, 5], "WindowWidth": [51, 7]}, 74, 125),
        ({"WindowCenter": 100, "WindowWidth": 1}, 99, 100),
        ({"WindowCenter": 100, "WindowWidth": 50, "VOILUTFunction": "LINEAR_EXACT"}, 75, 125),
        (
            {"WindowCenter": 200, "WindowWidth": 101, "RescaleSlope": 2, "RescaleIntercept": 0},
            74,
            125,
        ),
    ],
)
def test_window_says_what_is_black_and_white(window, black, white):
    """The first one counts; it refers to rescaled values (PS3.3, C.11.2)."""
    pixels = read(make_dicom(GREY, **window))
    assert not pixels[black >= GREY].any()
    assert (pixels[white <= GREY] == 255).all()
    between = pixels[(black < GREY) & (white > GREY)]
    assert between.size == 0 or 0 < between.mean() < 255


def test_empty_window_is_no_window():
    assert np.array_equal(read(make_dicom(GREY, WindowCenter="", WindowWidth="")), GREY)


def test_table_of_grey_values_is_applied():
    """The VOI LUT of this file inverts."""
    table = Dataset()
    table.LUTDescriptor = [256, 0, 8]
    table.LUTData = np.arange(255, -1, -1, dtype="<u2").tobytes()
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    assert np.array_equal(read(make_dicom(GREY, VOILUTSequence=[table])), 255 - GREY)


def to_palette(bits, values):
    return {
        f"{name}PaletteColorLookupTable{part}": value
        for name, value in zip(("Red", "Green", "Blue"), values, strict=True)
        for part, value in (
            ("Descriptor", [len(value), 0, bits]),
            ("Data", value.astype(f"u{bits // 8}").tobytes()),
        )
    }


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("scale", [1, 257])
def test_palette_is_looked_up(bits, scale):
    """Its entries have 8 or 16 bits; some writers put 8-bit values into 16 bits."""
    if bits == 8 and scale != 1:
        return
    ramp = np.arange(256)
    colours = [ramp[::-1] * scale, ramp * scale, np.zeros(256, int)]
    content = make_dicom(
        GREY, PhotometricInterpretation="PALETTE COLOR", **to_palette(bits, colours)
    )
    expected = np.rint(0.299 * (255.0 - GREY) + 0.587 * GREY)
    assert np.abs(read(content) - expected).max() <= 1


def test_planes_of_colour_may_follow_one_another():
    planes = np.ascontiguousarray(np.moveaxis(COLOUR, -1, 0))
    content = make_dicom(COLOUR, PlanarConfiguration=1, pixel_data=planes.tobytes())
    assert np.abs(read(content) - LUMA).max() <= 1


def test_luma_of_uncompressed_ybr_is_taken_as_it_is():
    """YBR_FULL has three samples a pixel; YBR_FULL_422 shares two of them between two pixels."""
    ybr = np.stack((GREY, np.full_like(GREY, 90), np.full_like(GREY, 200)), axis=-1)
    assert np.array_equal(read(make_dicom(ybr, PhotometricInterpretation="YBR_FULL")), GREY)
    shared = np.stack((GREY[:, ::2], GREY[:, 1::2], ybr[:, ::2, 1], ybr[:, ::2, 2]), axis=-1)
    content = make_dicom(ybr, PhotometricInterpretation="YBR_FULL_422", pixel_data=shared.tobytes())
    assert np.array_equal(read(content), GREY)


def test_jpeg_colours_are_read_as_the_jpeg_says():
    """RGB without a JFIF segment is RGB; where a JFIF segment says luma first, it is that."""
    rgb = imagecodecs.jpeg8_encode(COLOUR, level=100, colorspace="RGB", outcolorspace="RGB")
    ybr = imagecodecs.jpeg8_encode(COLOUR, level=100)
    for encoded in (rgb, ybr):
        content = make_dicom(COLOUR, syntax=uid.JPEGBaseline8Bit, encoded=[encoded])
        assert np.abs(read(content) - LUMA).max() <= 12


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_pydicom_look_as_pydicom_shows_them(name):
    """Grey values follow those of pydicom; lossless JPEG has no decoder there."""
    path = get_testdata_file(name)
    with open(path, "rb") as example:
        pixels = read(example.read(), frame_index=0)
    assert pixels.shape == EXAMPLES[name]
    header = pydicom.dcmread(path)
    if header.file_meta.TransferSyntaxUID == uid.JPEGLosslessSV1:
        shown = pydicom.dcmread(get_testdata_file("SC_rgb_rle.dcm")).pixel_array
    else:
        shown = pydicom.pixels.pixel_array(header, index=0)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        shown = pydicom.pixels.apply_color_lut(shown, header) / 257
    expected = shown if shown.ndim == 2 else shown @ [0.299, 0.587, 0.114]
    assert np.abs(pixels - expected).max() <= 2


# --- frames -----------------------------------------------------------------------------------


def test_cine_of_500_frames_gives_the_one_that_is_asked_for():
    frames = [np.full((32, 40), number % 251, np.uint8) for number in range(500)]
    content = make_dicom(frames)
    for index in (0, 7, 499):
        assert np.unique(read(content, frame_index=index)).tolist() == [index % 251]
    frame = decode_frame(content, frame_index=7)
    assert (frame.source.frame_index, frame.source.frames) == (7, 500)


def test_file_of_several_frames_needs_a_choice():
    content = make_dicom([GREY, GREY])
    with pytest.raises(InvalidFrameError, match="holds 2 frames"):
        read(content)
    for index in (2, -1):
        with pytest.raises(InvalidFrameError, match=f"Frame {index}"):
            read(content, frame_index=index)
    with pytest.raises(InvalidFrameError, match="Frame 1"):
        read(make_dicom(GREY), frame_index=1)


@pytest.mark.parametrize("has_table", [True, False])
def test_fragments_are_joined(has_table):
    """A frame may lie in several fragments, with or without a table of their places."""
    from pydicom.encaps import encapsulate, encapsulate_extended

    frames = [GREY, GREY[::-1].copy()]
    encoded = [ENCODERS[uid.JPEGLSLossless](each) for each in frames]
    value = encapsulate(encoded, fragments_per_frame=3, has_bot=has_table)
    changes = {"syntax": uid.JPEGLSLossless, "encoded": [b""], "pixel_data": value}
    if has_table:
        content = make_dicom(frames, **changes)
        assert np.array_equal(read(content, frame_index=1), frames[1])
        value, offsets, lengths = encapsulate_extended(encoded)
        changes |= {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
        content = make_dicom(frames, **(changes | {"pixel_data": value}))
        assert np.array_equal(read(content, frame_index=1), frames[1])
    else:
        single = encapsulate(encoded[:1], fragments_per_frame=3, has_bot=False)
        content = make_dicom(GREY, **(changes | {"pixel_data": single}))
        assert np.array_equal(read(content), GREY)


# --- what is refused --------------------------------------------------------------------------


def drop_tail(content, bytes_):
    return content[:-bytes_]


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, *ENCODERS])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_pixel_data_are_damage(syntax, share):
    """Half a picture never looks like a whole one."""
    encoded = None if syntax not in ENCODERS else [ENCODERS[syntax](GREY)]
    whole = make_dicom(GREY, syntax=syntax, encoded=encoded)
    header_bytes = whole.index(struct.pack("<HH", 0x7FE0, 0x0010)) + 12
    cut = whole[: header_bytes + int(share * (len(whole) - header_bytes))]
    with pytest.raises(UnreadableImageError):
        read(cut)


@pytest.mark.parametrize("syntax", [each for each in ENCODERS if each != uid.RLELossless])
def test_encoded_picture_of_another_size_is_damage(syntax):
    """The regions belong to the size in the header, so the picture must have it."""
    larger = np.vstack((GREY, GREY))
    with pytest.raises(UnreadableImageError):
        read(make_dicom(GREY, syntax=syntax, encoded=[ENCODERS[syntax](larger)]))


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": 2 * ROWS},
        {"Rows": 0},
        {"Columns": None},
        {"NumberOfFrames": 3},
        {"pixel_data": b""},
        {"WindowCenter": 1, "WindowWidth": -5, "VOILUTFunction": "LINEAR_EXACT"},
    ],
)
def test_contradicting_headers_are_damage(changes):
    with pytest.raises(UnreadableImageError):
        read(make_dicom(GREY, **changes), frame_index=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"PhotometricInterpretation": "HSV"},
        {"PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": None},
        {"SamplesPerPixel": 4},
        {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0},
        {"BitsStored": 7, "HighBit": 7},
        {"PhotometricInterpretation": "PALETTE COLOR"},
    ],
)
def test_samples_that_would_be_a_guess_are_refused(changes):
    with pytest.raises(UnsupportedMediaTypeError, match="DICOM"):
        read(make_dicom(GREY, **changes))


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        (uid.MPEG4HP41, "MPEG-4"),
        (uid.HEVCMP51, "HEVC"),
        ("1.2.3.4.5", "unknown"),
    ],
)
def test_other_transfer_syntaxes_are_refused_by_name(syntax, name):
    with pytest.raises(UnsupportedMediaTypeError, match=name):
        read(make_dicom(GREY, syntax=syntax, encoded=[b"\0" * 64]))


@pytest.mark.parametrize(
    "kind", ["lossless-12-bits-1-channels", "lossless-16-bits-1-channels", "12-bits-1-channels"]
)
def test_deep_jpeg_is_refused(kind):
    """Only the JPEG data themselves tell their depth for certain."""
    jpeg = make_rare_jpegs()[kind]
    syntax = uid.JPEGLosslessSV1 if kind.startswith("lossless") else uid.JPEGExtended12Bit
    pixels = np.zeros((64, 64), np.uint16)
    with pytest.raises(UnsupportedMediaTypeError, match="bits"):
        read(make_dicom(pixels, syntax=syntax, encoded=[jpeg], BitsStored=12, HighBit=11))


def test_object_without_a_picture_is_named_as_such():
    for name in ("reportsi.dcm", "test-SR.dcm", "dicomdirtests/DICOMDIR"):
        with (
            open(get_testdata_file(name), "rb") as example,
            pytest.raises(UnsupportedMediaTypeError, match="no picture"),
        ):
            read(example.read())


def test_header_without_a_transfer_syntax_is_damage():
    with open(get_testdata_file("meta_missing_tsyntax.dcm"), "rb") as example:
        content = example.read()
    with pytest.raises(UnreadableImageError):
        read(content)


def test_large_pictures_are_refused_before_they_are_decoded():
    content = make_dicom(GREY, Rows=5_000, Columns=5_000)
    with pytest.raises(ImageTooLargeError, match="5000 x 5000"):
        read(content)
    with pytest.raises(ImageTooLargeError):
        read(make_dicom(GREY), maximum_pixels=100)


def test_rle_segments_never_grow_beyond_the_picture():
    """A run of two bytes makes 128: ten megabytes would become 640."""
    bomb = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x07" * 1_000_000
    assert np.unique(read(make_dicom(GREY, syntax=uid.RLELossless, encoded=[bomb]))).tolist() == [7]
    assert encode_rle(GREY)[:4] == b"\x01\0\0\0"


def test_deflated_file_is_read_within_a_limit(monkeypatch):
    whole = make_dicom(GREY)
    start = 132 + 12 + struct.unpack_from("<I", whole, 140)[0]
    meta = whole[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    grown = 2
    meta = (
        meta[:140] + struct.pack("<I", struct.unpack_from("<I", whole, 140)[0] + grown) + meta[144:]
    )
    at = meta.index(b"1.2.840.10008.1.2.1.99") - 2
    meta = meta[:at] + struct.pack("<H", 22) + meta[at + 2 :]

    def deflate(data):
        squeezer = zlib.compressobj(wbits=-15)
        return squeezer.compress(data) + squeezer.flush()

    assert np.array_equal(read(meta + deflate(whole[start:])), GREY)
    monkeypatch.setattr(file, "MAXIMUM_INFLATED_BYTES", 1_000)
    with pytest.raises(ImageTooLargeError, match="inflates"):
        read(meta + deflate(whole[start:]))


def test_header_of_too_many_elements_is_refused():
    """Each takes microseconds; ten megabytes hold a million."""
    whole = make_dicom(GREY)
    at = whole.index(struct.pack("<HH", 0x0028, 0x0002))
    filler = b"".join(
        struct.pack("<HH2sH", 0x0009 + 2 * (number >> 15), number & 0x7FFF, b"LO", 0)
        for number in range(60_000)
    )
    with pytest.raises(ImageTooLargeError, match="pieces"):
        read(whole[:at] + filler + whole[at:])


def test_message_never_repeats_the_file(caplog, capsys, recwarn):
    """Warnings of pydicom quote values; neither logs nor answers show them."""
    damaged = make_dicom(GREY, Rows=0, NumberOfFrames=1, PatientBirthDate="19000101")
    damaged = damaged.replace(b"CS\x0c\0MONOCHROME2 ", b"CS\x0c\0" + PATIENT_NAME[:12].encode())
    with pytest.raises((UnreadableImageError, UnsupportedMediaTypeError)) as refused:
        read(damaged)
    texts = [str(refused.value), caplog.text, *capsys.readouterr()]
    texts += [str(each.message) for each in recwarn]
    assert not any(PATIENT_NAME[:8] in text for text in texts)
    assert PATIENT_NAME not in repr(decode_frame(make_dicom(GREY)))


def test_dicomdir_of_pydicom_lists_its_pictures():
    """Records of patients, studies and series name no file."""
    for name in ("DICOMDIR", "DICOMDIR-implicit", "DICOMDIR-bigEnd"):
        with open(get_testdata_file(f"dicomdirtests/{name}"), "rb") as example:
            listed = list_pictures(example.read())
        assert len(listed) == 31
        assert listed[0] == ("77654033", "CR1", "6154")
