"""Find images in folders, measure them, and return one row for each image.

A file that cannot be measured gives a row that says why.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headcirc.answers import Row, to_analysis_facts, to_row
from headcirc.batch.model_identity import ModelIdentity, identify_model
from headcirc.batch.replace_file import UNFINISHED
from headcirc.batch.safe_text import FORMULA_MARKS, escape_controls
from headcirc.errors import InputError, UnreadableImageError
from headcirc.geometry import StatedScale
from headcirc.overlay import to_png
from headcirc.pipeline import Pipeline, load_pipeline
from headcirc.readers import SUFFIXES

DRAWN = ("_Annotation", "_overlay")
HIDDEN = "."  # first letter of `._NAME`, which macOS writes beside each file, `.snapshot` ...
SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp", "@sharebin"),
        *("__macosx", "network trash folder", "temporary items"),
        *("$recycle.bin", "recycler", "recycled", "system volume information"),
        *("lost+found", "~snapshot"),
    }
)
"""Folders that a NAS, macOS, Windows and Linux use for thumbnails, old versions and deleted files,
in lower case. Hidden folders are left out anyway."""
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
UNREADABLE, GIVEN_UP = "cannot be read", "workers failed at it"
CRASHED = "decoder-crashed"
"""First word of the error of a file that ended the process that measured it."""
REMEDY = "save the file again as PNG, or leave it out"


class UsageError(Exception):
    """The command line or a file that it names cannot be used."""


def find_images(paths: Sequence[Path], *, recursive: bool) -> list[Path]:
    """Return the named files and the images in the named folders, sorted by name, each once.

    Of a folder, annotations (HC18's `*_Annotation.png`), overlays, hidden files and the contents of
    `SYSTEM_FOLDERS` are left out. A folder that cannot be read is returned itself, so that a row
    reports it.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{str(path)!r} does not exist.")
        if path.is_file():
            found.append(path)
            continue
        found += sorted(_find_inside(path, recursive=recursive))
    if not found:
        raise UsageError(
            f"No image was found; name files, or a folder of {', '.join(sorted(SUFFIXES))} "
            "(--recursive includes sub-folders)."
        )
    return list(dict.fromkeys(found))


def _find_inside(folder: Path, *, recursive: bool) -> set[Path]:
    found: set[Path] = set()
    walk = os.walk(folder, onerror=lambda error: found.add(Path(error.filename)))
    for parent, folders, files in walk:
        if recursive:  # a folder is not an image, whatever its name
            folders[:] = [name for name in folders if _is_own(name)]
            names = files
        else:
            names = [*folders, *files]
            folders.clear()
        found |= {Path(parent, name) for name in names if _is_image(name)}
    return found


def _is_own(folder_name: str) -> bool:
    """Return whether a folder belongs to the user and not to the system."""
    return not folder_name.startswith(HIDDEN) and folder_name.lower() not in SYSTEM_FOLDERS


def _is_image(name: str) -> bool:
    path = Path(name)
    is_shown = path.suffix.lower() in SUFFIXES and not name.startswith(HIDDEN)
    return is_shown and not path.stem.endswith(DRAWN)


def to_overlay_paths(
    named: Sequence[Path], images: Sequence[Path], folder: Path
) -> dict[Path, Path]:
    """Return the path of each image's overlay, so that no overlay replaces another.

    The overlays have the sub-folders below the common parent of all named files and folders. Where
    images of one folder differ only in their suffix, the overlay's name keeps it.
    """
    places = [path.absolute() if path.is_dir() else path.absolute().parent for path in named]
    common = os.path.commonpath([os.path.normpath(place) for place in places])
    count = Counter(path.with_suffix("") for path in {*images})
    return {
        path: folder
        / os.path.relpath(path.parent, common)
        / f"{path.stem if count[path.with_suffix('')] == 1 else path.name}_overlay.png"
        for path in images
    }


def require_own_places(overlays: Mapping[Path, Path], folder: Path) -> None:
    """Refuse overlays that would replace an image, or that a link leads out of their folder.

    Raises
    ------
    UsageError
    """
    root = folder.resolve()
    for parent in {path.parent for path in overlays.values()}:
        if not parent.resolve().is_relative_to(root):
            raise UsageError(
                f"{str(parent)!r} is a link that leads out of the overlays' folder; remove it, or "
                "name another folder by --overlay-dir."
            )
    there = [path for path in overlays.values() if os.path.lexists(path)]
    calls = (os.stat, os.lstat) if there else ()
    images = {_to_identity(call(each)) for each in overlays for call in calls if each.exists()}
    for path in there:
        if _to_identity(path.lstat()) in images:
            raise UsageError(
                f"The image {str(path)!r} would be replaced by an overlay; name another folder by "
                "--overlay-dir."
            )


def _to_identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@dataclass(frozen=True)
class Measured:
    """A row without the image's name, and a function that draws the overlay as a PNG."""

    row: Row
    draw_overlay: Callable[[], bytes]


Measure = Callable[[bytes, StatedScale | None], Measured]
"""Measures a file's bytes with a pixel spacing; raises `InputError` if that is not possible."""


def to_local_measure(pipeline: Pipeline, *, caption: bool = True) -> Measure:
    """Return a function that measures in this process; `caption` puts one below each overlay."""

    def measure(content: bytes, spacing: StatedScale | None) -> Measured:
        analysis = pipeline.analyze(content, pixel_spacing=spacing)
        row = to_row(to_analysis_facts(analysis, pipeline))
        return Measured(row, lambda: to_png(analysis.draw_overlay(caption=caption)))

    return measure


def load_local_measure(
    model_dir: Path, *, backend: str, precision: str, caption: bool = True
) -> tuple[Measure, ModelIdentity]:
    """Load a model; return the function that measures with it; raises as `load_pipeline`."""
    pipeline = load_pipeline(model_dir, backend=backend, precision=precision)
    return to_local_measure(pipeline, caption=caption), identify_model(pipeline)


def measure_files(
    measure: Measure,
    images: Sequence[Path],
    spacings: Mapping[Path, StatedScale | None],
    overlays: Mapping[Path, Path] | None,
) -> Iterator[Row]:
    """Measure files and write their overlays; a file that fails gives a row that says why."""
    for path in open_bar(images, total=len(images)):
        try:
            measured = measure(_read_content(path), spacings[path])
        except (InputError, OSError) as error:
            what = "folder" if os.path.isdir(path) else "file"
            reason = str(error) if isinstance(error, InputError) else f"the {what} {UNREADABLE}"
            yield Row(to_name(path), error=reason)
            continue
        row = measured.row if overlays is None else _write_overlay(measured, overlays[path])
        yield replace(row, image=to_name(path))


def open_bar(images: Iterable[Path] | None = None, *, total: int, done: int = 0) -> Any:
    """Return a progress bar; it is hidden in a log, and for a single image."""
    is_hidden = True if total == 1 else None  # None: where standard error is no terminal
    return tqdm(images, "measuring", total, unit="image", initial=done, disable=is_hidden)


def _read_content(path: Path) -> bytes:
    """Return a file's bytes; a pipe or a device might never end and is refused."""
    if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        raise UnreadableImageError(f"a pipe, socket or device {UNREADABLE}; name a file")
    return path.read_bytes()


def to_name(path: Path) -> str:
    """Return a path as text that a spreadsheet does not take for a formula.

    Bytes that are not UTF-8, and control characters other than tabs and line ends, are escaped.
    """
    name = os.fsencode(path).decode(errors="backslashreplace")
    name = CONTROLS.sub(lambda found: escape_controls(found[0]), name)
    return f"./{name}" if name.startswith(FORMULA_MARKS) else name


def _write_overlay(measured: Measured, path: Path) -> Row:
    """Write the overlay and return the row, with the reason if there is no overlay."""
    try:
        picture = measured.draw_overlay()
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, picture)
    except (InputError, OSError) as error:
        reason = str(error) if isinstance(error, InputError) else error.strerror
        fault = f"the overlay is missing: {reason}"
        return replace(measured.row, error="; ".join(filter(None, (measured.row.error, fault))))
    return measured.row


def _replace(path: Path, content: bytes) -> None:
    """Replace a file completely or not at all; the target of a link does not change."""
    unfinished = path.with_name(path.name + UNFINISHED)
    unfinished.unlink(missing_ok=True)
    try:
        with unfinished.open("xb") as file:
            file.write(content)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
