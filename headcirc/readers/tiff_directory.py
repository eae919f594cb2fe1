"""Read the directory of a TIFF: a list of tags and their values.

EXIF blocks and the index of a multi-picture JPEG have the same structure. Pillow reads them too,
but it reports damage as Python warnings, which only a process-wide filter can silence.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

BYTE_ORDERS = {b"II": "<", b"MM": ">"}
ENTRY_BYTES = 12
VALUE_BYTES = 4
"""A longer value stands elsewhere in the file, and the entry holds its place."""
KIND_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
}
"""Bytes of one value of each kind that Pillow reads."""
INTEGERS = {3: "H", 4: "I", 8: "h", 9: "i"}
"""Kinds of integers and how `struct` calls them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory.

    Attributes
    ----------
    tag, kind, count : int
        The tag, the kind of its values, and how many there are.
    value : bytes
        Four bytes: the values, or their place in the file.
    """

    tag: int
    kind: int
    count: int
    value: bytes

    @property
    def size_bytes(self) -> int:
        """Return the size of all values; 0 for an unknown kind."""
        return KIND_BYTES.get(self.kind, 0) * self.count


def to_byte_order(block: bytes) -> str:
    """Return `<` or `>`, as `struct` uses them; raises ValueError for any other block."""
    order = BYTE_ORDERS.get(block[:2])
    if order is None or block[2:4] != struct.pack(order + "H", 42):
        raise ValueError("Not a TIFF directory.")
    return order


def read_entries(block: bytes) -> Iterator[Entry]:
    """Yield the entries of the first directory, as far as the block holds them.

    Raises
    ------
    ValueError
        The block does not start like a TIFF.
    struct.error
        The block ends before its first directory.
    """
    order = to_byte_order(block)
    (at,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, at)
    listed = block[at + 2 : at + 2 + ENTRY_BYTES * count]
    whole_bytes = len(listed) // ENTRY_BYTES * ENTRY_BYTES
    for fields in struct.iter_unpack(order + "HHI4s", listed[:whole_bytes]):
        yield Entry(*fields)


def read_values(block: bytes, entry: Entry) -> bytes:
    """Return the bytes of an entry's values, as far as the block holds them."""
    if entry.size_bytes <= VALUE_BYTES:
        return entry.value[: entry.size_bytes]
    (at,) = struct.unpack(to_byte_order(block) + "I", entry.value)
    return block[at : at + entry.size_bytes]


def find_number(block: bytes, tag: int) -> int | None:
    """Return the first integer of a tag, or None where the tag is missing or no integer.

    Raises
    ------
    ValueError, struct.error
        The block is no TIFF directory, or the value lies outside it.
    """
    entry = next((each for each in read_entries(block) if each.tag == tag), None)
    if entry is None or entry.kind not in INTEGERS:
        return None
    number = struct.unpack_from(
        to_byte_order(block) + INTEGERS[entry.kind], read_values(block, entry)
    )
    return int(number[0])
