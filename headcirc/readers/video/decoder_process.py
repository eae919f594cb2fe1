"""Decode a video to grey frames on standard output; runs as a script, in a process of its own.

It imports nothing of Headcirc, so that it starts quickly and holds no model and no other picture.
The pipe to its parent holds less than one frame, so decoding is never far ahead.

Usage: decoder_process.py FILE_DESCRIPTOR MAXIMUM_PIXELS FIRST_FRAME
"""

import os
import resource
import struct
import sys
import time
from collections.abc import Sequence
from typing import BinaryIO

import cv2

START = struct.Struct("<iiid")
"""Status, columns, rows and the number of frames (as a double: what OpenCV says)."""
FRAME = struct.Struct("<dii")
"""Time in ms, rows and columns; its grey values follow. Rows of 0 end the video."""
TOO_FAR = -1
"""In place of rows: the first frame that is wanted takes too long to reach."""
READY, UNREADABLE, TOO_LARGE = 0, 1, 2
MEMORY_BYTES = 2_000_000_000
CPU_S = 1_800
OPENING_CPU_S = 5.0
"""For trying the codecs; a usual video takes some milliseconds for all of them."""
PASSING_CPU_S = 5.0
"""For the frames before the first one that is wanted, some thousands of usual size: a few megabytes
can hold hours of work."""
OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi"
CODECS = (
    *("h264", "mpeg4", "mjpeg", "hevc", "vp9", "libdav1d", "av1", "rawvideo", "msrle", "msvideo1"),
    *("msmpeg4", "msmpeg4v1", "msmpeg4v2", "cinepak", "huffyuv", "ffvhuff", "ffv1", "bmp", "png"),
)
"""Demuxers and decoders of FFmpeg that may run, usual ones first; a video needs no other, and no
network."""
FFMPEG_OPTIONS = (
    f"format_whitelist;{CONTAINERS}|protocol_whitelist;file|enable_drefs;0|use_absolute_path;0"
)


def main() -> None:
    """Write a start, then frames until the end of the video, or until nobody reads them."""
    descriptor, maximum_pixels, first_frame = (int(each) for each in sys.argv[1:])
    limit_resources()
    cv2.setNumThreads(1)
    output = open(1, "wb", buffering=0)  # noqa: SIM115 - until the process ends
    capture = open_capture(f"/dev/fd/{descriptor}")
    columns = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    rows = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    status = READY
    if not capture.isOpened() or columns < 1 or rows < 1:
        status = UNREADABLE
    elif columns * rows > maximum_pixels:
        status = TOO_LARGE
    frames = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    try:
        output.write(START.pack(status, columns, rows, frames))
        if status == READY:
            write_frames(capture, output, maximum_pixels, first_frame)
    except BrokenPipeError:
        pass  # the parent has what it wants


def open_capture(path: str, codecs: Sequence[str] = CODECS) -> cv2.VideoCapture:
    """Open a video with the first codec that is its own; none is open if it is of no listed codec.

    FFmpeg's list of allowed codecs holds while it looks for the streams. OpenCV then opens the
    decoder without that list, so it is told which one: FFmpeg refuses it for another codec's data.
    """
    capture = cv2.VideoCapture()
    for each in codecs:
        options = f"{FFMPEG_OPTIONS}|codec_whitelist;{each}|video_codec;{each}"
        os.environ[OPTIONS] = options  # noqa: TID251 - OpenCV takes them from nowhere else
        is_open = capture.open(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if is_open or time.process_time() > OPENING_CPU_S:
            break
    return capture


def limit_resources() -> None:
    """Limit what a hostile file can take; a core file would hold a patient's pictures."""
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (wanted, wanted))


def write_frames(
    capture: cv2.VideoCapture, output: BinaryIO, maximum_pixels: int, first_frame: int
) -> None:
    """Write each frame from `first_frame` on as grey values, then an end or `TOO_FAR`."""
    index = 0
    while capture.grab():
        index += 1
        if index <= first_frame:
            if time.process_time() > PASSING_CPU_S:
                output.write(FRAME.pack(0.0, TOO_FAR, 0))
                return
            continue
        time_ms = float(capture.get(cv2.CAP_PROP_POS_MSEC))
        is_read, picture = capture.retrieve()
        if not is_read or picture.size > 3 * maximum_pixels:
            break
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)  # noqa: PLR2004
        output.write(FRAME.pack(time_ms, *grey.shape))
        view = memoryview(grey).cast("B")
        while view:
            view = view[output.write(view) :]
    output.write(FRAME.pack(0.0, 0, 0))


if __name__ == "__main__":
    main()
