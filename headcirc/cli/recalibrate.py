"""`headcirc recalibrate`: make a site file from the rows of `headcirc evaluate`."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from headcirc.agreement.recalibration import LEAST_EXAMS, NONE, recalibrate
from headcirc.agreement.rows import read_rows
from headcirc.batch.files import UsageError
from headcirc.batch.replace_file import replace_file
from headcirc.cli.command import EXIT_ALL_MEASURED, EXIT_HELP_WITHOUT_IMAGES, Command, is_read
from headcirc.model.site import to_site

EXAMPLES = """examples:
  headcirc evaluate scans/ measurements.csv
  headcirc recalibrate headcirc-evaluation/rows.csv --out site.json
  HEADCIRC_SITE_FILE=site.json headcirc serve

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `recalibrate`."""
    parser.add_argument(
        "rows",
        type=Path,
        metavar="ROWS.csv",
        help=f"rows.csv of `headcirc evaluate`, with at least {LEAST_EXAMS} exams",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="site file to write, JSON"
    )


def run(options: argparse.Namespace) -> int:
    """Choose correction and intervals, print them, and write the site file."""
    if is_read(options.out, [options.rows]):
        raise UsageError("The rows would be replaced; name another file by --out.")
    found = recalibrate(read_rows(options.rows))
    facts = found.to_facts(datetime.now(UTC).strftime("%Y-%m-%d"))
    text = json.dumps(facts, indent=2) + "\n"
    site = to_site(facts, "")
    with replace_file(options.out) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    print(site.describe())
    if found.correction.kind == NONE:
        print("HC is not corrected: your measurements lie on both sides of the model's.")
    print(
        f"Median absolute difference on the {found.interval_exams} exams that did not choose the "
        f"correction: {found.residual_before_mm:.2f} mm before, {found.residual_after_mm:.2f} mm "
        "after."
    )
    print(f"Farthest apart, look at these first: {', '.join(found.farthest)}")
    print(found.guarantee)
    return EXIT_ALL_MEASURED


COMMAND = Command(
    "recalibrate",
    "Make a site file from 30 to 50 own cases: offset or factor, and intervals.",
    add_arguments,
    run,
    examples=EXAMPLES,
    exit_help=EXIT_HELP_WITHOUT_IMAGES,
)
