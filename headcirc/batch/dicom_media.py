"""Find DICOM files, which often have no suffix, and the files that a DICOMDIR lists."""

from importlib.util import find_spec
from pathlib import Path

from headcirc.errors import InputError
from headcirc.readers import dicom

DIRECTORY_NAME = "dicomdir"


def may_be_dicom(name: str) -> bool:
    """Return whether a file without a known suffix may be DICOM: no suffix, or only digits."""
    suffix = Path(name).suffix
    return suffix == "" or suffix[1:].isdigit()


def is_dicom(path: Path) -> bool:
    """Return whether a file begins like DICOM; a pipe or a device is not opened."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return dicom.recognises(file.read(dicom.MARK_AT + len(dicom.MARK)))
    except OSError:
        return False


def is_directory_file(path: Path) -> bool:
    """Return whether a file is a DICOMDIR; the standard fixes its name."""
    return path.name.lower() == DIRECTORY_NAME and is_dicom(path)


def list_directory_file(path: Path) -> list[Path]:
    """Return the pictures that a DICOMDIR lists, or the DICOMDIR itself if it cannot be read.

    A file that is missing is listed too, so that a row says so.
    """
    if find_spec("pydicom") is None:
        return [path]
    from headcirc.readers.dicom.directory import list_pictures

    try:
        listed = list_pictures(path.read_bytes())
    except (InputError, OSError):
        return [path]
    return [_find_file(path.parent, parts) for parts in listed]


def _find_file(folder: Path, parts: tuple[str, ...]) -> Path:
    """Return the path of a listed file; names on a CD may appear in lower case."""
    exact = folder.joinpath(*parts)
    lower = folder.joinpath(*(part.lower() for part in parts))
    return lower if lower.exists() and not exact.exists() else exact
