"""Files and folders to rows: which images, where their overlays go, one line of output for each.

A file that cannot be measured becomes a row that says why, never a missing row.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from headcirc.errors import InputError, UnreadableImageError
from headcirc.geometry import PixelSpacing
from headcirc.overlay import to_png
from headcirc.pipeline import Analysis, Pipeline

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
DRAWN = ("_Annotation", "_overlay")
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")
SIDECAR = "._"  # begins what a Mac leaves beside each file on a disk of another system
NO_HEAD, NO_PIXEL_SIZE = "no head was found", "no pixel size is known"
UNREADABLE, GIVEN_UP = "cannot be read", "workers failed at it"
MEASURED = (
    "head_circumference_mm",
    "biparietal_diameter_mm",
    "occipitofrontal_diameter_mm",
    "cephalic_index",
)
"""Called the same in a row, in a measurement and in a service's answer."""


class UsageError(Exception):
    """The command line or a file that it names cannot be used."""


@dataclass(frozen=True)
class Row:
    """One line of output; None where something could not be measured."""

    image: str = ""
    head_circumference_mm: float | None = None
    head_circumference_low_mm: float | None = None
    head_circumference_high_mm: float | None = None
    biparietal_diameter_mm: float | None = None
    occipitofrontal_diameter_mm: float | None = None
    cephalic_index: float | None = None
    head_circumference_px: float | None = None
    pixel_size_x_mm: float | None = None
    pixel_size_y_mm: float | None = None
    acceptable: bool = False
    warnings: str = ""
    error: str = ""


def find_images(paths: Sequence[Path], *, recursive: bool) -> list[Path]:
    """Return the files named, and the images in the folders named, in order of name, each once.

    What was drawn, by HC18 (`*_Annotation.png`) or by us, is no ultrasound: not taken from folders.
    A folder that cannot be read stands for its images, so that its row says so.
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
            "(--recursive looks deeper)."
        )
    return list(dict.fromkeys(found))


def _find_inside(folder: Path, *, recursive: bool) -> set[Path]:
    found: set[Path] = set()
    walk = os.walk(folder, onerror=lambda error: found.add(Path(error.filename)))
    for parent, folders, files in islice(walk, None if recursive else 1):
        inside = (Path(parent, name) for name in (*folders, *files))
        found |= {
            each
            for each in inside
            if each.suffix.lower() in SUFFIXES
            and not each.stem.endswith(DRAWN)
            and not each.name.startswith(SIDECAR)
        }
    return found


def to_overlay_paths(
    named: Sequence[Path], images: Sequence[Path], folder: Path
) -> dict[Path, Path]:
    """Return where each image's overlay goes, so that none replaces another.

    Kept are the sub-folders below what all files and folders that were named have in common, and
    the suffixes of images in one folder that differ in nothing else.
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


@dataclass(frozen=True)
class Measured:
    """A row that wants only its image's name, and the overlay as a PNG, drawn when it is asked."""

    row: Row
    draw_overlay: Callable[[], bytes]


Measure = Callable[[bytes, PixelSpacing | None], Measured]
"""From a file's bytes and its pixel spacing; raises `InputError` where it cannot be measured."""


def to_local_measure(pipeline: Pipeline, *, caption: bool = True) -> Measure:
    """Return what measures in this process; `caption` is of the overlays."""

    def measure(content: bytes, spacing: PixelSpacing | None) -> Measured:
        analysis = pipeline.analyze(content, pixel_spacing=spacing)
        return Measured(to_row(analysis), lambda: to_png(analysis.draw_overlay(caption=caption)))

    return measure


def to_row(analysis: Analysis) -> Row:
    """Return an analysis as one line of output."""
    head, region = analysis.head, analysis.region
    if head is None:
        return fill_row(analysis.quality)
    interval = head.interval
    return fill_row(
        analysis.quality,
        head.head_circumference_px,
        measured=head.measurement,
        bounds_mm=None if interval is None else (interval.low_mm, interval.high_mm),
        pixel_size_mm=None if region is None else (region.spacing.column_mm, region.spacing.row_mm),
    )


class Judged(Protocol):
    """What is thought of an answer, here or by a service."""

    @property
    def acceptable(self) -> bool:
        """Return whether a person may rely on the number."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings' codes."""


def fill_row(
    quality: Judged,
    head_circumference_px: float | None = None,
    *,
    measured: object | None = None,
    bounds_mm: tuple[float, float] | None = None,
    pixel_size_mm: tuple[float | None, float | None] | None = None,
) -> Row:
    """Return what is known of one picture as a line of output.

    Parameters
    ----------
    quality : Judged
    head_circumference_px : float, optional
        None without a head.
    measured : object, optional
        Has the attributes `MEASURED`; None without a pixel size.
    bounds_mm, pixel_size_mm : tuple, optional
        Low and high; width and height.
    """
    warnings = " ".join(quality.warnings)
    if head_circumference_px is None:
        return Row(warnings=warnings, error=NO_HEAD)
    row = Row(
        head_circumference_px=head_circumference_px,
        acceptable=quality.acceptable,
        warnings=warnings,
    )
    if measured is None or pixel_size_mm is None:
        return replace(row, error=NO_PIXEL_SIZE)
    low_mm, high_mm = bounds_mm or (None, None)
    x_mm, y_mm = pixel_size_mm
    return replace(
        row,
        **{name: getattr(measured, name) for name in MEASURED},
        head_circumference_low_mm=low_mm,
        head_circumference_high_mm=high_mm,
        pixel_size_x_mm=x_mm,
        pixel_size_y_mm=y_mm,
    )


def measure_files(
    measure: Measure,
    images: Sequence[Path],
    spacings: Mapping[Path, PixelSpacing | None],
    overlays: Mapping[Path, Path] | None,
) -> Iterator[Row]:
    """Measure files, writing their `overlays`; one that fails gives a row that says why."""
    for path in tqdm(images, "measuring", unit="image", disable=len(images) == 1):
        try:
            measured = measure(_read_content(path), spacings[path])
        except (InputError, OSError) as error:
            what = "folder" if os.path.isdir(path) else "file"
            reason = str(error) if isinstance(error, InputError) else f"the {what} {UNREADABLE}"
            yield Row(to_name(path), error=reason)
            continue
        row = measured.row if overlays is None else _write_overlay(measured, overlays[path])
        yield replace(row, image=to_name(path))


def _read_content(path: Path) -> bytes:
    """Return a file's bytes; a pipe would be waited for, and a device read, without an end."""
    if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        raise UnreadableImageError(f"a pipe, socket or device {UNREADABLE}; name a file")
    return path.read_bytes()


def to_name(path: Path) -> str:
    """Return a path as text that is no formula to a spreadsheet; bytes not UTF-8 are escaped."""
    name = os.fsencode(path).decode(errors="backslashreplace")
    return f"./{name}" if name.startswith(FORMULA_MARKS) else name


def _write_overlay(measured: Measured, path: Path) -> Row:
    """Write the picture and return the row, with a reason where there is no picture to be had."""
    try:
        picture = measured.draw_overlay()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    except (InputError, OSError) as error:
        reason = str(error) if isinstance(error, InputError) else error.strerror
        fault = f"the overlay is missing: {reason}"
        return replace(measured.row, error="; ".join(filter(None, (measured.row.error, fault))))
    return measured.row
