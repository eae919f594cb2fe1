"""What a sequence of frames offers: frames in turn, each decoded when it is asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from headcirc.geometry import Frame


@dataclass(frozen=True)
class SequenceFrame:
    """One frame of a sequence, not decoded yet.

    Attributes
    ----------
    index : int
        Its number in the sequence, from 0.
    time_ms : float or None
        When it was recorded, from the first frame on; None where nothing says.
    read : callable
        Decodes it; raises `InputError` if this frame cannot be read. It must be called before the
        next frame is asked for.
    """

    index: int
    time_ms: float | None
    read: Callable[[], Frame]


class FrameSequence(Protocol):
    """The frames of a cine, a video or a list of files; it holds one frame at a time.

    Attributes
    ----------
    frames : int or None
        How many there are, as the file states it; None where it does not.
    """

    frames: int | None

    def __iter__(self) -> Iterator[SequenceFrame]:
        """Yield the frames in turn, once.

        Raises
        ------
        InputError
            The file is damaged or cut off here; no further frame can be read.
        """

    def close(self) -> None:
        """Release what was opened; no thread may wait for a frame."""
