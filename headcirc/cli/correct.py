"""`headcirc correct`: measure an image, and put a person's ellipse beside the automatic one."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from headcirc.answers import AnalysisFacts, HeadEllipse, to_analysis_facts, to_now_text
from headcirc.batch.files import UsageError
from headcirc.batch.replace_file import replace_file
from headcirc.cli.command import (
    EXIT_ALL_MEASURED,
    EXIT_SOME_NOT,
    Command,
    add_age_arguments,
    add_model_arguments,
    add_pixel_size_arguments,
    is_read,
    read_stated,
    report,
)
from headcirc.corrections import (
    MOST_NAME_CHARACTERS,
    MOST_NOTE_CHARACTERS,
    DrawnEllipse,
    require_drawn,
    to_corrected,
)
from headcirc.errors import InputError
from headcirc.pipeline import load_pipeline
from headcirc.readers.pixel_size import read_decimal

EXAMPLES = """examples:
  headcirc correct scan.png --pixel-size-mm 0.12 --ellipse 401 270 303 230 12 --by RT
  headcirc correct scan.dcm --ellipse 401 270 303 230 12 --by RT --out scan_corrected.json

The ellipse is in pixels of the upright picture, as in the answer's head.ellipse: pixel centres lie
at whole numbers, (0, 0) is the centre of the top-left pixel, x points right and y down. It goes
along the outer edge of the skull. The answer is that of the service: the automatic ellipse stays,
and yours is in `correction`. Write nothing about the patient into --by and --note.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `correct`."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a file")
    parser.add_argument(
        "--ellipse",
        type=_read_number,
        nargs=5,
        required=True,
        metavar=("X", "Y", "MAJOR", "MINOR", "DEGREES"),
        help="your ellipse: centre, longer and shorter semi-axis in pixels, and the angle of the "
        "longer one from right towards down",
    )
    parser.add_argument(
        "--by",
        required=True,
        metavar="NAME",
        help=f"who drew it, such as initials; at most {MOST_NAME_CHARACTERS} characters",
    )
    parser.add_argument(
        "--note",
        metavar="TEXT",
        help=f"at most {MOST_NOTE_CHARACTERS} characters in one line",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="write the answer there, not to the screen"
    )
    parser.add_argument(
        "--frame", type=int, metavar="N", help="of a file with several, counted from 0"
    )
    add_pixel_size_arguments(parser)
    add_age_arguments(parser)
    add_model_arguments(parser)


def _read_number(text: str) -> float:
    try:
        return read_decimal(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def run(options: argparse.Namespace) -> int:
    """Measure the image, correct the answer, and print or write it as JSON.

    Raises
    ------
    UsageError, InputError
        What is stated cannot be used: the ellipse, the name, the note or the pixel size.
    """
    _require_own_output(options)
    stated = read_stated(options, [options.image])[options.image]
    pipeline = load_pipeline(
        options.model,
        backend=options.backend,
        precision=options.precision,
        site_file=options.site_file,
    )
    try:
        analysis = pipeline.analyze(
            options.image.read_bytes(),
            pixel_spacing=stated.scale,
            frame_index=options.frame,
            gestational_age_days=stated.gestational_age_days,
        )
    except (InputError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        report(f"{options.image}: not measured: {reason}")
        return EXIT_SOME_NOT
    answer = to_analysis_facts(analysis, pipeline)
    drawn = DrawnEllipse(
        ellipse=HeadEllipse(*options.ellipse), by=options.by, at=to_now_text(), note=options.note
    )
    corrected = to_corrected(answer, require_drawn(drawn, answer.image))
    _write(corrected, options.out)
    report(_to_line(corrected))
    return EXIT_ALL_MEASURED


def _require_own_output(options: argparse.Namespace) -> None:
    """Refuse an answer that would replace what is read.

    Raises
    ------
    UsageError
    """
    read = (options.image, options.pixel_sizes, options.gestational_ages, options.site_file)
    if is_read(options.out, read):
        raise UsageError("A file that is read would be replaced; name another one by --out.")


def _write(answer: AnalysisFacts, place: Path | None) -> None:
    text = json.dumps(asdict(answer), indent=2, allow_nan=False)
    if place is None:
        print(text)
        return
    with replace_file(place) as unfinished:
        unfinished.write_text(f"{text}\n", encoding="utf-8")


def _to_line(answer: AnalysisFacts) -> str:
    """Return the corrected circumference for a person, and how it compares."""
    assert answer.correction is not None, "`to_corrected` has made one"
    hc_mm = answer.correction.head.head_circumference_mm
    if hc_mm is None:
        hc_px = answer.correction.head.head_circumference_px
        return f"Corrected HC {hc_px:.1f} pixels; no pixel size is known."
    difference_mm = answer.correction.difference_mm
    if difference_mm is None:
        return f"Corrected HC {hc_mm:.1f} mm; nothing was measured automatically."
    text = f"Corrected HC {hc_mm:.1f} mm, {difference_mm:+.1f} mm from the automatic one."
    if answer.correction.exceeds_half_width:
        text += " That is more than half the width of its interval: look again."
    return text


COMMAND = Command(
    "correct",
    "Measure an image, and put your own ellipse beside the automatic one.",
    add_arguments,
    run,
    examples=EXAMPLES,
)
