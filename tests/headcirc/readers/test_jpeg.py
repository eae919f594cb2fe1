import io
import re
import subprocess
import sys

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from headcirc.errors import UnreadableImageError, UnsupportedMediaTypeError
from headcirc.readers import decode_frame
from headcirc.readers.grey import to_grey
from headcirc.readers.jpeg_stream import MAXIMUM_JPEG_SCANS, read_jpeg
from tests.headcirc.jpeg_files import make_rare_jpegs
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file

HEAD = draw_head(SMALL_HEAD, rows=54, columns=80)
SCAN, RESTART = b"\xff\xda", rb"(?=\xff[\xd0-\xd7])"
SCANS = SCAN * (MAXIMUM_JPEG_SCANS + 1)
PROGRAM = """
import sys
from headcirc.readers import decode_frame
from headcirc.errors import InputError
try:
    decode_frame(sys.stdin.buffer.read())
except InputError as refusal:
    print(refusal.code, refusal)
"""
APPLICATION_13, COMMENT = 0xED, 0xFE


def put_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Return a JPEG with one more segment at its start."""
    return jpeg[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize("name", ["lossless-8-bits-1-channels", "lossless-8-bits-3-channels"])
def test_lossless_jpeg_ends_no_process(name):
    """It made libjpeg-turbo write outside its memory, so it is shown to a process of its own."""
    content = make_rare_jpegs()[name]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=content, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-500:]
    assert done.stdout.startswith(b"unsupported-media-type ")
    assert b"SOF3" in done.stdout


@pytest.mark.parametrize("name", sorted(make_rare_jpegs()))
def test_no_rare_process_is_opened_or_decoded(monkeypatch, name):
    """The marker alone decides, before Pillow or libjpeg-turbo see the file; PNG is the remedy."""
    monkeypatch.delattr(Image, "open")
    monkeypatch.delattr(simplejpeg, "decode_jpeg")
    content = make_rare_jpegs()[name]
    for whole_or_cut in (content, content[: len(content) // 2] + b"\xff\xd9"):
        with pytest.raises(UnsupportedMediaTypeError, match="Save it as PNG"):
            decode_frame(whole_or_cut)


def test_message_that_nobody_knows_is_damage(monkeypatch):
    """What the decoder says of a file counts against it, unless it is known to be harmless."""

    def fail(*_args: object, **_options: object) -> None:
        raise ValueError("A message of the next version")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
    with pytest.raises(UnreadableImageError):
        decode_frame(to_file(HEAD, "JPEG"))


def test_odd_header_hides_no_damage():
    """A JFIF version that libjpeg remarks on was all that it said of a file cut in half."""
    whole = to_file(HEAD, "JPEG")
    odd = whole[:11] + b"\x02" + whole[12:]
    assert np.array_equal(decode_frame(odd).pixels, decode_frame(whole).pixels)
    half = odd[: odd.index(SCAN) + 300]
    with pytest.raises(UnreadableImageError):
        decode_frame(half + b"\xff\xd9")


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"restart_marker_blocks": 3}],
)
def test_jpeg_has_the_values_that_pillow_reads(mode, options):
    """One strict decoding changes no grey value."""
    noise = np.random.default_rng(1).normal(100, 40, (67, 91, 3)).clip(0, 255).astype(np.uint8)
    content = to_file(Image.fromarray(noise).convert(mode), "JPEG", **options)
    expected = to_grey(Image.open(io.BytesIO(content)))
    assert np.array_equal(decode_frame(content).pixels, expected)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda jpeg: jpeg + to_file(HEAD, "JPEG") * 40, id="pictures-behind-the-end"),
        pytest.param(lambda jpeg: jpeg + b"\0\0\0\x18ftypmp42" + SCANS, id="film-behind-the-end"),
        pytest.param(lambda jpeg: put_segment(jpeg, APPLICATION_13, SCANS), id="application"),
        pytest.param(lambda jpeg: put_segment(jpeg, COMMENT, SCANS), id="comment"),
    ],
)
def test_only_scans_of_the_picture_are_counted(change):
    """Phones put films behind a photo, and devices their own data before it."""
    whole = to_file(HEAD, "JPEG")
    assert np.array_equal(decode_frame(change(whole)).pixels, decode_frame(whole).pixels)


def test_walk_finds_size_components_scans_and_end():
    """The walk reads a picture in several passes with bytes behind it."""
    whole = to_file(Image.fromarray(HEAD).convert("RGB"), "JPEG", progressive=True)
    jpeg = read_jpeg(whole + SCANS)
    assert (jpeg.columns, jpeg.rows) == (80, 54)
    assert (jpeg.components, jpeg.scans, jpeg.end) == (3, whole.count(SCAN), len(whole))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("fill", [1, 7])
def test_fill_bytes_before_markers_are_no_damage(options, fill):
    """T.81 allows any number of them, before restarts too."""
    whole = to_file(HEAD, "JPEG", restart_marker_blocks=3, **options)
    padded = re.sub(rb"(?=\xff[\xc0-\xfe])", b"\xff" * fill, whole[2:])
    assert len(padded) > len(whole) + 20 * fill
    assert np.array_equal(decode_frame(whole[:2] + padded).pixels, decode_frame(whole).pixels)


def test_zeros_before_restarts_are_refused_with_the_remedy():
    """They look like data that was lost; whoever sees all of the picture can save it again."""
    padded = re.sub(RESTART, bytes(6), to_file(HEAD, "JPEG", restart_marker_blocks=3))
    with pytest.raises(UnreadableImageError, match="save it again as PNG"):
        decode_frame(padded)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_without_its_last_scans_is_unreadable(mode):
    """Cut between two scans and closed, it would be a blurred picture and raise no warning."""
    whole = to_file(Image.fromarray(HEAD).convert(mode), "JPEG", progressive=True)
    assert decode_frame(whole).pixels.shape == HEAD.shape
    cuts = [found.start() for found in re.finditer(SCAN, whole)][1:]
    assert len(cuts) > 4
    for cut in cuts:
        tables = whole.rfind(b"\xff\xc4", 0, cut)
        with pytest.raises(UnreadableImageError):
            decode_frame(whole[:tables] + b"\xff\xd9")


def test_sequential_scan_with_zeros_for_its_band_is_read():
    """Some writers leave the three numbers at zero that only progressive scans need."""
    whole = to_file(HEAD, "JPEG")
    odd = whole.replace(b"\x00\x3f\x00", b"\x00\x00\x00", 1)
    assert odd != whole
    assert np.array_equal(decode_frame(odd).pixels, decode_frame(whole).pixels)


def test_colours_of_a_rare_resolution_are_unsupported_and_not_called_damaged():
    """Their data cannot be tested for damage here; the remedy is named."""
    ink = Image.fromarray(HEAD).convert("CMYK")
    with pytest.raises(UnsupportedMediaTypeError, match="Save it as PNG"):
        decode_frame(to_file(ink, "JPEG", subsampling=1))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda jpeg, frame: jpeg[:frame] * 2 + jpeg[frame:], id="second-start"),
        pytest.param(
            lambda jpeg, frame: jpeg[:frame] + jpeg[frame : frame + 13] + jpeg[frame:],
            id="second-frame",
        ),
        pytest.param(lambda jpeg, frame: jpeg[:frame] + b"\x12" + jpeg[frame:], id="junk"),
        pytest.param(lambda jpeg, frame: jpeg[:frame] + jpeg[frame + 13 :], id="no-frame"),
        pytest.param(lambda jpeg, _: put_segment(jpeg, 0xF0, b"jpg0"), id="unknown-marker"),
        pytest.param(lambda jpeg, _: jpeg[:2] + b"\xff\xe1\0\1" + jpeg[2:], id="length-of-one"),
        pytest.param(lambda jpeg, _: jpeg[:2] + b"\xff\xe1\xff\xff" + jpeg[2:], id="too-long"),
    ],
)
def test_segments_out_of_order_are_damage(change):
    """No decoder is asked what it makes of them."""
    whole = to_file(HEAD, "JPEG")
    with pytest.raises(UnreadableImageError):
        decode_frame(change(whole, whole.index(b"\xff\xc0")))
