"""Find images in folders, measure them, and return one row for each image.

A file that cannot be measured gives a row that says why.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headcirc.ahead import map_ahead
from headcirc.answers import AnalysisFacts, Row, to_analysis_facts, to_row
from headcirc.batch.dicom_media import (
    is_dicom,
    is_directory_file,
    list_directory_file,
    may_be_dicom,
)
from headcirc.batch.model_identity import ModelIdentity, identify_model
from headcirc.batch.replace_file import UNFINISHED
from headcirc.batch.safe_text import FORMULA_MARKS, escape_controls, guard_formula
from headcirc.batch.stated import StatedFacts
from headcirc.errors import InputError, UnreadableImageError
from headcirc.overlay import to_png
from headcirc.pipeline import Pipeline, load_pipeline
from headcirc.readers import SUFFIXES
from headcirc.reports.drawing import to_svg
from headcirc.reports.growth_chart import EarlierPoint, draw_growth_chart

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

    DICOM files are found without a suffix, too, and a DICOMDIR stands for the pictures that it
    lists. Of a folder, annotations (HC18's `*_Annotation.png`), overlays, hidden files and the
    contents of `SYSTEM_FOLDERS` are left out. A folder that cannot be read is returned itself, so
    that a row reports it.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{str(path)!r} does not exist.")
        if path.is_file():
            found += list_directory_file(path) if is_directory_file(path) else [path]
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
        for path in (Path(parent, name) for name in names if _is_image(parent, name)):
            found |= {*list_directory_file(path)} if is_directory_file(path) else {path}
    return found


def _is_own(folder_name: str) -> bool:
    """Return whether a folder belongs to the user and not to the system."""
    return not folder_name.startswith(HIDDEN) and folder_name.lower() not in SYSTEM_FOLDERS


def _is_image(folder: str, name: str) -> bool:
    path = Path(folder, name)
    if name.startswith(HIDDEN) or path.stem.endswith(DRAWN):
        return False
    return path.suffix.lower() in SUFFIXES or (may_be_dicom(name) and is_dicom(path))


def to_drawing_paths(
    named: Sequence[Path], images: Sequence[Path], folder: Path, *, ending: str
) -> dict[Path, Path]:
    """Return the path of each image's overlay or chart, so that none replaces another.

    They have the sub-folders below the common parent of all named files and folders. Where images
    of one folder differ only in their suffix, the drawing's name keeps it.

    Parameters
    ----------
    named : sequence of Path
        What the caller named.
    images : sequence of Path
    folder : Path
    ending : str
        Last part of each name, such as `_overlay.png`.
    """
    places = [path.absolute() if path.is_dir() else path.absolute().parent for path in named]
    common = os.path.commonpath([os.path.normpath(place) for place in places])
    count = Counter(path.with_suffix("") for path in {*images})
    return {
        path: folder
        / os.path.relpath(path.parent, common)
        / f"{path.stem if count[path.with_suffix('')] == 1 else path.name}{ending}"
        for path in images
    }


def require_own_places(
    drawings: Mapping[Path, Path], folder: Path, *, option: str = "--overlay-dir"
) -> None:
    """Refuse drawings that would replace an image, or that a link leads out of their folder.

    Raises
    ------
    UsageError
    """
    root = folder.resolve()
    for parent in {path.parent for path in drawings.values()}:
        if not parent.resolve().is_relative_to(root):
            raise UsageError(
                f"{str(parent)!r} is a link that leads out of the folder of {option}; remove it, "
                "or name another folder."
            )
    there = [path for path in drawings.values() if os.path.lexists(path)]
    calls = (os.stat, os.lstat) if there else ()
    images = {_to_identity(call(each)) for each in drawings for call in calls if each.exists()}
    for path in there:
        if _to_identity(path.lstat()) in images:
            raise UsageError(
                f"The image {str(path)!r} would be replaced by a drawing; name another folder by "
                f"{option}."
            )


def _to_identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


@dataclass(frozen=True)
class Measured:
    """A row without the image's name, the answer, and what draws the overlay as a PNG."""

    row: Row
    draw_overlay: Callable[[], bytes]
    answer: AnalysisFacts | None = None


Measure = Callable[[bytes, StatedFacts], Measured]
"""Measures a file's bytes with what is stated; raises `InputError` if that is not possible."""


