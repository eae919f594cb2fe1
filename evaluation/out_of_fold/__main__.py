"""Measure images by networks that never saw their exam, patient or country.

`python -m evaluation.out_of_fold fit` measures the held-out pictures of each fold, clean and
changed, and fits the uncertainty model. It writes the facts of each fold, fitted on the other
folds, into that fold's manifest, and those of all folds into `out_of_fold_uncertainty.json`, for
`python -m model_export record-out-of-fold`. The file also has the cost of refusals, and
`out_of_fold_refusals.png` plots it.

`python -m evaluation.out_of_fold measure` then measures the held-out images over HTTP and writes
`out_of_fold.json`, two tables with a row for each image, and plots. Exit status 0: measured and
every target met; 1: a target is missed; 2: the measurement failed.

`python -m evaluation.out_of_fold text` writes the tables of both reports into the documents.

`--folds` is the folder of the models (`make fold-models`). The measured pictures are kept there.
`fit --again` fits to them without measuring again. With fewer than five folds, the images of the
others are not measured, and every report and page says so.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from evaluation.accuracy_plots import plot_bland_altman, plot_errors_by_bin
from evaluation.out_of_fold.cases import collect, read_cases, write_cases
from evaluation.out_of_fold.fit import FEWEST_FOLDS, fit_by_fold, fit_facts, judge_refusals
from evaluation.out_of_fold.measure import FoldResults, HeadResult, PlaneResult, measure_fold
from evaluation.out_of_fold.models import FoldModel, count_available, load_fold_models
from evaluation.out_of_fold.pages import FIT_NAME, HEADS_NAME, RESULT_NAME, write_pages
from evaluation.out_of_fold.plots import plot_refusal_cost, plot_verdicts
from evaluation.out_of_fold.summary import (
    judge,
    summarise_coverage,
    summarise_degraded,
    summarise_heads,
    summarise_planes,
)
from harness.documents import write_report
from harness.machine import describe_machine, to_timestamp
from harness.options import add_folder_options, add_folds_option
from harness.paths import EVALUATION_RESULTS_DIR, PLANES_DIR
from harness.service_process import ServiceFailedError
from headcirc.errors import HeadCircumferenceError
from headcirc.model.manifest import MANIFEST_NAME, load_manifest

CASES_NAME = "cases.json"
PLANES_NAME = "out_of_fold_planes.csv"
EXIT_MET, EXIT_MISSED, EXIT_FAILED = 0, 1, 2
DATA_NOTE = (
    "HC18 by exam, planes of other devices by patient or country: each image is measured by the "
    "network of the fold that held it out. HC18 publishes no patient number, so the same woman may "
    "be on both sides of a fold."
)


def fit(chosen: argparse.Namespace) -> int:
    """Measure the held-out pictures, fit, and record the facts of each fold."""
    models = load_fold_models(chosen.folds, chosen.data, chosen.planes)
    if len(models) < FEWEST_FOLDS:
        print(f"{len(models)} folds are too few. Export at least {FEWEST_FOLDS}.", file=sys.stderr)
        return EXIT_FAILED
    path, networks = chosen.folds / CASES_NAME, find_networks(models)
    if not chosen.again:
        write_cases(path, {model.fold: collect(model) for model in models}, networks)
    cases = read_cases(path, networks)
    facts = fit_facts(cases)
    for fold, fold_facts in fit_by_fold(cases).items():
        record_facts(chosen.folds / str(fold), fold_facts)
    counts = {fold: len(each) for fold, each in cases.items()}
    header = _to_header(chosen, models)
    costs = judge_refusals(cases)
    report = header | {"networks": networks, "cases": counts, "facts": facts, "refusals": costs}
    write_report(chosen.out / FIT_NAME, report)
    plot_refusal_cost(costs, chosen.out / "out_of_fold_refusals.png")
    print(json.dumps({key: facts[key] for key in ("interval", "limits")}, indent=2))
    return EXIT_MET


def find_networks(models: Sequence[FoldModel]) -> dict[int, str]:
    """Return the SHA-256 of the graph that measures each fold."""
    return {model.fold: model.choose_graph().sha256 for model in models}


def record_facts(model_dir: Path, facts: dict[str, Any]) -> None:
    """Write an uncertainty model into a fold's manifest."""
    path = model_dir / MANIFEST_NAME
    manifest = json.loads(path.read_text()) | {"uncertainty": facts}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def measure(chosen: argparse.Namespace) -> int:
    """Measure the held-out images of each fold, and compare with the targets."""
    models = load_fold_models(chosen.folds, chosen.data, chosen.planes)
    facts = {model.fold: load_manifest(model.model_dir).uncertainty for model in models}
    fitted = {fold: each for fold, each in facts.items() if each is not None}
    if len(fitted) < len(models):
        print("A fold has no uncertainty model. Run `fit` first.", file=sys.stderr)
        return EXIT_FAILED
    cases = read_cases(chosen.folds / CASES_NAME, find_networks(models))
    results = [measure_fold(model) for model in models]
    heads = [each for result in results for each in result.heads]
    planes = [each for result in results for each in result.planes]
    figures = {
        "hc18": summarise_heads(heads),
        "intervals": summarise_coverage(heads),
        "planes": summarise_planes(planes),
        "degraded": summarise_degraded(cases, fitted),
    }
    targets = judge(*figures.values())
    header = _to_header(chosen, models)
    served = {"served": [_describe(*each) for each in zip(models, results, strict=True)]}
    write_report(chosen.out / RESULT_NAME, header | served | figures | {"targets": targets})
    write_heads(chosen.out / HEADS_NAME, heads)
    write_planes(chosen.out / PLANES_NAME, planes)
    rows = [each.figures for each in heads]
    bins, summary = figures["hc18"]["bins"], figures["hc18"]["all"]
    plot_bland_altman(rows, summary, bins, chosen.out / "out_of_fold_bland_altman.png")
    plot_errors_by_bin(rows, bins, chosen.out / "out_of_fold_error_by_bin.png")
    plot_verdicts(rows, chosen.out / "out_of_fold_verdicts.png")
    for target in targets:
        value = "-" if target["value"] is None else f"{target['value']:.4g}"
        verdict = "met" if target["met"] else "MISSED"
        print(f"{target['figure']} {value}, {target['target']}: {verdict}")
    return EXIT_MET if all(target["met"] for target in targets) else EXIT_MISSED


