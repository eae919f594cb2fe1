"""Bytes to frame: one upright picture of 8-bit grey values.

What a file is, its content says, never its name. Size is checked in the header, before a pixel is
decoded. EXIF orientation is applied, and resolution tags are ignored because they say nothing about
millimetres. This room does not know networks, and it never guesses a pixel size.
"""

import struct
import warnings
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

from headcirc.errors import (
    ImageTooLargeError,
    InvalidFrameError,
    UnreadableImageError,
    UnsupportedMediaTypeError,
)
from headcirc.geometry import CalibratedRegion, Frame, PixelSpacing
from headcirc.readers.grey import to_grey, to_luma
from headcirc.readers.limits import CountedFile
from headcirc.readers.png_chunks import PNG_SIGNATURE, to_bare_png
from headcirc.readers.structure import (
    BMP_BITS_AT,
    count_tiff_pictures,
    require_few_tiff_pieces,
    require_few_tiled_pixels,
    require_whole,
)

SIGNATURES = (
    ("PNG", 0, PNG_SIGNATURE),
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("BMP", 0, b"BM"),
    ("TIFF", 0, b"II*\x00"),
    ("TIFF", 0, b"MM\x00*"),
    ("WEBP", 8, b"WEBP"),
)
DICOM_PREAMBLE_BYTES = 128
DEFAULT_MAXIMUM_PIXELS = 40_000_000
"""A frame of this many pixels takes 40 MB; HC18's have 432,000."""
MAXIMUM_SIDE_PX = 32_766
"""What OpenCV's `remap` takes, which draws the network's input."""

MAXIMUM_JPEG_SCANS = 32
"""A progressive JPEG has about ten; each costs a pass over all pixels, in as few as 20 bytes."""
JPEG_SCAN_MARKER = b"\xff\xda"

DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    LookupError,
    TypeError,
    AttributeError,
)
"""What Pillow's decoders raise on damaged files; it has no common base for them."""

Image.MAX_IMAGE_PIXELS = None  # our own limit is exact, and is checked on the header
# Of damaged files the caller is told, not the standard error stream. Python, too, would keep each
# new warning's text for ever.
warnings.filterwarnings("ignore", module=r"PIL\.")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Pillow has no entry for big-endian 16-bit samples whose 0 is white; `grey` knows what is white.
TiffImagePlugin.OPEN_INFO[b"MM", 0, (1,), 1, (16,), ()] = ("I;16B", "I;16B")


class UnturnedTiff(TiffImageFile):
    """A TIFF whose pixels stay as they are stored, like those of other formats."""

    def load_end(self) -> None:
        """Turn nothing: Pillow would read and rewrite all of the EXIF directories for it."""
        self._size = self.im.size


def decode_frame(
    content: bytes,
    *,
    pixel_spacing: PixelSpacing | None = None,
    frame_index: int | None = None,
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS,
) -> Frame:
    """Decode a picture.

    Parameters
    ----------
    content : bytes
        A whole PNG, JPEG, BMP, TIFF or WebP file.
    pixel_spacing : PixelSpacing, optional
        As the caller states it, of the upright picture; see `pixel_size`.
    frame_index : int, optional
        These formats hold one picture, so only 0 is accepted.
    maximum_pixels : int
        Larger pictures are refused before they are decoded.

    Returns
    -------
    Frame
        Upright; one calibrated region over everything if `pixel_spacing` is given, else none.

    Raises
    ------
    UnreadableImageError, UnsupportedMediaTypeError, ImageTooLargeError, InvalidFrameError
    """
    image = _open_image(content, maximum_pixels)
    try:
        _require_single_picture(image, content, frame_index)
        bare, orientation = to_bare_png(content), 1
        if bare is None:
            require_whole(image, content)
        if bare is not None and image.mode != "L":
            pixels = to_luma(_decode(bare, cv2.IMREAD_COLOR_RGB))
        elif bare is not None or _is_palette_bmp(content):
            pixels = _decode(bare or content, cv2.IMREAD_GRAYSCALE)
        elif image.format == "WEBP":  # for which Pillow takes four times the memory
            pixels = _decode(content, cv2.IMREAD_GRAYSCALE)
            orientation = _read_orientation(image)
        else:
            pixels = to_grey(image)
            orientation = _read_orientation(image)
    except DAMAGE as error:
        raise UnreadableImageError(
            f"The {image.format} file is damaged or cut off; send the complete file."
        ) from error
    pixels = _turn_upright(pixels, orientation)
    if pixel_spacing is None:
        return Frame(pixels, orientation=orientation)
    rows, columns = pixels.shape
    region = CalibratedRegion(0, 0, columns - 1, rows - 1, pixel_spacing, source="request")
    return Frame(pixels, (region,), orientation)


