"""Read a DICOMDIR: the list of the files on a CD, a stick or in an exported study."""

import io

from headcirc.errors import UnreadableImageError
from headcirc.readers.dicom.file import DICOM_DAMAGE, read_head

PICTURE = "IMAGE"
PARENTS = (".", "..", "")


def list_pictures(content: bytes) -> list[tuple[str, ...]]:
    """Return the pictures that a DICOMDIR lists: folders and name, from the DICOMDIR's folder.

    Raises
    ------
    UnreadableImageError
        The file is damaged, or a name leads out of the folder.
    """
    try:
        header = read_head(io.BytesIO(content)).header
        records = [
            record
            for record in header.get("DirectoryRecordSequence", [])
            if record.get("DirectoryRecordType") == PICTURE
        ]
        names = [_to_parts(record.ReferencedFileID) for record in records]
    except DICOM_DAMAGE:
        raise UnreadableImageError(
            "The DICOMDIR is damaged or cut off; name the folder of its files instead."
        ) from None
    return names


def _to_parts(file_id: object) -> tuple[str, ...]:
    """Return the parts of a file's name; ValueError where one is no plain name."""
    parts = (file_id,) if isinstance(file_id, str) else tuple(map(str, file_id))  # type: ignore[call-overload]
    if any(part in PARENTS or "/" in part or "\\" in part or "\0" in part for part in parts):
        raise ValueError("A name leads out of the folder.")
    return parts