def to_local_measure(
    pipeline: Pipeline,
    *,
    caption: bool = True,
    frame_index: int | None = None,
) -> Measure:
    """Return a function that measures in this process.

    Parameters
    ----------
    pipeline : Pipeline
    caption : bool
        Put one below each overlay.
    frame_index : int, optional
        The frame to measure in files of several frames.
    """

    def measure(content: bytes, stated: StatedFacts) -> Measured:
        analysis = pipeline.analyze(
            content,
            pixel_spacing=stated.scale,
            frame_index=frame_index,
            gestational_age_days=stated.gestational_age_days,
        )
        answer = to_analysis_facts(analysis, pipeline)
        draw = partial(analysis.draw_overlay, caption=caption)
        return Measured(to_row(answer), lambda: to_png(draw()), answer)

    return measure


def load_local_measure(
    model_dir: Path,
    *,
    backend: str,
    precision: str,
    site_file: Path | None = None,
    caption: bool = True,
    frame_index: int | None = None,
    threads: int | None = None,
) -> tuple[Measure, ModelIdentity]:
    """Load a model; return the function that measures with it; raises as `load_pipeline`."""
    pipeline = load_pipeline(
        model_dir, backend=backend, precision=precision, threads=threads, site_file=site_file
    )
    measure = to_local_measure(pipeline, caption=caption, frame_index=frame_index)
    return measure, identify_model(pipeline)


@dataclass(frozen=True)
class Drawings:
    """Which drawings are written, and where.

    Attributes
    ----------
    overlays, charts : mapping of Path to Path, or None
        The file of each image's overlay and growth chart; None if they are not wanted.
    earlier : sequence of EarlierPoint
        Drawn into each chart.
    """

    overlays: Mapping[Path, Path] | None = None
    charts: Mapping[Path, Path] | None = None
    earlier: Sequence[EarlierPoint] = ()

    def find_missing(self) -> set[Path]:
        """Return the images that lack a drawing that is wanted."""
        kinds = (self.overlays or {}, self.charts or {})
        return {path for kind in kinds for path, drawing in kind.items() if not drawing.exists()}


NO_DRAWINGS = Drawings()


def measure_files(
    measure: Measure,
    images: Sequence[Path],
    stated: Mapping[Path, StatedFacts],
    drawings: Drawings = NO_DRAWINGS,
    *,
    threads: int = 1,
) -> Iterator[Row]:
    """Measure files and write their drawings; a file that fails gives a row that says why.

    The rows are in the order of the images. With several threads, `measure` is called from them,
    and a few files are measured before their rows are taken.
    """

    def measure_one(path: Path) -> Row:
        return _measure_file(measure, path, stated[path], drawings)

    with open_bar(total=len(images)) as bar:
        for row in map_ahead(measure_one, images, threads=threads):
            bar.update()
            yield row


def _measure_file(measure: Measure, path: Path, stated: StatedFacts, drawings: Drawings) -> Row:
    try:
        measured = measure(_read_content(path), stated)
    except (InputError, OSError) as error:
        what = "folder" if os.path.isdir(path) else "file"
        reason = str(error) if isinstance(error, InputError) else f"the {what} {UNREADABLE}"
        return Row(to_name(path), error=reason)
    row = measured.row
    if drawings.overlays is not None:
        draw, where = measured.draw_overlay, drawings.overlays[path]
        row = _write_drawing(row, draw, where, name="overlay")
    if drawings.charts is not None and row.head_circumference_mm is not None:
        draw, where = partial(_draw_chart, measured, drawings.earlier), drawings.charts[path]
        row = _write_drawing(row, draw, where, name="growth chart")
    return replace(row, image=to_name(path))


def _draw_chart(measured: Measured, earlier: Sequence[EarlierPoint]) -> bytes:
    assert measured.answer is not None, "what measures gives its answer"
    return to_svg(draw_growth_chart(measured.answer, earlier)).encode()


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

    Bytes that are not UTF-8, and control characters other than tabs and line ends, are escaped. The
    name is written as it is here in every table, so that rows of an earlier run are found by it.
    """
    name = os.fsencode(path).decode(errors="backslashreplace")
    name = CONTROLS.sub(lambda found: escape_controls(found[0]), name)
    return guard_formula(f"./{name}" if name.startswith(FORMULA_MARKS) else name)


def _write_drawing(row: Row, draw: Callable[[], bytes], path: Path, *, name: str) -> Row:
    """Write a drawing and return the row, with the reason if there is no drawing."""
    try:
        content = draw()
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
    except (InputError, OSError) as error:
        reason = str(error) if isinstance(error, InputError) else error.strerror
        fault = f"the {name} is missing: {reason}"
        return replace(row, error="; ".join(filter(None, (row.error, fault))))
    return row


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
