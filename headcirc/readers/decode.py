"""Read a file with the reader that recognises its content.

The content says what a file is, never its name. Each reader checks the size in the header before
it decodes a pixel. Resolution tags are ignored, because they say nothing about millimetres.
"""

from headcirc.errors import UnreadableImageError, UnsupportedMediaTypeError
from headcirc.geometry import Frame, PixelSpacing
from headcirc.readers import bmp, dicom, jpeg, png, tiff, video, webp
from headcirc.readers.limits import DEFAULT_MAXIMUM_PIXELS
from headcirc.readers.reader import Reader, ReadOptions

READERS: tuple[Reader, ...] = (dicom, video, png, jpeg, bmp, tiff, webp)
"""The first one that recognises the content reads it. A DICOM file may also start like a TIFF."""
SUFFIXES = frozenset(suffix for reader in READERS for suffix in reader.SUFFIXES)


def decode_frame(
    content: bytes,
    *,
    pixel_spacing: PixelSpacing | None = None,
    frame_index: int | None = None,
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS,
) -> Frame:
    """Decode an image file.

    Parameters
    ----------
    content : bytes
        A whole file in the format of one of the `READERS`.
    pixel_spacing : PixelSpacing, optional
        As the caller states it, for the upright image; see `pixel_size`.
    frame_index : int, optional
        The frame to read. A file of a single image accepts only 0.
    maximum_pixels : int
        Larger images are refused before they are decoded.

    Returns
    -------
    Frame
        Upright; one calibrated region over everything if `pixel_spacing` is given, else none.

    Raises
    ------
    UnreadableImageError, UnsupportedMediaTypeError, ImageTooLargeError, InvalidFrameError
    """
    options = ReadOptions(pixel_spacing, frame_index, maximum_pixels)
    return _find_reader(content).read(content, options)


def _find_reader(content: bytes) -> Reader:
    if not content:
        raise UnreadableImageError("The file is empty; send a complete image file.")
    for reader in READERS:
        if reader.recognises(content):
            return reader
    *others, last = (reader.NAME for reader in READERS)
    accepted = f"{', '.join(others)} and {last} are accepted"
    raise UnsupportedMediaTypeError(f"The content is no image format known here; {accepted}.")
