"""`headcirc analyze`: measure files and folders, here or by a running service."""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from headcirc.answers import Row
from headcirc.batch.files import (
    Measure,
    UsageError,
    find_images,
    load_local_measure,
    measure_files,
    require_own_places,
    to_name,
    to_overlay_paths,
)
from headcirc.batch.measuring_process import MeasuringProcess
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.results import (
    DoneRule,
    ResultTable,
    find_done,
    is_standard_output,
    open_table,
    read_fingerprint,
    read_rows,
)
from headcirc.batch.safe_text import escape_controls
from headcirc.batch.summary import Summary
from headcirc.cli.command import (
    EXIT_ALL_MEASURED,
    EXIT_SOME_NOT,
    Command,
    add_image_arguments,
    add_model_arguments,
    read_spacings,
    report,
)
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.readers import SUFFIXES

EXAMPLES = """examples:
  headcirc analyze scan.png --pixel-size-mm 0.12
  headcirc analyze scans/ --recursive --pixel-sizes sizes.csv --csv out.csv

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `analyze`."""
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE_OR_DIR", help="a file, or a folder of images"
    )
    add_image_arguments(parser)
    parser.add_argument(
        "--csv",
        type=_to_table_path,
        metavar="FILE",
        help="write or replace a table with one row per image; - is standard output",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep that table's rows of the same files, pixel sizes and model; measure the rest",
    )
    parser.add_argument(
        "--overlay-dir",
        type=Path,
        metavar="DIR",
        help="write a picture of each result, NAME_overlay.png, in the images' sub-folders",
    )
    parser.add_argument(
        "--bare-overlays",
        action="store_true",
        help="leave out the caption below them: number, warnings, pixel size and model",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_model_arguments(parser)
    parser.add_argument(
        "--server",
        metavar="URL",
        help="let a running service measure, such as http://127.0.0.1:8000",
    )
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="file with the API key of that service"
    )


