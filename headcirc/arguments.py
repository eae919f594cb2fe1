"""What the command line of `headcirc` understands; `cli.py` does it."""

import argparse
from pathlib import Path

from headcirc.batch import UsageError
from headcirc.pipeline import SHIPPED_MODEL_DIR

BACKEND_HELP = "auto, tensorrt, openvino, onnxruntime or onnxruntime-cuda"
EXIT_HELP = "Exit status: 0 all measured, 1 some image was not, 2 bad usage, 130 stopped by Ctrl-C."
MOST_PORT = 65535


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
        help="columns filename (or folder/name) and pixel_size_mm; HC18's own fits",
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
