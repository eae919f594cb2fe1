"""Read TIFF files of one image with Pillow, and refuse those whose grey values would be a guess."""

import struct
from itertools import count

from PIL import Image, ImagePalette, TiffImagePlugin, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from headcirc.errors import ImageTooLargeError, UnsupportedMediaTypeError
from headcirc.geometry import Frame
from headcirc.readers.grey import EIGHT_BITS, MAXIMUM_BITS, is_narrow, to_grey
from headcirc.readers.limits import CountedFile, require_accepted_size, require_few
from headcirc.readers.reader import ReadOptions
from headcirc.readers.still_image import (
    DAMAGE,
    refusing_damage,
    refusing_damaged_header,
    require_single_image,
    to_frame,
)
from headcirc.readers.tiff_directory import (
    ENTRY_BYTES,
    INTEGERS,
    KIND_BYTES,
    VALUE_BYTES,
    Entry,
    read_entries,
    read_values,
    to_byte_order,
)

NAME = "TIFF"
SUFFIXES: tuple[str, ...] = (".tif", ".tiff")
SIGNATURES = (b"II*\x00", b"MM\x00*")
OFFSETS = frozenset({TiffImagePlugin.STRIPOFFSETS, TiffImagePlugin.TILEOFFSETS})
FRACTIONS = frozenset({TiffTags.RATIONAL, TiffTags.SIGNED_RATIONAL})
"""Pillow makes an object of each of these numbers."""
ORIENTATION, MAXIMUM_SAMPLE = 274, 281
"""The tags Orientation and MaxSampleValue."""
JPEG_COMPRESSIONS = frozenset({6, 7})
"""JPEG as TIFF 6.0 describes it, and as it is written since."""
TILED_SHARE = 2
"""Tiles reach beyond the edges of an image, but in a large one by less than its own size."""
UNSIGNED = {1}
"""SampleFormat has one number for each channel."""
UNCOMPRESSED, SEPARATE_PLANES, LOWEST_BIT_FIRST, WHITE_IS_ZERO, BLACK_IS_ZERO = 1, 2, 2, 0, 1
"""Values of Compression, PlanarConfiguration, FillOrder and PhotometricInterpretation."""


class StoredTiff(TiffImageFile):
    """A TIFF whose pixels stay as they are stored, like those of other formats."""

    def load_prepare(self) -> None:
        """Allocate the pixels; the size was checked, and Pillow's check could warn."""
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()

    def load_end(self) -> None:
        """Turn nothing: Pillow would read and rewrite all EXIF directories for it."""
        self._size = self.im.size

    def _setup(self) -> None:
        """Read big-endian 16-bit samples whose 0 is white as if 0 were black.

        Pillow lists no mode for them. `to_grey` is told which sample is white.
        """
        tags = self.tag_v2
        is_unlisted = (
            tags.prefix == b"MM"
            and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
            and tags.get(TiffImagePlugin.BITSPERSAMPLE) == (MAXIMUM_BITS,)
            and tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)) == (1,)
            and tags.get(TiffImagePlugin.FILLORDER, 1) == 1
        )
        if is_unlisted:
            tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = BLACK_IS_ZERO
        super()._setup()
        if is_unlisted:
            tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = WHITE_IS_ZERO


def recognises(content: bytes) -> bool:
    """Return whether the content starts like a TIFF file."""
    return content.startswith(SIGNATURES)


def read(content: bytes, options: ReadOptions) -> Frame:
    """Return the frame of a TIFF file; see `headcirc.readers.decode.decode_frame`."""
    with refusing_damaged_header(NAME):
        require_few_values(content)
        image = StoredTiff(CountedFile(to_clean_directory(content)))
        require_few_tiled_pixels(image, options.maximum_pixels)
    require_accepted_size(image.size, options.maximum_pixels)
    with refusing_damage(NAME):
        require_single_image(NAME, count_images(content), options.frame_index)
        require_no_jpeg_data(image)
        missing = count_missing_samples(image)
        if missing > 0:
            raise ValueError(f"{missing} samples are missing.")
        require_known_samples(image)
        if image.mode == "P":
            _widen_palette(image)
        tags = image.tag_v2
        bits = int(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0])
        grey = to_grey(
            image,
            sample_bits=bits,
            significant_bits=_read_significant_bits(tags),
            is_white_zero=tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] == WHITE_IS_ZERO,
        )
        orientation = _read_orientation(tags)
        has_narrow_range = bits == MAXIMUM_BITS and is_narrow(grey)
    return to_frame(grey, options, orientation=orientation, has_narrow_range=has_narrow_range)


