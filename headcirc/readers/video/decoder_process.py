"""Decode a video to grey frames on standard output; runs as a script, in a process of its own.

It imports nothing of Headcirc, so that it starts quickly and holds no model and no other picture.
The pipe to its parent holds less than one frame, so decoding is never far ahead.

Usage: decoder_process.py FILE_DESCRIPTOR MAXIMUM_PIXELS FIRST_FRAME
"""

import resource
import struct
import sys
from typing import BinaryIO

import cv2

START = struct.Struct("<iiid")
"""Status, columns, rows and the number of frames (as a double: what OpenCV says)."""
FRAME = struct.Struct("<dii")
"""Time in ms, rows and columns; its grey values follow. Rows of 0 end the video."""
READY, UNREADABLE, TOO_LARGE = 0, 1, 2
MEMORY_BYTES = 2_000_000_000
CPU_S = 1_800


def main() -> None:
    """Write a start, then frames until the end of the video, or until nobody reads them."""
    descriptor, maximum_pixels, first_frame = (int(each) for each in sys.argv[1:])
    limit_resources()
    cv2.setNumThreads(1)
    output = open(1, "wb", buffering=0)  # noqa: SIM115 - until the process ends
    capture = cv2.VideoCapture(f"/dev/fd/{descriptor}", cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
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
    """Write each frame from `first_frame` on as grey values, then the mark of the end."""
    index = 0
    while capture.grab():
        index += 1
        if index <= first_frame:
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
