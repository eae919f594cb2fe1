"""What the command line of `headcirc` understands; `cli.py` does it."""

import argparse
import socket
import tempfile
from pathlib import Path

from headcirc import __version__
from headcirc.batch.files import SUFFIXES, UsageError
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.readers.pixel_size import read_decimal

BACKEND_HELP = "auto, tensorrt, openvino, onnxruntime or onnxruntime-cuda"
EXIT_HELP = "Exit status: 0 all measured, 1 some image was not, 2 bad usage, 130 stopped by Ctrl-C."
EXAMPLES = """examples:
  headcirc check
  headcirc analyze scan.png --pixel-size-mm 0.12
  headcirc serve

`headcirc COMMAND --help` has every option.
"""
ANALYZE_EXAMPLES = """examples:
  headcirc analyze scan.png --pixel-size-mm 0.12
  headcirc analyze scans/ --recursive --pixel-sizes sizes.csv --csv out.csv

"""
MOST_PORT = 65535


def to_parser() -> argparse.ArgumentParser:
    """Describe the command line; `command` of what it reads is the command's name."""
    parser = argparse.ArgumentParser(
        prog="headcirc",
        description="Measure fetal head circumference in ultrasound images. Research use only.",
        epilog=EXAMPLES + EXIT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"headcirc {__version__}")
    commands = parser.add_subparsers(dest="command")
    loading, images = _describe_loading(), _describe_images()
    both = [loading, images]
    for name, add, told, examples in (
        ("analyze", _add_analyze, "Measure files and folders.", ANALYZE_EXAMPLES),
        ("batch", _add_batch, "Measure a large folder on Ray; go on where a run stopped.", ""),
    ):
        command = commands.add_parser(
            name,
            parents=both,
            help=told,
            description=told,
            epilog=examples + EXIT_HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(command)
    told = "Serve the page and the HTTP interface; settings are HEADCIRC_* variables."
    serve = commands.add_parser("serve", help=told, description=told)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
    told = "Measure a drawn head of known size: does it work here, and on what?"
    commands.add_parser("check", parents=[loading], help=told, description=told)
    return parser


def require_port(port: int) -> None:
    """Refuse what is no port.

    Raises
    ------
    UsageError
    """
    if not 0 < port <= MOST_PORT:
        raise UsageError(f"{port} is no port; ports are 1 to {MOST_PORT}.")


def require_free_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on, before seconds are spent on loading.

    Raises
    ------
    UsageError
    """
    require_port(port)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as listener:
            # As the server does: an address that an ended connection still holds is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise UsageError(
            f"Nothing can listen at {host}, port {port} ({error.strerror}); name another --port or "
            "--host."
        ) from error


def require_folder(folder: Path) -> None:
    """Make the overlays' folder and see that it can be written, before hours of measuring.

    Raises
    ------
    UsageError
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"No overlay can be written to {str(folder)!r} ({error.strerror}); name a folder."
        ) from error


def _to_mm(text: str) -> float:
    try:
        return read_decimal(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number; write millimetres, such as 0.12"
        ) from error


def _to_table_path(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() in SUFFIXES:  # as of `--csv *.png`, where the table was forgotten
        raise argparse.ArgumentTypeError(
            f"{text!r} is an image's name, and would be replaced; name a table, such as out.csv"
        )
    return path


def _describe_loading() -> argparse.ArgumentParser:
    loading = argparse.ArgumentParser(add_help=False)
    loading.add_argument(
        "--model",
        type=Path,
        default=SHIPPED_MODEL_DIR,
        metavar="DIR",
        help="model folder (the one that ships)",
    )
    loading.add_argument("--backend", default="auto", metavar="NAME", help=BACKEND_HELP)
    loading.add_argument(
        "--precision", default="auto", metavar="NAME", help="auto, fp16 (GPU), int8 (CPU) or fp32"
    )
    return loading


def _describe_images() -> argparse.ArgumentParser:
    images = argparse.ArgumentParser(add_help=False)
    images.add_argument(
        "--retry-crashed",
        action="store_true",
        help="try files again that ended the process that measured them in an earlier run",
    )
    images.add_argument("--recursive", action="store_true", help="look into folders of folders")
    scale = images.add_mutually_exclusive_group()
    scale.add_argument(
        "--pixel-size-mm",
        type=_to_mm,
        metavar="X",
        help="millimetres that a pixel is wide and high, in every image; unknown: no millimetres",
    )
    scale.add_argument(
        "--pixel-sizes",
        type=Path,
        metavar="FILE.csv",
        help="a table of them (CSV): filename (or folder/name) and pixel_size_mm, or "
        "pixel_size_x_mm and pixel_size_y_mm; HC18's own is accepted",
    )
    return images


def _add_analyze(analyze: argparse.ArgumentParser) -> None:
    analyze.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE_OR_DIR", help="a file, or a folder of them"
    )
    analyze.add_argument(
        "--csv",
        type=_to_table_path,
        metavar="FILE",
        help="write a table, a row for each image, or replace it; - is standard output",
    )
    analyze.add_argument(
        "--resume",
        action="store_true",
        help="keep that table's rows of the same files, pixel sizes and model; measure the rest",
    )
    analyze.add_argument(
        "--overlay-dir",
        type=Path,
        metavar="DIR",
        help="write a picture of each result, NAME_overlay.png, in sub-folders as the images",
    )
    analyze.add_argument(
        "--bare-overlays",
        action="store_true",
        help="leave out the caption below each overlay (number, pixel size, model, research use)",
    )
    analyze.add_argument("--json", action="store_true", help="print a JSON object a line")
    analyze.add_argument(
        "--server",
        metavar="URL",
        help="let a running service measure, such as http://127.0.0.1:8000",
    )
    analyze.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="holds the key for that service"
    )


def _add_batch(batch: argparse.ArgumentParser) -> None:
    batch.add_argument("source", type=Path, metavar="SRC", help="folder of images")
    batch.add_argument("results", type=Path, metavar="DST", help="folder for Parquet and summary")
    batch.add_argument(
        "--workers", type=int, metavar="N", help="processes (as many as there is room for)"
    )
    batch.add_argument(
        "--cpus-per-worker", type=float, default=1.0, metavar="N", help="CPUs for each (1)"
    )
    batch.add_argument(
        "--gpus-per-worker", type=float, default=0.0, metavar="N", help="GPUs for each (0)"
    )
    batch.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="of a running cluster; without it, Ray is started here",
    )
