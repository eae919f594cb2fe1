"""`headcirc analyze`: measure files and folders, here or by a running service."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from headcirc.answers import NO_HEAD, Row
from headcirc.batch.files import (
    Drawings,
    Measure,
    UsageError,
    find_images,
    load_local_measure,
    measure_files,
    require_own_places,
    to_drawing_paths,
    to_name,
)
from headcirc.batch.measuring_pool import PROCESSES, MeasuringPool
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
from headcirc.batch.usage import Usage
from headcirc.cli.command import (
    EXIT_ALL_MEASURED,
    EXIT_SOME_NOT,
    Command,
    add_image_arguments,
    add_model_arguments,
    is_read,
    read_stated,
    report,
)
from headcirc.errors import InputError
from headcirc.growth import to_age_text
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.quality.assessment import NOT_A_HEAD_PLANE
from headcirc.readers import SUFFIXES
from headcirc.reports.growth_chart import EarlierPoint, to_earlier_point

EXAMPLES = """examples:
  headcirc analyze scan.png --pixel-size-mm 0.12
  headcirc analyze scans/ --recursive --pixel-sizes sizes.csv --csv out.csv
  headcirc analyze study/DICOMDIR --csv out.csv

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
    parser.add_argument(
        "--growth-chart-dir",
        type=Path,
        metavar="DIR",
        help="write a growth chart of each result, NAME_growth.svg; it needs a gestational age",
    )
    parser.add_argument(
        "--earlier",
        type=_to_earlier,
        action="append",
        default=[],
        metavar="DAYS:MM",
        help="an earlier measurement for the chart, such as 140:172.5; can be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_model_arguments(parser)
    parser.add_argument(
        "--processes",
        type=int,
        choices=(1, PROCESSES),
        default=PROCESSES,
        help="that measure a folder here at the same time; 1 takes less memory "
        "(default: %(default)s)",
    )
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


def _to_earlier(text: str) -> EarlierPoint:
    try:
        return to_earlier_point(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a gestational age in days and a circumference in mm, such as "
            "140:172.5"
        ) from error


def run(options: argparse.Namespace) -> int:
    """Measure; print a line or JSON for each image, write the table and the drawings."""
    images = find_images(options.images, recursive=options.recursive)
    stated = read_stated(options, images)
    _require_own_table(options, images)
    drawings = _prepare_drawings(options, images)
    summary, watch = Summary(), Usage()
    with ExitStack() as stack:
        measure, model, threads = _open_measure(options, len(images), stack)
        names = {path: to_name(path) for path in images}
        rule = DoneRule(
            {
                names[path]: read_fingerprint(path, stated[path], model, frame_index=options.frame)
                for path in images
            },
            retry_crashed=options.retry_crashed,
        )
        done = _find_done(options, rule, drawings)
        table: ResultTable | None = None
        if options.csv is not None:
            table = stack.enter_context(open_table(options.csv, rule, done))
        if done:
            summary.add_all(read_rows(options.csv))
        remaining = [path for path in images if names[path] not in done]
        for row in measure_files(measure, remaining, stated, drawings, threads=threads):
            summary.add(row)
            if table is not None:
                table.write(row)
            if not is_standard_output(options.csv):  # only the table goes there
                tqdm.write(json.dumps(asdict(row)) if options.json else _to_line(row))
            sys.stdout.flush()  # a program that reads a pipe sees each row at once
    for line in [*summary.to_lines(), *watch.to_lines(len(remaining))]:
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
    inputs = {"pixel sizes": options.pixel_sizes, "gestational ages": options.gestational_ages}
    for name, path in inputs.items():
        if is_read(table, [path]):
            raise UsageError(f"The {name}' table would be replaced; name another file by --csv.")
    if is_read(table, images):
        raise UsageError("An image would be replaced by the table; name another file by --csv.")


def _prepare_drawings(options: argparse.Namespace, images: Sequence[Path]) -> Drawings:
    """Return which drawings are wanted, and where each goes.

    Raises
    ------
    UsageError
    """
    folder: Path | None = options.growth_chart_dir
    if options.earlier and folder is None:
        raise UsageError("--earlier is for a growth chart; add --growth-chart-dir.")
    age_days = options.gestational_age_days
    latest_days = max((each.gestational_age_days for each in options.earlier), default=0)
    if age_days is not None and latest_days > age_days:
        raise UsageError("--earlier has a later age than --gestational-age-days; leave it out.")
    return Drawings(
        overlays=_prepare_places(options, images, "--overlay-dir", "_overlay.png"),
        charts=_prepare_places(options, images, "--growth-chart-dir", "_growth.svg"),
        earlier=options.earlier,
    )


def _prepare_places(
    options: argparse.Namespace, images: Sequence[Path], option: str, ending: str
) -> dict[Path, Path] | None:
    """Return where each image's drawing goes; None if the option names no folder."""
    folder: Path | None = getattr(options, option.removeprefix("--").replace("-", "_"))
    if folder is None:
        return None
    _require_folder(folder)
    places = to_drawing_paths(options.images, images, folder, ending=ending)
    require_own_places(places, folder, option=option)
    return places


def _require_folder(folder: Path) -> None:
    """Create a folder for drawings and check that it can be written.

    Raises
    ------
    UsageError
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(
            f"Nothing can be written to {str(folder)!r} ({error.strerror}); name a folder."
        ) from error


def _open_measure(
    options: argparse.Namespace, images: int, stack: ExitStack
) -> tuple[Measure, ModelIdentity, int]:
    """Load a model in child processes, or connect to a service; return how many threads ask it."""
    if options.server is None:
        if options.api_key_file is not None:
            raise UsageError("--api-key-file is for a service; name it by --server.")
        load = partial(
            load_local_measure,
            options.model,
            backend=options.backend,
            precision=options.precision,
            site_file=options.site_file,
            caption=not options.bare_overlays,
            frame_index=options.frame,
        )
        pool = MeasuringPool(load, images=images, processes=options.processes)
        stack.callback(pool.close)
        return pool, pool.model, pool.threads
    chosen = options.model, options.backend, options.precision, options.site_file
    if chosen != (SHIPPED_MODEL_DIR, "auto", "auto", None):
        raise UsageError(
            "--model, --backend, --precision and --site-file are the server's to choose."
        )
    if find_spec("httpx") is None:
        raise UsageError("--server needs httpx; install it with: pip install 'headcirc[client]'")
    from headcirc.batch.remote import open_remote_measure

    measure, model = stack.enter_context(
        open_remote_measure(
            options.server,
            options.api_key_file,
            caption=not options.bare_overlays,
            frame_index=options.frame,
        )
    )
    return measure, model, 1


def _find_done(options: argparse.Namespace, rule: DoneRule, drawings: Drawings) -> set[str]:
    """Return the images that an earlier run finished, with the drawings that are wanted."""
    if not options.resume:
        return set()
    done = find_done(options.csv, rule)
    done -= {to_name(path) for path in drawings.find_missing()}
    report(f"{len(done)} of {len(rule.fingerprints)} images are in the table already.")
    return done


def _to_line(row: Row) -> str:
    """Return a row as text for a person."""
    if row.head_circumference_mm is None:
        is_other_plane = row.error.startswith(NO_HEAD) and NOT_A_HEAD_PLANE in row.warnings
        why = "; it does not look like a plane of the fetal head" if is_other_plane else ""
        return escape_controls(f"{row.image}: not measured: {row.error}{why}")
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
        f"{_to_growth_text(row)}{uncertainty}{notes}{fault}"
    )


def _to_growth_text(row: Row) -> str:
    """Return the age by Hadlock 1984, and the centile at the stated age, where they are known."""
    parts = []
    if row.gestational_age_hadlock_1984_days is not None:
        parts.append(f"GA {to_age_text(row.gestational_age_hadlock_1984_days)} (Hadlock 1984)")
    if row.gestational_age_days is not None:
        at = f"at {to_age_text(row.gestational_age_days)}"
        centile, z_score = row.head_circumference_centile, row.head_circumference_z_score
        if centile is None or z_score is None:
            parts.append(f"{at} no centile: outside the growth standard")
        else:
            parts.append(f"{at} centile {centile:.1f}, z-score {z_score:+.2f}")
    return "".join(f"  {each}" for each in parts)


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
