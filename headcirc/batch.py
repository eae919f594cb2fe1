"""Files and folders to rows: which images, which pixel sizes, one line of output for each.

A file that cannot be measured becomes a row that says why, never a missing row.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from headcirc.errors import InputError
from headcirc.geometry import PixelSpacing
from headcirc.overlay import to_png
from headcirc.pipeline import Analysis, Pipeline
from headcirc.pixel_size import to_stated_spacing

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
NAME_COLUMNS = ("filename", "file", "name", "image")
SIZE_COLUMNS = ("pixel size(mm)", "pixel_size_mm")
NO_HEAD, NO_PIXEL_SIZE = "no head was found", "no pixel size is known"
UNREADABLE, GIVEN_UP = "the file cannot be read", "workers failed at it"
X_COLUMN, Y_COLUMN = "pixel_size_x_mm", "pixel_size_y_mm"
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
    """Return the files named, and the images in the folders named, in order of name.

    HC18's drawn outlines (`*_Annotation.png`) are no ultrasound and are left out of folders.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{str(path)!r} does not exist.")
        if path.is_file():
            found.append(path)
            continue
        inside = path.rglob("*") if recursive else path.glob("*")
        found += sorted(
            each
            for each in inside
            if each.suffix.lower() in SUFFIXES and not each.stem.endswith("_Annotation")
        )
    if not found:
        raise UsageError("No image was found; name files, or a folder (--recursive looks deeper).")
    return found


def load_pixel_sizes(path: Path) -> dict[str, PixelSpacing]:
    """Read file name to pixel spacing from a CSV; HC18's own table is accepted as it is.

    Raises
    ------
    UsageError
        No such file, no known columns, or a size that is none; the line is named.
    """
    try:
        with path.open(newline="") as table:
            reader = csv.DictReader(table)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            name_column = next((name for name in NAME_COLUMNS if name in columns), None)
            size_column = next((name for name in SIZE_COLUMNS if name in columns), None)
            has_size = size_column is not None or {X_COLUMN, Y_COLUMN} <= {*columns}
            if name_column is None or not has_size:
                raise UsageError(
                    f"The pixel sizes' table has the columns {', '.join(columns)}; needed are "
                    f"'filename' and 'pixel_size_mm' (or {X_COLUMN!r} and {Y_COLUMN!r})."
                )
            x_column, y_column = size_column or X_COLUMN, size_column or Y_COLUMN
            return {
                row[name_column]: _to_spacing(row[x_column], row[y_column], reader.line_num)
                for row in reader
            }
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The pixel sizes' table cannot be read ({type(error).__name__}); name a CSV file."
        ) from error


def _to_spacing(x_mm: str, y_mm: str, line: int) -> PixelSpacing:
    try:
        spacing = to_stated_spacing(pixel_size_x_mm=float(x_mm), pixel_size_y_mm=float(y_mm))
    except (ValueError, TypeError, InputError) as error:
        raise UsageError(f"Line {line} of the pixel sizes' table: {error}") from error
    assert spacing is not None, "both sizes were given"
    return spacing


@dataclass(frozen=True)
class Measured:
    """A row that wants only its image's name, and the overlay as a PNG, drawn when it is asked."""

    row: Row
    draw_overlay: Callable[[], bytes]


Measure = Callable[[bytes, PixelSpacing | None], Measured]
"""From a file's bytes and its pixel spacing; raises `InputError` where it cannot be measured."""


def to_local_measure(pipeline: Pipeline) -> Measure:
    """Return what measures in this process."""

    def measure(content: bytes, spacing: PixelSpacing | None) -> Measured:
        analysis = pipeline.analyze(content, pixel_spacing=spacing)
        return Measured(to_row(analysis), lambda: to_png(analysis.draw_overlay()))

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
    spacings: dict[str, PixelSpacing] | PixelSpacing | None,
    overlay_dir: Path | None,
) -> Iterator[Row]:
    """Measure files one by one; one that fails gives a row that says why."""
    for path in tqdm(images, "measuring", unit="image", disable=len(images) == 1):
        spacing = spacings.get(path.name) if isinstance(spacings, dict) else spacings
        try:
            measured = measure(path.read_bytes(), spacing)
        except (InputError, OSError) as error:
            reason = str(error) if isinstance(error, InputError) else UNREADABLE
            yield Row(str(path), error=reason)
            continue
        row = measured.row
        if overlay_dir is not None:
            row = _write_overlay(measured, overlay_dir / f"{path.stem}_overlay.png")
        yield replace(row, image=str(path))


def _write_overlay(measured: Measured, path: Path) -> Row:
    """Write the picture and return the row, with a reason where there is no picture to be had."""
    try:
        path.write_bytes(measured.draw_overlay())
    except InputError as error:
        return replace(measured.row, error=f"the overlay is missing: {error}")
    return measured.row
