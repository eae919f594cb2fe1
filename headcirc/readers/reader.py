"""What a reader offers, and what a caller can ask of it."""

from dataclasses import dataclass
from typing import Protocol

from headcirc.geometry import Frame, PixelSpacing
from headcirc.readers.limits import DEFAULT_MAXIMUM_PIXELS


@dataclass(frozen=True)
class ReadOptions:
    """What the caller states about a file.

    Attributes
    ----------
    pixel_spacing : PixelSpacing, optional
        Pixel spacing of the upright image.
    frame_index : int, optional
        The frame to read, where a file can hold several.
    maximum_pixels : int
        Larger images are refused before they are decoded.
    """

    pixel_spacing: PixelSpacing | None = None
    frame_index: int | None = None
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS


class Reader(Protocol):
    """Reads the files of one format; a module with these four names is a reader."""

    NAME: str
    SUFFIXES: tuple[str, ...]
    """Suffixes of the files in a folder that may have this format: in lower case, with the dot."""

    def recognises(self, content: bytes) -> bool:
        """Return whether the content starts like a file of this format."""

    def read(self, content: bytes, options: ReadOptions) -> Frame:
        """Return the frame, or raise an `InputError` that says what the caller can do."""
