"""Start the process that decodes a video, and read its frames from a pipe."""

import contextlib
import fcntl
import io
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from headcirc.errors import ImageTooLargeError, UnreadableImageError
from headcirc.geometry import FROM_REQUEST, CalibratedRegion, Frame
from headcirc.readers.limits import (
    require_accepted_size,
    require_few_frames,
)
from headcirc.readers.reader import ReadOptions
from headcirc.readers.sequence import SequenceFrame
from headcirc.readers.video import decoder_process

SCRIPT = Path(decoder_process.__file__)
WAIT_S = 30.0
"""For the next bytes of the process; a frame takes some milliseconds."""
MAXIMUM_PIXELS = 16_000_000
"""Pixels of one frame, as in DICOM files."""
PIPE_BYTES = 1_048_576
"""More than a frame of usual size, so that the process is not woken for every 64 KB."""
DAMAGED = (
    "The video is damaged or cut off, or of a codec that is not read here; send the complete file, "
    "or save it again as MP4 (H.264)."
)


class VideoSequence:
    """The frames of an MP4 or AVI; see `headcirc.readers.sequence.FrameSequence`.

    Parameters
    ----------
    stream : BinaryIO
        It belongs to the caller. One in memory is copied to the temporary folder.
    options : ReadOptions
        The stated pixel size holds for every frame.
    first_frame : int
        Earlier frames are passed over.

    Attributes
    ----------
    frames : int or None
        As the container states them; a video that was cut off has fewer.

    Raises
    ------
    UnreadableImageError, ImageTooLargeError
    """

    def __init__(self, stream: BinaryIO, options: ReadOptions, *, first_frame: int = 0) -> None:
        self._options = options
        self._first_frame = first_frame
        self._maximum_pixels = min(options.maximum_pixels, MAXIMUM_PIXELS)
        with _on_disk(stream) as file:
            self._process = _start(file, self._maximum_pixels, first_frame)
        try:
            start = self._read(decoder_process.START.size)
            status, columns, rows, stated = decoder_process.START.unpack(start)
            if status == decoder_process.UNREADABLE:
                raise UnreadableImageError(DAMAGED)
            require_accepted_size((columns, rows), self._maximum_pixels)
            self.frames = int(stated) if np.isfinite(stated) and stated > 0 else None
            require_few_frames(self.frames or 0)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[SequenceFrame]:
        """Yield the frames; see `FrameSequence`."""
        index = self._first_frame
        while True:
            head = self._read(decoder_process.FRAME.size)
            time_ms, rows, columns = decoder_process.FRAME.unpack(head)
            if rows == 0 and index == 0:
                raise UnreadableImageError(DAMAGED)
            if rows == 0:
                return
            if rows == decoder_process.TOO_FAR:
                raise ImageTooLargeError(
                    f"Frame {index} is too far into this video to be reached in time; cut the "
                    "video before that frame, or save the frame as a picture."
                )
            require_few_frames(index + 1)
            require_accepted_size((columns, rows), self._maximum_pixels)
            pixels = np.frombuffer(self._read(rows * columns), np.uint8).reshape(rows, columns)
            frame = _to_frame(pixels, self._options)
            yield SequenceFrame(index, time_ms, lambda frame=frame: frame)  # type: ignore[misc]
            index += 1

    def _read(self, count: int) -> bytearray:
        """Return the next bytes of the process.

        Raises
        ------
        UnreadableImageError
            It has ended, by itself or by a limit, or it hangs.
        """
        content = bytearray(count)
        view, output = memoryview(content), self._process.stdout
        assert isinstance(output, io.FileIO)
        while view:
            try:
                ready, _, _ = select.select([output], [], [], WAIT_S)
                got = output.readinto(view) if ready else 0
            except (OSError, ValueError):  # closed by another thread
                got = 0
            if not got:
                raise UnreadableImageError(DAMAGED)
            view = view[got:]
        return content

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def _on_disk(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Give a file of the operating system; the process opens it by its descriptor."""
    try:
        stream.fileno()
        stream.flush()
    except io.UnsupportedOperation:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stream, copy)
            copy.flush()
            yield copy
    else:
        yield stream


def _start(stream: BinaryIO, maximum_pixels: int, first_frame: int) -> subprocess.Popen[bytes]:
    descriptor = stream.fileno()
    process = subprocess.Popen(  # noqa: S603 - our own script, with numbers as arguments
        [
            *(sys.executable, "-P", str(SCRIPT)),
            *(str(descriptor), str(maximum_pixels), str(first_frame)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # FFmpeg's messages quote the file
        bufsize=0,
        pass_fds=(descriptor,),
        env={
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OPENBLAS_NUM_THREADS": "1",  # each thread of NumPy's library would reserve memory
        },
    )
    assert process.stdout is not None
    with contextlib.suppress(OSError, AttributeError):  # Linux alone can; the rest still works
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process


def _to_frame(pixels: NDArray[np.uint8], options: ReadOptions) -> Frame:
    if options.pixel_spacing is None:
        return Frame(pixels)
    rows, columns = pixels.shape
    whole = (0, 0, columns - 1, rows - 1)
    return Frame(pixels, (CalibratedRegion(*whole, options.pixel_spacing, FROM_REQUEST),))
