"""Read JPEG files: `jpeg_stream` checks and decodes them, EXIF and XMP say how they are turned."""

import struct

from headcirc.geometry import Frame
from headcirc.readers.jpeg_stream import decode_jpeg, read_jpeg
from headcirc.readers.limits import require_accepted_size
from headcirc.readers.orientation import find_orientation
from headcirc.readers.reader import ReadOptions
from headcirc.readers.still_image import refusing_damage, require_single_image, to_frame
from headcirc.readers.tiff_directory import find_number, read_entries, read_values

NAME = "JPEG"
SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg")
SIGNATURE = b"\xff\xd8\xff"
EXIF, XMP, MULTI_PICTURE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0"
"""How the application segments start that hold an orientation or list further images."""
GAIN_MAP = b' hdrgm:Version="'
"""XMP of an Ultra HDR file, whose second image only brightens the first."""
IMAGES_LISTED, IMAGE_LIST = 0xB001, 0xB002
"""Tags of the multi-picture index (CIPA DC-007)."""
LISTED_IMAGE_BYTES = 16


def recognises(content: bytes) -> bool:
    """Return whether the content starts like a JPEG file."""
    return content.startswith(SIGNATURE)


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return the frame of a JPEG file; see `headcirc.readers.decode.decode_frame`."""
    with refusing_damage(NAME):
        jpeg = read_jpeg(content)
    require_accepted_size((jpeg.columns, jpeg.rows), options.maximum_pixels)
    with refusing_damage(NAME):
        images = count_images(jpeg.applications)
        require_single_image("MPO" if images > 1 else NAME, images, options.frame_index)
        pixels, orientation = decode_jpeg(jpeg), _read_orientation(jpeg.applications)
    return to_frame(pixels, options, orientation=orientation)


def _read_orientation(applications: tuple[bytes, ...]) -> int:
    exif = b"".join(body.removeprefix(EXIF) for body in applications if body.startswith(EXIF))
    xmps = [body for body in applications if body.startswith(XMP)]
    return find_orientation(exif, xmps[-1] if xmps else b"")


def count_images(applications: tuple[bytes, ...]) -> int:
    """Return how many images the multi-picture index lists; 1 without one that can be read."""
    indexes = [body for body in applications if body.startswith(MULTI_PICTURE)]
    if not indexes or any(GAIN_MAP in body for body in applications):
        return 1
    index = indexes[-1].removeprefix(MULTI_PICTURE)
    try:
        images = find_number(index, IMAGES_LISTED) or 1
        entry = next(each for each in read_entries(index) if each.tag == IMAGE_LIST)
        is_whole = len(read_values(index, entry)) >= images * LISTED_IMAGE_BYTES
    except (StopIteration, ValueError, struct.error):
        return 1
    return images if is_whole else 1
