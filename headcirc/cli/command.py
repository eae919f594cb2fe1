"""What a command is, and what several commands share: exit statuses, messages, common options."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headcirc.backends.registry import BACKENDS
from headcirc.batch.gestational_age_table import load_gestational_ages, to_ages_of
from headcirc.batch.pixel_size_table import load_pixel_sizes, to_spacings_of
from headcirc.batch.safe_text import escape_controls
from headcirc.batch.stated import StatedFacts
from headcirc.errors import InvalidGestationalAgeError
from headcirc.geometry import StatedScale
from headcirc.growth import require_gestational_age
from headcirc.pipeline import SHIPPED_MODEL_DIR
from headcirc.readers.pixel_size import read_decimal, to_scale_marks, to_stated_spacing

EXIT_ALL_MEASURED, EXIT_SOME_NOT, EXIT_USAGE, EXIT_STOPPED = 0, 1, 2, 130
EXIT_HELP = "Exit status: 0 all measured, 1 some image was not, 2 bad usage, 130 stopped by Ctrl-C."
EXIT_HELP_WITHOUT_IMAGES = "Exit status: 0 done, 2 bad usage or failed, 130 stopped by Ctrl-C."


def _say_nothing(_: argparse.Namespace) -> str:
    return ""


@dataclass(frozen=True)
class Command:
    """A command of `headcirc`; its module defines one, and `commands.COMMANDS` lists it.

    Attributes
    ----------
    name : str
    help : str
        One line.
    add_arguments : callable
        Adds the options to the command's parser.
    run : callable
        Runs with the parsed options and returns the exit status.
    examples : str
        Printed below the options.
    exit_help : str
        What the exit statuses mean; printed last.
    describe_resume : callable
        Says how to continue a run that ended early.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: str = ""
    exit_help: str = EXIT_HELP
    describe_resume: Callable[[argparse.Namespace], str] = _say_nothing


def report(text: str) -> None:
    """Print to standard error; invisible characters in the text are escaped."""
    for line in text.splitlines():
        print(escape_controls(line), file=sys.stderr)


def is_read(output: Path | None, sources: Iterable[Path | None]) -> bool:
    """Return whether writing a file would replace one that is read, also by another name of it."""
    if output is None:
        return False
    place, exists = output.resolve(), output.exists()
    return any(
        place == each.resolve() or (exists and each.exists() and output.samefile(each))
        for each in sources
        if each is not None
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the model and how it is computed."""
    parser.add_argument(
        "--model",
        type=Path,
        default=SHIPPED_MODEL_DIR,
        metavar="DIR",
        help="model folder (default: the model that ships)",
    )
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help=", ".join(("auto", *BACKENDS)),
    )
    parser.add_argument(
        "--precision", default="auto", metavar="NAME", help="auto, fp16 (GPU), int8 (CPU) or fp32"
    )
    parser.add_argument(
        "--site-file",
        type=Path,
        metavar="FILE",
        help="file of `headcirc recalibrate`: the site's own offset and intervals",
    )


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose images and state their pixel sizes."""
    parser.add_argument("--recursive", action="store_true", help="include sub-folders")
    parser.add_argument(
        "--retry-crashed",
        action="store_true",
        help="measure files again that crashed their decoder in an earlier run",
    )
    parser.add_argument(
        "--frame",
        type=int,
        metavar="N",
        help="frame to measure in DICOM files of several frames, counted from 0",
    )
    add_pixel_size_arguments(parser)
    add_age_arguments(parser)


def add_age_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that state the gestational age of the images."""
    age = parser.add_mutually_exclusive_group()
    age.add_argument(
        "--gestational-age-days",
        type=read_age_days,
        metavar="N",
        help="age by last menstrual period or early scan, for z-scores and centiles; one for all "
        "images. Without it the age counts that a DICOM file states",
    )
    age.add_argument(
        "--gestational-ages",
        type=Path,
        metavar="FILE.csv",
        help="table of gestational ages: filename (or folder/name) and gestational_age_days; it "
        "can be the table of pixel sizes",
    )


def add_pixel_size_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that state the images' pixel sizes."""
    pixel_size = parser.add_mutually_exclusive_group()
    pixel_size.add_argument(
        "--pixel-size-mm",
        type=read_mm,
        metavar="X",
        help="width and height of a pixel in every image; without it only DICOM files, which state "
        "their own, have millimetres",
    )
    pixel_size.add_argument(
        "--pixel-sizes",
        type=Path,
        metavar="FILE.csv",
        help="table of pixel sizes: filename (or folder/name) and pixel_size_mm, or "
        "pixel_size_x_mm and pixel_size_y_mm; HC18's own table works",
    )
    pixel_size.add_argument(
        "--pixel-size-from-scale",
        type=read_mm,
        metavar="MM",
        help="find the depth scale beside each picture; its marks are MM apart (mostly 5 or "
        "10). An image without a scale that can be trusted is not measured",
    )


def read_age_days(text: str) -> int:
    """Read a gestational age in days; raises as argparse expects."""
    try:
        days = require_gestational_age(read_decimal(text))
        assert days is not None
        return days
    except (ValueError, InvalidGestationalAgeError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of days from 1 to 330; 20 weeks and 3 days are 143"
        ) from error


def read_mm(text: str) -> float:
    """Return millimetres that were written on the command line.

    Raises
    ------
    argparse.ArgumentTypeError
    """
    try:
        return read_decimal(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number; write millimetres, such as 0.12"
        ) from error


def read_stated(options: argparse.Namespace, images: Sequence[Path]) -> dict[Path, StatedFacts]:
    """Return what the options state about each image."""
    scales = read_spacings(options, images)
    if options.gestational_ages is not None:
        ages = to_ages_of(images, load_gestational_ages(options.gestational_ages))
    else:
        ages = dict.fromkeys(images, options.gestational_age_days)
    return {path: StatedFacts(scales[path], ages[path]) for path in images}


def read_spacings(
    options: argparse.Namespace, images: Sequence[Path]
) -> Mapping[Path, StatedScale | None]:
    """Return what the options state about the scale of each image."""
    if options.pixel_sizes is not None:
        return to_spacings_of(images, load_pixel_sizes(options.pixel_sizes))
    if options.pixel_size_from_scale is not None:
        return dict.fromkeys(images, to_scale_marks(options.pixel_size_from_scale))
    return dict.fromkeys(images, to_stated_spacing(options.pixel_size_mm))
