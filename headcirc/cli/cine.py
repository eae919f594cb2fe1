"""`headcirc cine`: measure every frame of a cine, here or by a running service."""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from headcirc.batch.files import UsageError, find_images
from headcirc.batch.replace_file import replace_file
from headcirc.batch.safe_text import escape_controls, to_cell
from headcirc.cine.answers import CineFrame, CineLine, CineStart, CineSummary
from headcirc.cine.lines import measure_cine
from headcirc.cine.summary import agrees
from headcirc.cli.command import (
    EXIT_ALL_MEASURED,
    EXIT_SOME_NOT,
    Command,
    add_model_arguments,
    is_read,
    read_mm,
    report,
)
from headcirc.geometry import PixelSpacing, ScaleMarks, StatedScale
from headcirc.overlay import to_png
from headcirc.pipeline import SHIPPED_MODEL_DIR, Pipeline, load_pipeline
from headcirc.readers.pixel_size import to_scale_marks, to_stated_spacing
from headcirc.readers.reader import ReadOptions
from headcirc.readers.sequences import open_sequence
from headcirc.reports.drawing import to_picture, to_svg
from headcirc.reports.track_plot import draw_track, to_best_text, to_counts, to_headline

EXAMPLES = """examples:
  headcirc cine cine.dcm --plot track.svg --best best.png
  headcirc cine sweep.mp4 --pixel-size-mm 0.12 --csv track.csv
  headcirc cine frames/ --pixel-size-mm 0.12

"""
COLUMNS = (
    "frame",
    "time_ms",
    "head_circumference_mm",
    "head_circumference_low_mm",
    "head_circumference_high_mm",
    "head_circumference_px",
    "acceptable",
    "agrees",
    "head_plane_probability",
    "warnings",
    "error",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cine`."""
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a multi-frame DICOM, MP4 or AVI file; or pictures in turn, or their folder",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--pixel-size-mm", type=read_mm, metavar="X", help="width and height of a pixel"
    )
    size.add_argument(
        "--pixel-size-from-scale",
        type=read_mm,
        metavar="MM",
        help="find the depth scale in each frame; its marks are MM apart",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row for each frame")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the track, as SVG or PNG by its name"
    )
    parser.add_argument(
        "--best", type=Path, metavar="FILE.png", help="draw what was found in the best frame"
    )
    parser.add_argument("--json", action="store_true", help="print every line as JSON")
    add_model_arguments(parser)
    parser.add_argument("--server", metavar="URL", help="let a running service measure")
    parser.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="file with the API key of that service"
    )


def run(options: argparse.Namespace) -> int:
    """Measure the frames; print the summary, and write what is asked for."""
    paths = find_images(options.files, recursive=False)
    _require_own_outputs(options, paths)
    frames: list[CineFrame] = []
    with ExitStack() as stack:
        lines, pipeline = _open_lines(options, paths, stack)
        summary = _follow(lines, frames, as_json=options.json)
        if options.csv is not None:
            _write_table(options.csv, frames, summary)
        if options.plot is not None:
            _write_plot(options.plot, frames, summary)
        if options.best is not None and pipeline is not None and summary.best is not None:
            _write_best(options, paths, pipeline, summary.best.frame)
    for line in _to_text(summary):
        report(line) if options.json else print(escape_controls(line))
    return EXIT_ALL_MEASURED if summary.head_circumference_mm is not None else EXIT_SOME_NOT


def _require_own_outputs(options: argparse.Namespace, paths: Sequence[Path]) -> None:
    """Refuse an output that would replace a frame, or that a service cannot give.

    Raises
    ------
    UsageError
    """
    if any(is_read(each, paths) for each in (options.csv, options.plot, options.best)):
        raise UsageError("A file that is measured would be replaced; name another output.")
    if options.server is not None and options.best is not None:
        raise UsageError("--best needs the model here; leave out --server.")


def _to_stated(options: argparse.Namespace) -> StatedScale | None:
    if options.pixel_size_from_scale is not None:
        return to_scale_marks(options.pixel_size_from_scale)
    return to_stated_spacing(options.pixel_size_mm)


def _open_lines(
    options: argparse.Namespace, paths: Sequence[Path], stack: ExitStack
) -> tuple[Iterator[CineLine], Pipeline | None]:
    """Return the lines of the answer, and the model if it is loaded here."""
    stated = _to_stated(options)
    if options.server is not None:
        return _ask_service(options, paths, stack), None
    if options.api_key_file is not None:
        raise UsageError("--api-key-file is for a service; name it by --server.")
    pipeline = load_pipeline(
        options.model,
        backend=options.backend,
        precision=options.precision,
        site_file=options.site_file,
    )
    streams = [stack.enter_context(path.open("rb")) for path in paths]
    lines = measure_cine(pipeline, streams, pixel_spacing=stated)
    return stack.enter_context(closing(lines)), pipeline


def _ask_service(
    options: argparse.Namespace, paths: Sequence[Path], stack: ExitStack
) -> Iterator[CineLine]:
    chosen = options.model, options.backend, options.precision, options.site_file
    if chosen != (SHIPPED_MODEL_DIR, "auto", "auto", None):
        raise UsageError(
            "--model, --backend, --precision and --site-file are the server's to choose."
        )
    if find_spec("httpx") is None:
        raise UsageError("--server needs httpx; install it with: pip install 'headcirc[client]'")
    from headcirc.batch.remote import open_remote_cine

    contents = [path.read_bytes() for path in paths]
    stated = _to_stated(options)
    return stack.enter_context(
        open_remote_cine(options.server, options.api_key_file, contents, stated)
    )


def _follow(lines: Iterator[CineLine], frames: list[CineFrame], *, as_json: bool) -> CineSummary:
    """Collect the frames, with a progress bar, and return the summary."""
    with tqdm(unit="frame", leave=False, disable=None) as bar:
        for line in lines:
            if as_json:
                tqdm.write(json.dumps(asdict(line)))
            if isinstance(line, CineStart):
                bar.total = line.frames
            elif isinstance(line, CineFrame):
                frames.append(line)
                bar.update()
            else:
                return line
    raise AssertionError("a cine ends with its summary, or with an error")


def _to_text(summary: CineSummary) -> Iterator[str]:
    yield to_headline(summary)
    yield to_counts(summary)
    if summary.best is not None:
        yield to_best_text(summary)


def _write_table(path: Path, frames: Sequence[CineFrame], summary: CineSummary) -> None:
    with replace_file(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_to_row(each, summary.head_circumference_mm) for each in frames)


def _to_row(frame: CineFrame, middle_mm: float | None) -> list[str]:
    interval, head = frame.interval, frame.head
    is_measured = frame.is_acceptable and frame.head_circumference_mm is not None
    does_agree = is_measured and middle_mm is not None and agrees(frame, middle_mm)
    lengths = (
        frame.time_ms,
        frame.head_circumference_mm,
        None if interval is None else interval.low,
        None if interval is None else interval.high,
        None if head is None else head.head_circumference_px,
    )
    return [
        str(frame.frame),
        *(to_cell(each, "{:.2f}".format) for each in lengths),
        to_cell(frame.is_acceptable, str),
        to_cell(does_agree, str),
        to_cell(frame.head_plane_probability, "{:.4f}".format),
        to_cell("" if frame.quality is None else " ".join(frame.quality.warnings), str),
        to_cell(None if frame.error is None else frame.error.code, str),
    ]


def _write_plot(path: Path, frames: Sequence[CineFrame], summary: CineSummary) -> None:
    drawing = draw_track(frames, summary)
    is_svg = path.suffix.lower() == ".svg"
    content = to_svg(drawing).encode() if is_svg else to_png(to_picture(drawing))
    with replace_file(path) as unfinished:
        unfinished.write_bytes(content)


def _write_best(
    options: argparse.Namespace, paths: Sequence[Path], pipeline: Pipeline, index: int
) -> None:
    """Read the best frame again and draw what was found in it."""
    stated = _to_stated(options)
    spacing = stated if isinstance(stated, PixelSpacing) else None
    marks = stated if isinstance(stated, ScaleMarks) else None
    with ExitStack() as stack:
        streams = [stack.enter_context(path.open("rb")) for path in paths]
        read_options = ReadOptions(spacing, maximum_pixels=pipeline.maximum_pixels)
        sequence = stack.enter_context(closing(open_sequence(streams, read_options)))
        frame = next(each for each in sequence if each.index == index).read()
        prepared = pipeline.prepare_frame(frame, marks=marks)
        (prediction,) = pipeline.infer(prepared.network_input)
        picture = pipeline.finish(prepared, prediction).draw_overlay()
    with replace_file(options.best) as unfinished:
        unfinished.write_bytes(to_png(picture))


COMMAND = Command(
    "cine",
    "Measure every frame of a cine or video, and summarise them.",
    add_arguments,
    run,
    examples=EXAMPLES,
)
