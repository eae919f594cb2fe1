"""What the command line of `headcirc` understands, and the table it may name; `cli.py` does it."""

import argparse
import csv
from pathlib import Path

from headcirc.batch import UsageError
from headcirc.errors import InputError
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.pixel_size import to_stated_spacing

BACKEND_HELP = "auto, tensorrt, openvino, onnxruntime or onnxruntime-cuda"
EXIT_HELP = "Exit status: 0 all measured, 1 some image was not, 2 bad usage, 130 stopped by Ctrl-C."
MOST_PORT = 65535
NAME_COLUMNS = ("filename", "file", "name", "image")
SIZE_COLUMNS = ("pixel size(mm)", "pixel_size_mm")
X_COLUMN, Y_COLUMN = "pixel_size_x_mm", "pixel_size_y_mm"


def to_parser() -> argparse.ArgumentParser:
    """Describe the command line; `command` of what it reads is the command's name."""
    parser = argparse.ArgumentParser(
        prog="headcirc",
        description="Measure fetal head circumference in ultrasound images. Research use only.",
        epilog=EXIT_HELP,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    loading, images = _describe_loading(), _describe_images()
    both = [loading, images]
    for name, add, told in (
        ("analyze", _add_analyze, "measure files and folders"),
        ("batch", _add_batch, "measure a folder on Ray, resumably"),
    ):
        add(commands.add_parser(name, parents=both, help=told, epilog=EXIT_HELP))
    serve = commands.add_parser("serve", help="answer over HTTP (settings: HEADCIRC_* variables)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
    commands.add_parser("check", parents=[loading], help="prove that it works here")
    return parser


def require_port(port: int) -> None:
    """Refuse what is no port.

    Raises
    ------
    UsageError
    """
    if not 0 < port <= MOST_PORT:
        raise UsageError(f"{port} is no port; ports are 1 to {MOST_PORT}.")


def _describe_loading() -> argparse.ArgumentParser:
    loading = argparse.ArgumentParser(add_help=False)
    loading.add_argument("--model", type=Path, default=SHIPPED_MODEL_DIR, help="model folder")
    loading.add_argument("--backend", default="auto", help=BACKEND_HELP)
    loading.add_argument("--precision", default="auto", help="auto, fp16 (GPU), int8 (CPU) or fp32")
    return loading


def _describe_images() -> argparse.ArgumentParser:
    images = argparse.ArgumentParser(add_help=False)
    images.add_argument("--recursive", action="store_true", help="look into folders of folders")
    scale = images.add_mutually_exclusive_group()
    scale.add_argument(
        "--pixel-size-mm", type=float, metavar="X", help="of all images (square pixels)"
    )
    scale.add_argument(
        "--pixel-sizes",
        type=Path,
        metavar="FILE.csv",
        help="columns filename (no folders) and pixel_size_mm; HC18's own table fits",
    )
    return images


def _add_analyze(analyze: argparse.ArgumentParser) -> None:
    analyze.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE_OR_DIR", help="a file, or a folder of them"
    )
    analyze.add_argument("--csv", type=Path, metavar="FILE", help="write a table, or replace it")
    analyze.add_argument(
        "--overlay-dir",
        type=Path,
        metavar="DIR",
        help="write pictures: NAME_overlay.png, in the sub-folders of the images",
    )
    analyze.add_argument("--json", action="store_true", help="print a JSON object a line")
    analyze.add_argument("--server", metavar="URL", help="let a running service measure")
    analyze.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="holds the key for that service"
    )


def _add_batch(batch: argparse.ArgumentParser) -> None:
    batch.add_argument("source", type=Path, metavar="SRC", help="folder of images")
    batch.add_argument("results", type=Path, metavar="DST", help="folder for Parquet and summary")
    batch.add_argument("--workers", type=int, help="processes (as many as there is room for)")
    batch.add_argument("--cpus-per-worker", type=float, default=1.0, metavar="N", help="(1)")
    batch.add_argument("--gpus-per-worker", type=float, default=0.0, metavar="N", help="(0)")
    batch.add_argument("--ray-address", metavar="ADDRESS", help="of a cluster; else started here")


def load_pixel_sizes(path: Path) -> dict[str, PixelSpacing]:
    """Read file name to pixel spacing from a CSV; HC18's own table is accepted as it is.

    Raises
    ------
    UsageError
        No such file, no known columns, a size that is none, or two for one name; the line is named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as table:  # Excel begins with a mark
            return _read_pixel_sizes(csv.DictReader(table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"The pixel sizes' table cannot be read ({error}); name a CSV file in UTF-8."
        ) from error


def _read_pixel_sizes(reader: "csv.DictReader[str]") -> dict[str, PixelSpacing]:
    columns = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = columns
    name_column = next((name for name in NAME_COLUMNS if name in columns), None)
    size_column = next((name for name in SIZE_COLUMNS if name in columns), None)
    if name_column is None or not (size_column or {X_COLUMN, Y_COLUMN} <= {*columns}):
        raise UsageError(
            f"The pixel sizes' table has the columns {', '.join(columns)}; needed are "
            f"'filename' and 'pixel_size_mm' (or {X_COLUMN!r} and {Y_COLUMN!r})."
        )
    spacings: dict[str, PixelSpacing] = {}
    for row in reader:
        name, line = row[name_column], reader.line_num
        new = _to_spacing(row[size_column or X_COLUMN], row[size_column or Y_COLUMN], line)
        old = spacings.setdefault(name, new)
        if new != old:
            raise UsageError(
                f"Line {line} of the pixel sizes' table: {name!r} has {new.column_mm} x "
                f"{new.row_mm} mm here and {old.column_mm} x {old.row_mm} mm above; keep one."
            )
    return spacings


def _to_spacing(x_mm: str, y_mm: str, line: int) -> PixelSpacing:
    try:
        spacing = to_stated_spacing(pixel_size_x_mm=float(x_mm), pixel_size_y_mm=float(y_mm))
    except (ValueError, TypeError, InputError) as error:
        raise UsageError(f"Line {line} of the pixel sizes' table: {error}") from error
    assert spacing is not None, "both sizes were given"
    return spacing