def require_few_values(content: bytes) -> None:
    """Refuse a TIFF whose first directory lists too many strips, tiles or fractions.

    Pillow reads each list in one read, so `CountedFile` does not count what is in it.

    Raises
    ------
    ImageTooLargeError
    ValueError, struct.error
        The file ends before its first directory.
    """
    entries = read_entries(content)
    require_few(
        sum(each.count for each in entries if each.tag in OFFSETS or each.kind in FRACTIONS)
    )


def to_clean_directory(content: bytes) -> bytes:
    """Return the TIFF without the tags that Pillow would skip with a Python warning.

    These are tags whose values lie outside the file, all tags after one that is cut off, and
    further numbers of a tag that has only one. A file without such tags is returned unchanged.
    """
    order = to_byte_order(content)
    (at,) = struct.unpack_from(order + "I", content, 4)
    (stated,) = struct.unpack_from(order + "H", content, at)
    kept: list[Entry] = []
    total_bytes, is_clean = 0, len(content) >= at + 2 + ENTRY_BYTES * stated + 4
    for entry in read_entries(content):
        if entry.size_bytes > VALUE_BYTES:
            total_bytes += entry.size_bytes
            if total_bytes > len(content):
                is_clean = False
                continue
            if len(read_values(content, entry)) < entry.size_bytes:
                is_clean = False
                break
        single = _to_single(content, entry)
        is_clean &= single is entry
        kept.append(single)
    if is_clean:
        return content
    padding = bytes(len(content) % 2)
    listed = b"".join(struct.pack(order + "HHI4s", e.tag, e.kind, e.count, e.value) for e in kept)
    directory = struct.pack(order + "H", len(kept)) + listed + bytes(4)
    place = struct.pack(order + "I", len(content) + len(padding))
    return content[:4] + place + content[8:] + padding + directory


def _to_single(content: bytes, entry: Entry) -> Entry:
    """Return the entry with its first number only, if its tag has a single one by definition."""
    has_too_many = entry.count > 1 and entry.kind in INTEGERS
    if not has_too_many or TiffTags.lookup(entry.tag).length != 1:
        return entry
    if entry.tag == TiffImagePlugin.PHOTOMETRIC_INTERPRETATION:
        return entry  # Pillow takes it for missing, without a warning
    value = read_values(content, entry)[: KIND_BYTES[entry.kind]].ljust(VALUE_BYTES, b"\0")
    return Entry(entry.tag, entry.kind, 1, value)


def count_images(content: bytes) -> int:
    """Return how many images a TIFF holds; Pillow would take minutes to count many.

    Raises
    ------
    ImageTooLargeError
        Too many, or a chain of directories without an end.
    struct.error
        The file ends before its last directory.
    """
    order = to_byte_order(content)
    place = 4
    for images in count():
        require_few(images)
        (at,) = struct.unpack_from(order + "I", content, place)
        if at == 0:
            return images
        (entries,) = struct.unpack_from(order + "H", content, at)
        place = at + 2 + ENTRY_BYTES * entries
    raise AssertionError("unreachable")


def require_few_tiled_pixels(image: TiffImageFile, maximum_pixels: int) -> None:
    """Refuse a TIFF whose tiles hold far more than its image: each tile is decoded whole.

    Raises
    ------
    ImageTooLargeError
    TypeError
        The side of a tile is no number.
    """
    tags = image.tag_v2
    if TiffImagePlugin.TILEWIDTH not in tags:
        return
    columns = _to_tiled_px(image.width, tags[TiffImagePlugin.TILEWIDTH])
    rows = _to_tiled_px(image.height, tags.get(TiffImagePlugin.TILELENGTH, 1))
    if columns * rows > TILED_SHARE * maximum_pixels:
        raise ImageTooLargeError(
            f"The TIFF's tiles hold {columns} x {rows} pixels; at most "
            f"{TILED_SHARE * maximum_pixels:,} are accepted. Save it again, for instance as PNG."
        )


