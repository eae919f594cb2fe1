import contextlib
import io

import numpy as np
import pytest

from headcirc.errors import ImageTooLargeError, InvalidFrameError, UnreadableImageError
from headcirc.geometry import FROM_REQUEST, PixelSpacing
from headcirc.readers import decode_frame
from headcirc.readers.reader import ReadOptions
from headcirc.readers.video import decoder, recognises
from headcirc.readers.video.decoder import VideoSequence
from tests.support.cines import draw_frames, write_video

FRAMES = draw_frames(6, growth=0.05)
WRITERS = [("cine.mp4", "mp4v"), ("cine.avi", "MJPG"), ("cine.avi", "XVID")]


def read_all(content, **options):
    sequence = VideoSequence(io.BytesIO(content), ReadOptions(**options))
    try:
        return [(each.index, each.time_ms, each.read()) for each in sequence]
    finally:
        sequence.close()


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "cine.mp4", FRAMES).read_bytes()


@pytest.mark.parametrize(("name", "codec"), WRITERS)
def test_frames_come_in_turn_with_their_times(tmp_path, name, codec):
    """Grey values are those that were written, but for the codec's loss."""
    content = write_video(tmp_path / name, FRAMES, codec=codec).read_bytes()
    assert recognises(content)
    read = read_all(content)
    assert [index for index, _, _ in read] == list(range(6))
    assert [time_ms for _, time_ms, _ in read] == pytest.approx([0, 40, 80, 120, 160, 200])
    for (_, _, frame), written in zip(read, FRAMES, strict=True):
        assert np.abs(frame.pixels.astype(int) - written).mean() < 4


def test_the_size_of_a_pixel_is_the_stated_one_or_unknown(content):
    """A video says nothing about millimetres."""
    assert read_all(content)[0][2].calibrations == ()
    (region,) = read_all(content, pixel_spacing=PixelSpacing(0.2, 0.1))[0][2].calibrations
    assert region.spacing == PixelSpacing(0.2, 0.1)
    assert region.source == FROM_REQUEST


def test_one_frame_is_read_as_of_a_multi_frame_file(content):
    """The reader of pictures takes a video and the frame's number."""
    in_turn = read_all(content)[4][2]
    assert np.array_equal(decode_frame(content, frame_index=4).pixels, in_turn.pixels)
    for number in (None, 6, -1):
        with pytest.raises(InvalidFrameError):
            decode_frame(content, frame_index=number)


def test_an_avi_that_was_cut_off_gives_the_frames_that_it_has(tmp_path):
    """Its index is lost with its end."""
    content = write_video(tmp_path / "cine.avi", FRAMES, codec="MJPG").read_bytes()
    assert 0 < len(read_all(content[: len(content) * 2 // 3])) < 6


def test_a_video_of_an_unknown_codec_is_refused(tmp_path):
    """An allowed decoder opens it, and finds no frame in it."""
    content = write_video(tmp_path / "cine.avi", FRAMES, codec="MJPG").read_bytes()
    with pytest.raises(UnreadableImageError):
        read_all(content.replace(b"MJPG", b"Q1w2"))


@pytest.mark.parametrize("keep", [12, 40, 400, 2000])
def test_an_mp4_that_was_cut_off_is_refused(content, keep):
    """Where its frames are is written at its end."""
    with pytest.raises(UnreadableImageError):
        read_all(content[:keep])


def test_damage_anywhere_gives_frames_or_a_refusal(content):
    """Whatever FFmpeg makes of it, nothing else leaves the reader."""
    generator = np.random.default_rng(1)
    for _ in range(4):
        damaged = bytearray(content)
        for at in generator.integers(12, len(damaged), 30):
            damaged[at] = generator.integers(256)
        with contextlib.suppress(UnreadableImageError, ImageTooLargeError):
            assert len(read_all(bytes(damaged))) <= 60


def test_a_large_video_is_refused_by_its_header(content):
    """No frame of it is decoded here."""
    with pytest.raises(ImageTooLargeError, match="160 x 108"):
        read_all(content, maximum_pixels=10_000)


def test_too_many_frames_are_refused(content, monkeypatch):
    """Before the first one."""
    monkeypatch.setattr("headcirc.readers.limits.MAXIMUM_FRAMES", 5)
    with pytest.raises(ImageTooLargeError, match="6 frames"):
        read_all(content)


def test_a_playlist_in_the_clothes_of_an_mp4_opens_nothing(tmp_path):
    """FFmpeg would read a playlist's files and addresses; its demuxer is not on the list."""
    target = write_video(tmp_path / "other.mp4", FRAMES)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
    assert not recognises(playlist.encode())
    with pytest.raises(UnreadableImageError):
        read_all(playlist.encode())


@pytest.mark.parametrize("codec", ["mpg2", "WMV2", "FLV1", "H263", "snow", "drac", "mjp2"])
def test_a_codec_that_is_not_on_the_list_does_not_run(tmp_path, codec):
    """FFmpeg knows hundreds of decoders, and most are seldom tested with hostile files."""
    frames = [np.full((288, 352), grey, np.uint8) for grey in (90, 160)]
    name = "cine.mp4" if codec == "mjp2" else "cine.avi"
    content = write_video(tmp_path / name, frames, codec=codec).read_bytes()
    with pytest.raises(UnreadableImageError):
        read_all(content)


@pytest.fixture
def shorten(tmp_path, monkeypatch):
    """Return a function that sets a limit of the decoding process to 0."""

    def write(limit):
        script = decoder.SCRIPT.read_text()
        assert f"{limit} = 5.0" in script
        short = tmp_path / "decoder_process.py"
        short.write_text(script.replace(f"{limit} = 5.0", f"{limit} = 0.0"))
        monkeypatch.setattr(decoder, "SCRIPT", short)

    return write


def test_a_file_that_takes_long_to_open_is_not_opened_for_every_codec(content, shorten):
    """MPEG-4 is the second codec of the list."""
    shorten("OPENING_CPU_S")
    with pytest.raises(UnreadableImageError):
        read_all(content)


def test_a_frame_that_takes_too_long_to_reach_is_refused(content, shorten):
    """A few megabytes can hold hours of decoding; a picture's thread does not wait for that."""
    shorten("PASSING_CPU_S")
    assert decode_frame(content, frame_index=0).pixels.shape == (108, 160)
    with pytest.raises(ImageTooLargeError, match="Frame 3"):
        decode_frame(content, frame_index=3)


def test_a_decoder_that_dies_is_an_unreadable_file(tmp_path):
    """The process that asked lives on; the frames are more than the pipe holds."""
    frames = [np.zeros((480, 640), np.uint8)] * 10
    assert sum(each.nbytes for each in frames) > 2 * decoder.PIPE_BYTES
    content = write_video(tmp_path / "cine.mp4", frames).read_bytes()
    with contextlib.closing(VideoSequence(io.BytesIO(content), ReadOptions())) as sequence:
        read = iter(sequence)
        next(read)
        sequence._process.kill()
        with pytest.raises(UnreadableImageError):
            list(read)


def test_pictures_with_the_boxes_of_an_mp4_are_no_videos():
    """AVIF and HEIC begin with the same box."""
    assert not recognises(b"\0\0\0\x1cftypavif" + bytes(20))
    assert not recognises(b"RIFF\0\0\0\0WEBP")
    assert recognises(b"\0\0\0\x14ftypqt  " + bytes(20))
