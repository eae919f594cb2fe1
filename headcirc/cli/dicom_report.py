"""`headcirc report`: measure DICOM files and write DICOM reports about them."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headcirc.answers import to_analysis_facts
from headcirc.batch.files import UsageError
from headcirc.batch.replace_file import replace_file
from headcirc.cli.command import (
    EXIT_ALL_MEASURED,
    EXIT_SOME_NOT,
    Command,
    add_model_arguments,
    read_age_days,
    read_mm,
    report,
)
from headcirc.errors import InputError, UnsupportedMediaTypeError
from headcirc.pipeline import Analysis, Pipeline, load_pipeline
from headcirc.readers.pixel_size import to_stated_spacing

if TYPE_CHECKING:
    from headcirc.reports.dicom.finding import Finding

EXAMPLES = """examples:
  headcirc report scan.dcm --sr --seg --capture --out reports/
  headcirc report cine.dcm --frame 12 --sr --template 5000 --out reports/

"""
TEMPLATES = ("1500", "5000")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `report`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.dcm", help="a DICOM file")
    parser.add_argument("--sr", action="store_true", help="write a structured report")
    parser.add_argument(
        "--template",
        choices=TEMPLATES,
        default=TEMPLATES[0],
        help="of the structured report: 1500 for viewers, 5000 for obstetric systems",
    )
    parser.add_argument("--seg", action="store_true", help="write the mask as a segmentation")
    parser.add_argument(
        "--capture", action="store_true", help="write the captioned overlay as a picture"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the reports: NAME_sr.dcm, NAME_seg.dcm and NAME_capture.dcm",
    )
    parser.add_argument(
        "--frame", type=int, metavar="N", help="of a file with several, counted from 0"
    )
    parser.add_argument(
        "--pixel-size-mm",
        type=read_mm,
        metavar="X",
        help="width and height of a pixel, where the files state none",
    )
    parser.add_argument(
        "--gestational-age-days",
        type=read_age_days,
        metavar="N",
        help="age by last menstrual period or early scan; without it that of the file counts",
    )
    add_model_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Measure each file and write its reports; say what could not be written, and why."""
    if find_spec("highdicom") is None:
        raise UsageError("report needs highdicom; install it with: pip install 'headcirc[dicom]'")
    kinds = _to_kinds(options)
    places = _to_places(options.files, options.out, tuple(kinds))
    options.out.mkdir(parents=True, exist_ok=True)
    pipeline = load_pipeline(
        options.model,
        backend=options.backend,
        precision=options.precision,
        site_file=options.site_file,
    )
    is_complete = True
    for path in options.files:
        try:
            analysis = _measure(path, options, pipeline)
        except (InputError, OSError) as error:
            report(f"{path}: not measured: {_to_reason(error)}")
            is_complete = False
            continue
        finding = _to_finding(analysis, pipeline)
        for suffix, kind in kinds.items():
            is_complete &= _write(finding, analysis, kind, places[path, suffix])
    return EXIT_ALL_MEASURED if is_complete else EXIT_SOME_NOT


def _to_kinds(options: argparse.Namespace) -> dict[str, str]:
    """Return the end of the name of each chosen report, and its kind."""
    chosen = {
        "sr": f"tid{options.template}" if options.sr else None,
        "seg": "seg" if options.seg else None,
        "capture": "capture" if options.capture else None,
    }
    kinds = {suffix: kind for suffix, kind in chosen.items() if kind is not None}
    if not kinds:
        raise UsageError("Nothing to write; choose one or more of --sr, --seg and --capture.")
    return kinds


def _to_places(
    files: list[Path], folder: Path, suffixes: tuple[str, ...]
) -> dict[tuple[Path, str], Path]:
    """Return the path of each report.

    Raises
    ------
    UsageError
        Two reports would have the same name, or a report would replace a file that is measured.
    """
    places = {
        (path, suffix): folder / f"{path.stem}_{suffix}.dcm"
        for path in files
        for suffix in suffixes
    }
    if len(set(places.values())) < len(places):
        raise UsageError("Two of the files have the same name; write their reports one by one.")
    sources = {path.resolve() for path in files}
    if any(place.resolve() in sources for place in places.values()):
        raise UsageError("A file would be replaced by a report; name another folder by --out.")
    return places


def _measure(path: Path, options: argparse.Namespace, pipeline: Pipeline) -> Analysis:
    """Measure a file.

    Raises
    ------
    UnsupportedMediaTypeError
        It is not DICOM.
    InputError, OSError
    """
    analysis = pipeline.analyze(
        path.read_bytes(),
        pixel_spacing=to_stated_spacing(options.pixel_size_mm),
        frame_index=options.frame,
        gestational_age_days=options.gestational_age_days,
    )
    if analysis.frame.source is None:
        raise UnsupportedMediaTypeError(
            "The file is not DICOM; a report repeats the patient, the study and the picture's "
            "identifier, which only a DICOM file has."
        )
    return analysis


def _to_finding(analysis: Analysis, pipeline: Pipeline) -> "Finding":
    from headcirc.reports.dicom.finding import Finding

    assert analysis.frame.source is not None, "`_measure` has checked it"
    return Finding(source=analysis.frame.source, answer=to_analysis_facts(analysis, pipeline))


def _write(finding: "Finding", analysis: Analysis, kind: str, place: Path) -> bool:
    """Write one report; return whether there is one."""
    from headcirc.reports.dicom.report_file import to_report_file

    mask = None if analysis.head is None else analysis.head.mask.pixels
    try:
        content = to_report_file(kind, finding, mask=mask, draw_overlay=analysis.draw_overlay)
    except InputError as error:
        report(f"{place.name}: not written: {error}")
        return False
    with replace_file(place) as unfinished:
        unfinished.write_bytes(content)
    print(place)
    return True


def _to_reason(error: InputError | OSError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


COMMAND = Command(
    "report",
    "Measure DICOM files and write DICOM reports about them.",
    add_arguments,
    run,
    examples=EXAMPLES,
)
