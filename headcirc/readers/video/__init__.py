"""Read MP4 and AVI: one frame, or all in turn. A video states no pixel size.

FFmpeg, as OpenCV brings it, decodes in a process of its own (`decoder_process`): a hostile file can
crash or fill that process and no other. What FFmpeg may open is limited to these two containers, to
a few codecs, and to the file itself.
"""

import io

from headcirc.errors import InvalidFrameError
from headcirc.geometry import Frame
from headcirc.readers.reader import ReadOptions
from headcirc.readers.video.decoder import VideoSequence

NAME = "MP4, AVI"
SUFFIXES: tuple[str, ...] = ()
"""Folders are searched for pictures; a video is named."""
BOX_TYPE, BOX_BRAND = slice(4, 8), slice(8, 12)
PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")
"""Brands of still pictures that have the boxes of an MP4."""


def recognises(content: bytes) -> bool:
    """Return whether the content starts like an MP4 (also QuickTime) or an AVI."""
    is_mp4 = content[BOX_TYPE] == b"ftyp" and content[BOX_BRAND] not in PICTURE_BRANDS
    return is_mp4 or (content.startswith(b"RIFF") and content[BOX_BRAND] == b"AVI ")


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return one frame of a video; see `headcirc.readers.decode.decode_frame`."""
    wanted = options.frame_index
    if wanted is not None and wanted < 0:
        raise InvalidFrameError(f"Frame {wanted} was asked for; frames are counted from 0.")
    sequence = VideoSequence(io.BytesIO(content), options, first_frame=wanted or 0)
    try:
        if wanted is None and sequence.frames != 1:
            raise InvalidFrameError(
                f"The video holds {_count(sequence.frames)} frames; say which one to measure, "
                "counted from 0."
            )
        for each in sequence:
            return each.read()
    finally:
        sequence.close()
    raise InvalidFrameError(
        f"Frame {wanted} was asked for; the video holds {_count(sequence.frames)}, counted from 0."
    )


def _count(frames: int | None) -> str:
    return "an unknown number of" if frames is None else f"{frames:,}"
