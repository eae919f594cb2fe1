"""Make damaged image files, as disks, networks and attackers produce them.

Each file follows from its number, so a harmful file can be made again.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from tests.headcirc.jpeg_files import SIDE_PX, make_rare_jpegs, put_frame_marker
from tests.headcirc.readers.test_decode import make_png_bomb, to_png_chunk
from tests.support.dicom_files import ENCODERS, make_dicom, make_number, make_region
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file
from tests.support.tiff_files import GREY, make_chained_tiff, make_tiff, make_tiled_tiff

ROWS, COLUMNS = 54, 80
EXTENDED_SEQUENTIAL, MAXIMUM_SAMPLE = 0xC1, 281
"""A JPEG's marker, and a TIFF's tag."""
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
BOMB_SIDE_PX = 6_300
"""Side of the largest square picture within the default limit on pixels."""
BOMB_BYTES = 10_000_000
"""The largest upload."""
PIXELS = struct.pack("<HH", 0x7FE0, 0x0010)
META_AT = 132
"""Where a DICOM file begins to say something."""
HEADER_BYTES = 200
Random = np.random.Generator


def to_seeds() -> list[bytes]:
    """Return small valid files of every format, in several variants."""
    grey = Image.fromarray(draw_head(SMALL_HEAD, rows=ROWS, columns=COLUMNS))
    colour = grey.convert("RGB")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    kinds = [
        ("PNG", [grey, colour, deep, grey.convert("1"), grey.convert("P"), colour.convert("RGBA")]),
        ("JPEG", [grey, colour, colour.convert("CMYK")]),
        ("BMP", [grey, colour, grey.convert("1")]),
        ("TIFF", [grey, colour, deep, grey.convert("1")]),
        ("WEBP", [colour, colour.convert("RGBA")]),
    ]
    files = [to_file(image, name) for name, images in kinds for image in images]
    files += [to_file(colour, "JPEG", progressive=True), to_file(colour, "WEBP", lossless=True)]
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        files.append(to_file(colour, "TIFF", compression=compression))
    jpeg = to_file(colour, "JPEG", restart_marker_blocks=3)
    files += [jpeg, jpeg + files[0], put_frame_marker(jpeg, EXTENDED_SEQUENTIAL)]
    files.append(to_file(deep, "TIFF", tiffinfo={MAXIMUM_SAMPLE: 65_535}))
    files.append(put_chunk(to_file(deep), b"sBIT", b"\x0c"))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotated by 90 degrees
    files += [to_file(colour, "JPEG", exif=exif), to_file(colour, "PNG", exif=exif)]
    return files + to_dicom_seeds(np.asarray(grey), np.asarray(colour))


def to_dicom_seeds(grey: np.ndarray, colour: np.ndarray) -> list[bytes]:
    """Return DICOM files of every transfer syntax, with regions, palette, window and frames."""
    regions = [make_region((0, 0, COLUMNS - 1, ROWS - 1))]
    ramp = np.arange(256, dtype="<u2").tobytes()
    palette = {
        f"{each}PaletteColorLookupTable{part}": value
        for each in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", ramp))
    }
    group = Dataset()
    group.SequenceOfUltrasoundRegions = regions
    files = [make_dicom(pixels, regions=regions) for pixels in (grey, colour)]
    files += [
        make_dicom(grey, syntax=uid.ImplicitVRLittleEndian, PixelSpacing=[0.1, 0.1]),
        make_dicom(grey.astype(np.uint16), BitsStored=12, HighBit=11, WindowCenter=99,
                   WindowWidth=99),
        make_dicom(grey, PhotometricInterpretation="PALETTE COLOR", **palette),
        make_dicom(grey, PerFrameFunctionalGroupsSequence=[group]),
        make_dicom(grey, StudyDate="20260611", LastMenstrualDate="20260119",
                   AcquisitionContextSequence=[make_number("11885-1", "20.4", "wk")]),
    ]  # fmt: skip
    for syntax, encode in ENCODERS.items():
        kinds = {} if syntax != uid.JPEGBaseline8Bit else {"PhotometricInterpretation": "YBR_FULL"}
        files.append(make_dicom(grey, syntax=syntax, encoded=[encode(grey)], regions=regions))
        files.append(make_dicom(colour, syntax=syntax, encoded=[encode(colour)], **kinds))
    return files


def to_dicom_bombs() -> list[bytes]:
    """Return DICOM files of many elements, items or fragments, or whose pixels would grow."""
    grey = np.zeros((ROWS, COLUMNS), np.uint8)
    plain = make_dicom(grey)
    at = plain.index(struct.pack("<HH", 0x0028, 0x0002))
    element = struct.pack("<HH2sH", 0x0009, 0x1001, b"LO", 0)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    items = item * (BOMB_BYTES // len(item))
    regions = struct.pack("<HH2sHI", 0x0018, 0x6011, b"SQ", 0, len(items)) + items
    undefined = struct.pack("<HH2sHI", 0x0018, 0x6011, b"SQ", 0, 0xFFFFFFFF)
    nested = (undefined + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * (BOMB_BYTES // 20)
    few = item * 9_900
    many = (item + element) * (1_990_000 // 16)
    short = struct.pack("<HH2sHI", 0x0018, 0x6011, b"SQ", 0, len(few)) + few
    groups = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, len(many)) + many
    fragments = item * (BOMB_BYTES // len(item))
    runs = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x07" * (BOMB_BYTES // 2)
    large = {"Rows": 4_000, "Columns": 4_000}
    wide = bytearray(ENCODERS[uid.JPEG2000Lossless](grey))
    wide[8:16] = struct.pack(">2I", 4_000, 4_000)
    return [
        plain[:at] + element * (BOMB_BYTES // len(element)) + plain[at:],
        plain[:at] + regions + plain[at:],
        plain[:at] + nested + plain[at:],
        plain[:at] + short + plain[at:],
        plain.replace(PIXELS, groups + PIXELS),
        make_dicom(grey, syntax=uid.JPEG2000, encoded=[b""], pixel_data=item + fragments),
        make_dicom(grey, syntax=uid.RLELossless, encoded=[runs], **large),
        make_dicom(grey, syntax=uid.JPEG2000Lossless, encoded=[bytes(wide)], **large),
        make_dicom(np.zeros((3_000, 3_000), np.uint8)),
    ]


def to_refused_seeds() -> list[bytes]:
    """Return valid files of all refused kinds of JPEG, alone and inside a TIFF."""
    jpegs = list(make_rare_jpegs().values())
    side = {256: SIDE_PX, 257: SIDE_PX, 278: SIDE_PX}
    tiffs = [make_tiff(GREY | side | {259: 7, 279: len(jpeg)}, jpeg) for jpeg in jpegs]
    return [*jpegs, *tiffs]


def to_bombs() -> list[bytes]:
    """Return files that decode to many pixels, much text or many layers, or take long to parse."""
    side_px = BOMB_SIDE_PX
    flat = Image.new("L", (side_px, side_px))
    text = zlib.compress(bytes(50_000_000))
    bombs = [
        make_png_bomb(65_000, 65_000),
        make_png_bomb(side_px, side_px),
        make_overfull_png(),
        to_file(flat, "PNG"),
        to_file(Image.new("RGBA", (side_px, side_px)), "PNG"),
        to_file(flat, "TIFF", compression="tiff_adobe_deflate"),
        to_file(flat, "JPEG", quality=1),
        to_file(Image.new("RGB", (side_px, side_px)), "WEBP", quality=0, method=0),
        put_chunk(to_seeds()[0], b"zTXt", b"note\x00\x00" + text),
        put_chunk(to_seeds()[0], b"iCCP", b"icc\x00\x00" + text),
        make_chained_tiff(BOMB_BYTES // 42),
        make_tiled_tiff(BOMB_BYTES // 4),
    ]
    jpeg = to_file(Image.new("L", (COLUMNS, ROWS)), "JPEG")
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    bombs.append(jpeg[:2] + b"\xff" * BOMB_BYTES + jpeg[2:])
    bombs.append(jpeg[:-2] + b"\xff" * BOMB_BYTES + jpeg[-2:])
    bombs.append(jpeg[:-2] + scan * (BOMB_BYTES // len(scan)) + jpeg[-2:])
    for field in (b"\x00\x01", b"\x01\x01"):  # ImageWidth, ImageLength of a little-endian TIFF
        tiff = bytearray(to_file(Image.new("L", (COLUMNS, ROWS)), "TIFF"))
        at = tiff.index(field, 8)
        tiff[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 0x7FFFFFFF)
        bombs.append(bytes(tiff))
    bmp = bytearray(to_file(flat.crop((0, 0, COLUMNS, ROWS)), "BMP"))
    bmp[18:26] = struct.pack("<ii", 0x7FFFFFFF, 0x7FFFFFFF)
    return [*bombs, bytes(bmp), *to_dicom_bombs()]


def make_overfull_png() -> bytes:
    """Return a small PNG whose data go on for ten gigabytes after its last row."""
    deflater = zlib.compressobj(9)
    first = deflater.compress(bytes(ROWS * (COLUMNS + 1))) + deflater.flush(zlib.Z_FULL_FLUSH)
    more = deflater.compress(bytes(1_000_000)) + deflater.flush(zlib.Z_FULL_FLUSH)
    header = struct.pack(">IIBBBBB", COLUMNS, ROWS, 8, 0, 0, 0, 0)
    data = first + more * (BOMB_BYTES // len(more))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(to_png_chunk(*each) for each in chunks)


def put_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    """Return a PNG with one more chunk after its header."""
    return png[:33] + to_png_chunk(name, data) + png[33:]


def flip_bits(content: bytearray, random: Random) -> None:
    for at in random.integers(0, len(content), random.integers(1, 30)):
        content[at] ^= 1 << int(random.integers(8))


def truncate(content: bytearray, random: Random) -> None:
    del content[int(random.integers(1, len(content))) :]


def swap_chunks(content: bytearray, random: Random) -> None:
    first, second, third, fourth = sorted(int(each) for each in random.integers(0, len(content), 4))
    content[first:fourth] = content[third:fourth] + content[second:third] + content[first:second]


def repeat_chunk(content: bytearray, random: Random) -> None:
    first, second = sorted(int(each) for each in random.integers(0, len(content), 2))
    content[first:first] = content[first:second] * int(random.integers(1, 20))


def blank_chunk(content: bytearray, random: Random) -> None:
    first, second = sorted(int(each) for each in random.integers(0, len(content), 2))
    content[first:second] = bytes([int(random.choice([0, 255]))]) * (second - first)


def put_extreme(content: bytearray, random: Random) -> None:
    """Write an extreme number into the header, in either byte order."""
    for _ in range(int(random.integers(1, 4))):
        form = str(random.choice(["<I", ">I", "<H", ">H"]))
        size = struct.calcsize(form)
        start = META_AT if content.startswith(b"DICM", META_AT - 4) else 2
        end = len(content) - size
        at = int(random.integers(min(start, end - 1), min(end, start + HEADER_BYTES)))
        content[at : at + size] = struct.pack(form, EXTREMES[random.integers(8)] % 256**size)


MUTATIONS = (flip_bits, truncate, swap_chunks, repeat_chunk, blank_chunk, put_extreme)


def repair_png(content: bytes) -> bytes:
    """Return a PNG with corrected checksums, so that the damage reaches the decoder."""
    out, at = io.BytesIO(), 8
    out.write(content[:8])
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + length]
        out.write(content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return out.getvalue()


def mutate(seeds: list[bytes], number: int) -> bytes:
    """Return the mutated file with this number."""
    random = np.random.default_rng(number)
    content = bytearray(seeds[number % len(seeds)])
    for _ in range(int(random.integers(1, 3))):
        if len(content) > 16:
            MUTATIONS[random.integers(len(MUTATIONS))](content, random)
    is_png = content.startswith(b"\x89PNG\r\n\x1a\n")
    return repair_png(bytes(content)) if is_png and random.random() < 0.5 else bytes(content)