def _to_header(chosen: argparse.Namespace, models: Sequence[FoldModel]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "command": f"python -m evaluation.out_of_fold {chosen.command}",
        "date": to_timestamp(),
        "machine": describe_machine(),
        "data": {
            "note": DATA_NOTE,
            "folds": [model.fold for model in models],
            "images": sum(len(model.images) for model in models),
            "planes": sum(len(model.planes) for model in models),
            "available": count_available(chosen.data, chosen.planes),
        },
    }


def _describe(model: FoldModel, result: FoldResults) -> dict[str, Any]:
    """Return the network of a fold, with the size by which `record-out-of-fold` recognises it."""
    manifest = json.loads((model.model_dir / MANIFEST_NAME).read_text())
    size = {name: manifest[name] for name in ("parameters", "macs")}
    return {"fold": result.fold} | result.model | size


def write_heads(path: Path, results: Sequence[HeadResult]) -> None:
    """Write a CSV row for each HC18 image."""
    _write_rows(
        path,
        [
            {
                "fold": each.fold,
                **asdict(each.figures),
                "interval_low_mm": each.interval_low_mm,
                "interval_high_mm": each.interval_high_mm,
            }
            for each in results
        ],
    )


def write_planes(path: Path, results: Sequence[PlaneResult]) -> None:
    """Write a CSV row for each plane of another device."""
    _write_rows(path, [asdict(each) for each in results])


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_text(_: argparse.Namespace) -> int:
    """Write the tables of the committed reports into the documents."""
    write_pages()
    return EXIT_MET


COMMANDS = {"fit": fit, "measure": measure, "text": write_text}


def to_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.out_of_fold", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, does in (
        ("fit", "fit the uncertainty model"),
        ("measure", "measure over HTTP and compare with the targets"),
    ):
        command = commands.add_parser(name, help=does)
        add_folder_options(command, EVALUATION_RESULTS_DIR)
        command.add_argument("--planes", type=Path, default=PLANES_DIR, help="folder of the planes")
        add_folds_option(command)
        if name == "fit":
            command.add_argument(
                "--again", action="store_true", help="fit to the pictures measured before"
            )
    commands.add_parser("text", help="write the tables of the reports into the documents")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen command; return its exit status."""
    chosen = to_parser().parse_args(arguments)
    try:
        return COMMANDS[chosen.command](chosen)
    except (
        ServiceFailedError,
        HeadCircumferenceError,
        OSError,
        ValueError,
        httpx.HTTPError,
    ) as error:
        print(f"evaluation.out_of_fold: {error}", file=sys.stderr)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
