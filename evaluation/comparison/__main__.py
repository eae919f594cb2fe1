"""Compare architectures: `python -m evaluation.comparison measure|report`.

`measure --model DIR --part PART` measures one exported network through the running service and
saves its rows. `report` reads all saved rows, those of the calibration exams and the acceptance of
the INT8 graphs, and writes `comparison.json`, the figures and the tables of `docs/comparison.md`.
The test exams are read only with `--part test`.

Exit status 0: done; 2: the measurement failed, or the networks cannot be compared.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import httpx

from evaluation.acceptance import RESULT_NAME as ACCEPTANCE_NAME
from evaluation.comparison.measure import measure_network
from evaluation.comparison.plots import draw_figures
from evaluation.comparison.rows import Measured, find_measured
from evaluation.comparison.summary import to_choice, to_ordered_groups, to_report
from evaluation.comparison.text import DOCUMENT, to_block, write_page
from evaluation.unseen_exams import TrainedOnError
from harness.documents import write_report
from harness.options import add_folder_options
from harness.paths import EVALUATION_RESULTS_DIR, PLANES_DIR, SPEED_RESULTS_DIR
from harness.served import ServiceFailedError
from headcirc.errors import HeadCircumferenceError
from training.networks import COMPARED, TITLES

RESULTS_DIR = EVALUATION_RESULTS_DIR / "comparison"
CALIBRATION = "calibration"
"""Folder of the calibration exams' rows, beside those of the test exams."""
LATENCY_PATH = SPEED_RESULTS_DIR / "comparison" / "latency.json"
EXIT_DONE, EXIT_FAILED = 0, 2


def write_all(
    networks: Sequence[Measured], calibration: Sequence[Measured], latency: Any, out_dir: Path
) -> str:
    """Write the report and the figures, and return the page's block."""
    order = [TITLES[name] for name in COMPARED]
    report = to_report(networks, order)
    report["calibration"] = to_choice(calibration, order) if calibration else None
    for each in report["networks"]:
        each["int8"] = read_candidates(out_dir / each["name"] / each["version"])
    write_report(out_dir / "comparison.json", report)
    first = [seeds[0] for seeds in to_ordered_groups(networks, order).values()]
    paths = draw_figures(first, report, latency, out_dir)
    return to_block(report, latency, [path.stem for path in paths])


def read_candidates(measured_dir: Path) -> list[dict[str, Any]]:
    """Return the judged INT8 graphs of a network, one of each backend; empty if none was judged."""
    path = measured_dir / ACCEPTANCE_NAME
    candidates = json.loads(path.read_text())["candidates"] if path.is_file() else []
    return [{key: each[key] for key in ("model", "figures", "within")} for each in candidates]


def to_line(measured: Measured) -> str:
    """Return what was measured, with the mean absolute error of the answered images."""
    errors_mm = [abs(row.error_mm) for row in measured.rows if row.error_mm is not None]
    error = f", mean absolute error {mean(errors_mm):.2f} mm" if errors_mm else ""
    return (
        f"{measured.title}, {measured.version}: {len(measured.rows)} images measured, "
        f"{len(errors_mm)} answered{error}"
    )


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.comparison", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("measure", help="measure one network and save its rows")
    measure.add_argument("--model", type=Path, required=True, help="model folder")
    measure.add_argument("--part", choices=("calibration", "test"), required=True)
    measure.add_argument("--planes", type=Path, default=PLANES_DIR, help="folder of the planes")
    measure.add_argument("--backend", default="auto", help="backend of the service")
    measure.add_argument("--precision", default="fp32", help="precision of the service")
    add_folder_options(measure, RESULTS_DIR)
    report = commands.add_parser("report", help="write report, figures and tables")
    report.add_argument("--results", type=Path, default=RESULTS_DIR, help="folder of the rows")
    report.add_argument("--latency", type=Path, default=LATENCY_PATH, help="benchmarks.latency's")
    report.add_argument("--page", type=Path, default=DOCUMENT, help="page with the tables")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    chosen = to_parser().parse_args(arguments)
    if chosen.command == "measure":
        try:
            measured = measure_network(
                chosen.model,
                chosen.part,
                chosen.data,
                chosen.planes,
                (chosen.backend, chosen.precision),
            )
        except (
            ServiceFailedError,
            TrainedOnError,
            HeadCircumferenceError,
            OSError,
            httpx.HTTPError,
        ) as error:
            print(f"evaluation.comparison: {error}", file=sys.stderr)
            return EXIT_FAILED
        folder = chosen.out / CALIBRATION if chosen.part == CALIBRATION else chosen.out
        measured.write(folder / measured.name / measured.version)
        print(to_line(measured))
        return EXIT_DONE
    networks = find_measured(chosen.results)
    if not networks:
        print(
            "evaluation.comparison: no network is measured on test exams yet. Run measure.",
            file=sys.stderr,
        )
        return EXIT_FAILED
    latency = json.loads(chosen.latency.read_text()) if chosen.latency.is_file() else None
    calibration = find_measured(chosen.results / CALIBRATION)
    try:
        block = write_all(networks, calibration, latency, chosen.results)
    except ValueError as error:
        print(f"evaluation.comparison: {error}", file=sys.stderr)
        return EXIT_FAILED
    write_page(block, chosen.page)
    print(block)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