def _open_image(content: bytes, maximum_pixels: int) -> Image.Image:
    """Read the header and check format and size."""
    if not content:
        raise UnreadableImageError("The file is empty; send a complete image file.")
    name = _to_format_name(content)
    scans = content.count(JPEG_SCAN_MARKER) if name == "JPEG" else 1
    if scans > MAXIMUM_JPEG_SCANS:
        raise ImageTooLargeError(
            f"The JPEG has {scans} scans; at most {MAXIMUM_JPEG_SCANS} are accepted. Save it anew."
        )
    file = CountedFile(content)
    try:
        if name == "TIFF":
            require_few_tiff_pieces(content)
            image: Image.Image = (tiff := UnturnedTiff(file))
            require_few_tiled_pixels(tiff, maximum_pixels)
        else:
            image = Image.open(file, formats=[name])
    except DAMAGE as error:
        raise UnreadableImageError(
            f"The file begins as {name} but its header is damaged, or of a kind that is not read "
            "here; send the complete file, or save it anew as PNG."
        ) from error
    columns, rows = image.size
    if columns * rows > maximum_pixels or max(columns, rows) > MAXIMUM_SIDE_PX:
        raise ImageTooLargeError(
            f"The picture is {columns} x {rows} pixels; at most {maximum_pixels:,} pixels, and "
            f"{MAXIMUM_SIDE_PX:,} on a side, are accepted. Send the ultrasound frame alone."
        )
    return image


def _to_format_name(content: bytes) -> str:
    for name, offset, signature in SIGNATURES:
        if content.startswith(signature, offset):
            return name
    accepted = "PNG, JPEG, BMP, TIFF and WebP are accepted"
    if content.startswith(b"DICM", DICOM_PREAMBLE_BYTES):
        raise UnsupportedMediaTypeError(
            f"The file is DICOM, which this version does not read yet; {accepted}. "
            "Export the frame as PNG and state its pixel size."
        )
    raise UnsupportedMediaTypeError(f"The content is no image format known here; {accepted}.")


def _require_single_picture(image: Image.Image, content: bytes, frame_index: int | None) -> None:
    is_tiff = isinstance(image, TiffImageFile)
    pictures = count_tiff_pictures(content) if is_tiff else getattr(image, "n_frames", 1)
    if pictures > 1:
        raise InvalidFrameError(
            f"The {image.format} file holds {pictures:,} pictures; send the one to measure as a "
            "file of its own."
        )
    if frame_index not in (None, 0):
        raise InvalidFrameError(f"Frame {frame_index} was asked for; the file holds 1, number 0.")


def _is_palette_bmp(content: bytes) -> bool:
    """Tell whether a file is a BMP of 8 bits or fewer.

    Pillow reads their runs byte by byte in Python, and two colours in 8 bits as one bit.
    """
    return content.startswith(b"BM") and 0 < content[BMP_BITS_AT] <= 8  # noqa: PLR2004


def _decode(content: bytes, channels: int) -> NDArray[np.uint8]:
    """Let OpenCV decode, as `IMREAD_GRAYSCALE` or `IMREAD_COLOR_RGB`, and turn nothing."""
    as_stored = channels | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), as_stored)
    if pixels is None:
        raise ValueError("The compressed data do not fill the picture.")
    return np.asarray(pixels, np.uint8)


def _read_orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; what cannot be read turns nothing."""
    try:
        tags = image.tag_v2 if isinstance(image, TiffImageFile) else image.getexif()
        orientation = tags.get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return 1
    return int(orientation) if orientation in range(1, 9) else 1


def _turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror stored pixels to be seen as EXIF's orientation says."""
    if orientation > 4:  # noqa: PLR2004 - 5 to 8 are 1 to 4 of the picture with its axes exchanged
        pixels = pixels.T
    row_step = -1 if orientation in (3, 4, 7, 8) else 1
    column_step = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::row_step, ::column_step])