def _to_table_path(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() in SUFFIXES:  # such as `--csv *.png`, without the table's name
        raise argparse.ArgumentTypeError(
            f"{text!r} is the name of an image, which would be replaced; name a table, such as "
            "out.csv"
        )
    return path


def run(options: argparse.Namespace) -> int:
    """Measure; print a line or JSON for each image, write the table and the overlays."""
    images = find_images(options.images, recursive=options.recursive)
    spacings = read_spacings(options, images)
    _require_own_table(options, images)
    overlays = _prepare_overlays(options, images)
    summary = Summary()
    with ExitStack() as stack:
        measure, model = _open_measure(options, stack)
        names = {path: to_name(path) for path in images}
        rule = DoneRule(
            {names[path]: read_fingerprint(path, spacings[path], model) for path in images},
            retry_crashed=options.retry_crashed,
        )
        done = _find_done(options, rule, overlays)
        table: ResultTable | None = None
        if options.csv is not None:
            table = stack.enter_context(open_table(options.csv, rule, done))
        if done:
            summary.add_all(read_rows(options.csv))
        remaining = [path for path in images if names[path] not in done]
        for row in measure_files(measure, remaining, spacings, overlays):
            summary.add(row)
            if table is not None:
                table.write(row)
            if not is_standard_output(options.csv):  # only the table goes there
                tqdm.write(json.dumps(asdict(row)) if options.json else _to_line(row))
            sys.stdout.flush()  # a program that reads a pipe sees each row at once
    for line in summary.to_lines():
        report(line)
    return EXIT_SOME_NOT if summary.has_errors else EXIT_ALL_MEASURED


def _require_own_table(options: argparse.Namespace, images: Sequence[Path]) -> None:
    """Refuse a table that cannot be resumed, or that would replace an input file.

    Raises
    ------
    UsageError
    """
    table: Path | None = options.csv
    if options.retry_crashed and not options.resume:
        raise UsageError("--retry-crashed continues an earlier run; add --resume.")
    if options.resume and (table is None or is_standard_output(table)):
        raise UsageError("--resume continues a table; name it by --csv, a file.")
    if is_standard_output(table) and options.json:
        raise UsageError("--csv - and --json both write to standard output; leave out one.")
    if table is None or is_standard_output(table):
        return
    if options.pixel_sizes is not None and table.resolve() == options.pixel_sizes.resolve():
        raise UsageError("The pixel sizes' table would be replaced; name another file by --csv.")
    if table.is_file() and any(table.samefile(each) for each in images if each.exists()):
        raise UsageError("An image would be replaced by the table; name another file by --csv.")


def _prepare_overlays(
    options: argparse.Namespace, images: Sequence[Path]
) -> dict[Path, Path] | None:
    """Return where each image's overlay goes; None if no overlays are wanted."""
    if options.overlay_dir is None:
        return None
    _require_folder(options.overlay_dir)
    overlays = to_overlay_paths(options.images, images, options.overlay_dir)
    require_own_places(overlays, options.overlay_dir)
    return overlays


def _require_folder(folder: Path) -> None:
    """Create the folder for overlays and check that it can be written.

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


def _open_measure(options: argparse.Namespace, stack: ExitStack) -> tuple[Measure, ModelIdentity]:
    """Load a model in a child process, or connect to a service."""
    if options.server is None:
        if options.api_key_file is not None:
            raise UsageError("--api-key-file is for a service; name it by --server.")
        load = partial(
            load_local_measure,
            options.model,
            backend=options.backend,
            precision=options.precision,
            caption=not options.bare_overlays,
        )
        process = MeasuringProcess(load)
        stack.callback(process.close)
        return process, process.model
    if (options.model, options.backend, options.precision) != (SHIPPED_MODEL_DIR, "auto", "auto"):
        raise UsageError("--model, --backend and --precision are the server's to choose.")
    if find_spec("httpx") is None:
        raise UsageError("--server needs httpx; install it with: pip install 'headcirc[client]'")
    from headcirc.batch.remote import open_remote_measure

    return stack.enter_context(
        open_remote_measure(options.server, options.api_key_file, caption=not options.bare_overlays)
    )


def _find_done(
    options: argparse.Namespace, rule: DoneRule, overlays: Mapping[Path, Path] | None
) -> set[str]:
    """Return the images that an earlier run finished, with their overlays if these are wanted."""
    if not options.resume:
        return set()
    done = find_done(options.csv, rule)
    done -= {to_name(path) for path, overlay in (overlays or {}).items() if not overlay.exists()}
    report(f"{len(done)} of {len(rule.fingerprints)} images are in the table already.")
    return done


def _to_line(row: Row) -> str:
    """Return a row as text for a person."""
    if row.head_circumference_mm is None:
        return escape_controls(f"{row.image}: not measured: {row.error}")
    uncertainty = "" if row.acceptable else "  NOT RELIABLE"
    notes = f"  [{row.warnings}]" if row.warnings else ""
    fault = f"  ({row.error})" if row.error else ""
    if row.pixel_size_confidence is not None:
        notes = (
            f"  pixel {row.pixel_size_x_mm:.4g} mm by the depth scale "
            f"(confidence {row.pixel_size_confidence:.3f}){notes}"
        )
    return escape_controls(
        f"{row.image}: HC {row.head_circumference_mm:.1f} mm  "
        f"BPD {row.biparietal_diameter_mm:.1f} mm  OFD {row.occipitofrontal_diameter_mm:.1f} mm"
        f"{uncertainty}{notes}{fault}"
    )


def _describe_resume(options: argparse.Namespace) -> str:
    has_table = options.csv is not None and not is_standard_output(options.csv)
    return "--resume goes on from there" if has_table else ""


COMMAND = Command(
    "analyze",
    "Measure files and folders.",
    add_arguments,
    run,
    examples=EXAMPLES,
    describe_resume=_describe_resume,
)
