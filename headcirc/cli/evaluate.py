"""`headcirc evaluate`: compare the model with measurements of one's own."""

import argparse
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from headcirc import __version__
from headcirc.agreement.bland_altman import draw_bland_altman
from headcirc.agreement.reference_table import (
    Reference,
    has_pixel_sizes,
    load_references,
    match_references,
)
from headcirc.agreement.rows import ComparedImage, to_compared, write_rows
from headcirc.agreement.summary import Summary, summarise, to_advice, to_lines
from headcirc.batch.files import (
    UsageError,
    find_images,
    load_local_measure,
    measure_files,
    to_name,
)
from headcirc.batch.measuring_process import MeasuringProcess
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.pixel_size_table import load_pixel_sizes, to_spacings_of
from headcirc.batch.replace_file import replace_file
from headcirc.batch.stated import StatedFacts
from headcirc.cli.command import (
    EXIT_ALL_MEASURED,
    EXIT_SOME_NOT,
    Command,
    add_model_arguments,
    add_pixel_size_arguments,
    read_spacings,
    report,
)
from headcirc.geometry import StatedScale
from headcirc.model.manifest import load_manifest
from headcirc.model.site import load_site

ROWS_NAME, SUMMARY_NAME, PLOT_NAME = "rows.csv", "summary.json", "bland_altman.svg"
EXAMPLES = """examples:
  headcirc evaluate scans/ measurements.csv
  headcirc evaluate scans/ measurements.csv --pixel-size-mm 0.12 --out results/

The table has a row for each image: file, hc_mm (in millimetres), and optionally pixel_size_mm,
operator and exam (which images are of the same woman).

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of images")
    parser.add_argument("table", type=Path, metavar="TABLE", help="CSV of your measurements")
    parser.add_argument("--recursive", action="store_true", help="include sub-folders")
    parser.add_argument(
        "--skip-missing", action="store_true", help="go on where images of the table are missing"
    )
    add_pixel_size_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("headcirc-evaluation"),
        metavar="DIR",
        help=f"folder for {ROWS_NAME}, {SUMMARY_NAME} and {PLOT_NAME} (default: "
        "headcirc-evaluation)",
    )
    add_model_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measure the images of the table, print how well they agree, and write the files."""
    if not options.folder.is_dir():
        raise UsageError(f"{str(options.folder)!r} is not a folder.")
    references = load_references(options.table)
    images = find_images([options.folder], recursive=options.recursive)
    matched = match_references(images, references, skip_missing=options.skip_missing)
    spacings = _read_spacings(options, list(matched))
    options.out.mkdir(parents=True, exist_ok=True)
    rows, model = _measure(options, matched, spacings)
    summary = summarise(rows, {to_name(path): each for path, each in matched.items()})
    _write(options.out, rows, summary, model)
    others = len(images) - len(matched)
    if others:
        report(f"{others} images of the folder are not in the table.")
    print("\n".join([*to_lines(summary), "", *to_advice(summary, rows)]))
    print(f"\nWritten to {str(options.out)!r}: {ROWS_NAME}, {SUMMARY_NAME}, {PLOT_NAME}.")
    return EXIT_ALL_MEASURED if all(not row.error for row in rows) else EXIT_SOME_NOT


def _read_spacings(
    options: argparse.Namespace, images: list[Path]
) -> Mapping[Path, StatedScale | None]:
    """Return what is known of each image's scale: from the table itself, or from the options.

    Raises
    ------
    UsageError
        Both state it, or neither does.
    """
    stated = options.pixel_size_mm, options.pixel_sizes, options.pixel_size_from_scale
    is_stated = any(each is not None for each in stated)
    if has_pixel_sizes(options.table):
        if is_stated:
            raise UsageError(
                "The table of measurements has pixel sizes; leave out --pixel-size-mm, "
                "--pixel-sizes and --pixel-size-from-scale."
            )
        return to_spacings_of(images, load_pixel_sizes(options.table))
    if not is_stated:
        raise UsageError(
            "No pixel size is known, so nothing can be compared in millimetres. Add a column "
            "'pixel_size_mm' to the table, or give --pixel-size-mm, --pixel-sizes or "
            "--pixel-size-from-scale."
        )
    return read_spacings(options, images)


def _measure(
    options: argparse.Namespace,
    matched: dict[Path, Reference],
    spacings: Mapping[Path, StatedScale | None],
) -> tuple[list[ComparedImage], ModelIdentity]:
    """Measure as `analyze` does; return the compared images and the model."""
    load = partial(
        load_local_measure,
        options.model,
        backend=options.backend,
        precision=options.precision,
        site_file=options.site_file,
    )
    with ExitStack() as stack:
        process = MeasuringProcess(load)
        stack.callback(process.close)
        level = _read_level(options, process.model)
        stated = {path: StatedFacts(scale) for path, scale in spacings.items()}
        measured = measure_files(process, list(matched), stated)
        rows = [
            to_compared(row, reference, process.model, level=level)
            for row, reference in zip(measured, matched.values(), strict=True)
        ]
        return rows, process.model


def _read_level(options: argparse.Namespace, model: ModelIdentity) -> float | None:
    """Return the level of the intervals; None if the model states none."""
    if options.site_file is not None:
        return load_site(options.site_file, model_sha256=model.sha256).level
    uncertainty = load_manifest(options.model).uncertainty
    return None if uncertainty is None else uncertainty.interval.level


def _write(folder: Path, rows: list[ComparedImage], summary: Summary, model: ModelIdentity) -> None:
    write_rows(folder / ROWS_NAME, rows)
    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "headcirc": __version__,
        "model": asdict(model),
        **summary.to_facts(),
    }
    title = f"{model.name} {model.version}, {summary.answered.count} images"
    plot = draw_bland_altman(rows, summary.of_answered.errors, title=title)
    texts = {SUMMARY_NAME: json.dumps(facts, indent=2) + "\n", PLOT_NAME: plot}
    for name, text in texts.items():
        with replace_file(folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


COMMAND = Command(
    "evaluate",
    "Compare the model with your own measurements: bias, limits of agreement, intervals.",
    add_arguments,
    run,
    examples=EXAMPLES,
)