def _to_tiled_px(side_px: int, tile_px: int) -> int:
    return -(-side_px // max(tile_px, 1)) * tile_px


def require_no_jpeg_data(image: TiffImageFile) -> None:
    """Refuse a TIFF whose pixels are JPEG data.

    libtiff decodes every JPEG process, lossless too. It fills what is cut off or damaged with grey
    and reports no error, so half an image would look like a whole one.

    Raises
    ------
    UnsupportedMediaTypeError
    """
    if image.tag_v2.get(TiffImagePlugin.COMPRESSION) in JPEG_COMPRESSIONS:
        raise UnsupportedMediaTypeError(
            "The TIFF's pixels are JPEG data, whose damage would not be noticed; uncompressed, "
            "deflate, LZW and PackBits are accepted. Save it as PNG."
        )


def count_missing_samples(image: TiffImageFile) -> int:
    """Return how many samples of a TIFF are in no strip or tile."""
    tags = image.tag_v2
    is_planar = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == SEPARATE_PLANES
    planes = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) if is_planar else 1
    boxes = (tile.extents or (0, 0, 0, 0) for tile in image.tile)
    held = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    return planes * image.width * image.height - held


def require_known_samples(image: TiffImageFile) -> None:
    """Refuse a TIFF whose black and white would be a guess.

    Raises
    ------
    UnsupportedMediaTypeError
    """
    tags = image.tag_v2
    is_known = (
        image.mode not in ("I", "F", "La")
        and TiffImagePlugin.PHOTOMETRIC_INTERPRETATION in tags
        and set(tags.get(TiffImagePlugin.SAMPLEFORMAT, UNSIGNED)) == UNSIGNED
        and not _is_misread(tags)
    )
    if not is_known:
        raise UnsupportedMediaTypeError(
            "The TIFF's samples are signed, fractions, of 32 bits, multiplied by alpha or in bare "
            "planes of a rare kind, or it does not say whether 0 is black; 1 to 16 bits, unsigned, "
            "are accepted. Save it as PNG."
        )


def _is_misread(tags: ImageFileDirectory_v2) -> bool:
    """Return whether Pillow would misread separate planes.

    It reads uncompressed planes as 8 bits, highest bit first, 0 for black, whatever the tags say:
    16 bits become an image of half the width, stretched, with stripes.
    """
    return (
        tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == SEPARATE_PLANES
        and tags.get(TiffImagePlugin.COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
        and (
            set(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) != {8}
            or tags.get(TiffImagePlugin.FILLORDER) == LOWEST_BIT_FIRST
            or tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
        )
    )


def _widen_palette(image: TiffImageFile) -> None:
    """Read a palette whose colours all fit into 8 bits as 8 bits: as libtiff does, unlike Pillow.

    TIFF has 16 bits for each colour, but some writers put 0 to 255 there, which would be black.
    """
    colours = image.tag_v2[TiffImagePlugin.COLORMAP]
    if max(colours) <= EIGHT_BITS:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def _read_significant_bits(tags: ImageFileDirectory_v2) -> int:
    """Return the bits that MaxSampleValue needs; 0 where it is not stated.

    Some writers state the highest sample of the image there, so it counts as a number of bits.
    """
    stated = tags.get(MAXIMUM_SAMPLE, 0)
    numbers = stated if isinstance(stated, tuple) else (stated,)
    return max((each for each in numbers if isinstance(each, int)), default=0).bit_length()


def _read_orientation(tags: ImageFileDirectory_v2) -> int:
    try:
        stated = tags.get(ORIENTATION, 1)
    except DAMAGE:
        return 1
    return int(stated) if stated in range(1, 9) else 1
