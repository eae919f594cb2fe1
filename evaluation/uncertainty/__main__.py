"""Fit the uncertainty model, then measure its intervals and limits.

`python -m evaluation.uncertainty fit` measures training and calibration images, clean and degraded.
It writes `uncertainty.json` for `python -m model_export record-uncertainty`. The file also contains
the cost of refusals on exams that were left out of the fit; `uncertainty_refusals.png` plots it.

`python -m evaluation.uncertainty report --part test` measures a part with the recorded uncertainty
model and writes `uncertainty_{part}.json`. Only `report` reads the test part. Exit status 0: the
report is written and, on the test part, every target is met; 1: a target is missed; 2: the model
has no uncertainty model that matches `uncertainty.json`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.uncertainty.cases import CLEAN, Case, collect, to_answered, to_errors_mm
from evaluation.uncertainty.fit import LEVEL, fit_facts, to_conformal_quantile
from evaluation.uncertainty.folds import judge_left_out_exams, plot_refusal_cost
from evaluation.uncertainty.summary import judge, summarise_intervals, summarise_verdicts
from evaluation.unseen_exams import SPLIT_MODEL_DIR, TrainedOnError, require_unseen
from harness.documents import write_report
from harness.machine import to_report_header
from harness.options import add_every_option, add_folder_options, add_model_option
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.pipeline import load_pipeline
from training.data.hc18 import PARTS, load_part

FIT_NAME = "uncertainty.json"
REFUSALS_NAME = "uncertainty_refusals.png"


def fit(chosen: argparse.Namespace) -> int:
    """Fit the uncertainty model on training and calibration exams and write the report."""
    require_unseen(chosen.model, "calibration")
    pipeline = load_pipeline(chosen.model)
    plain = replace(pipeline, manifest=replace(pipeline.manifest, uncertainty=None))
    train = collect(plain, load_part(chosen.data, "train")[:: chosen.every])
    calibration = collect(plain, load_part(chosen.data, "calibration"))
    clean = [case for case in to_answered(calibration) if case.is_clean]
    errors_mm = np.abs(to_errors_mm(clean))
    constant_mm = to_conformal_quantile(errors_mm, [case.exam for case in clean], LEVEL)
    header = to_report_header(pipeline, "python -m evaluation.uncertainty fit", every=chosen.every)
    report = header | {
        "data": {"train": _count(train), "calibration": _count(calibration)},
        "facts": fit_facts(train, calibration),
        "constant_half_width_mm": constant_mm,
        "unlearned": judge_left_out_exams(train, calibration),
    }
    write_report(chosen.out / FIT_NAME, report)
    plot_refusal_cost(report["unlearned"], chosen.out / REFUSALS_NAME)
    facts = report["facts"]
    print(json.dumps({key: facts[key] for key in ("interval", "limits")}, indent=2))
    print("expected error:", {k: round(v["weight"], 3) for k, v in facts["error"]["terms"].items()})
    return 0


def report(chosen: argparse.Namespace) -> int:
    """Measure a part with the recorded uncertainty model and write the report."""
    require_unseen(chosen.model, chosen.part)
    pipeline = load_pipeline(chosen.model)
    fitted = json.loads((chosen.out / FIT_NAME).read_text())
    if pipeline.manifest.uncertainty is None or fitted["model_sha256"] != pipeline.graph.sha256:
        print(
            "The model's manifest has no uncertainty model, or uncertainty.json was fitted to "
            "another model. Run `fit`, then `python -m model_export record-uncertainty`."
        )
        return 2
    cases = collect(pipeline, load_part(chosen.data, chosen.part)[:: chosen.every])
    intervals = summarise_intervals(cases, fitted["constant_half_width_mm"], LEVEL)
    verdicts = summarise_verdicts(cases)
    checks = judge(intervals, verdicts)
    command = f"python -m evaluation.uncertainty report --part {chosen.part}"
    header = to_report_header(pipeline, command, every=chosen.every)
    figures = {"intervals": intervals, "verdicts": verdicts, "checks": checks}
    content = header | {"data": _count(cases)} | figures
    write_report(chosen.out / f"uncertainty_{chosen.part}.json", content)
    print(json.dumps(figures, indent=2))
    return 0 if chosen.part != "test" or all(check["met"] for check in checks) else 1


def _count(cases: Sequence[Case]) -> dict[str, int]:
    clean = [case for case in cases if case.kind == CLEAN]
    return {
        "images": len(clean),
        "exams": len({case.exam for case in clean}),
        "degraded": len(cases) - len(clean),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.uncertainty", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("fit", "report"):
        command = commands.add_parser(name)
        add_model_option(command, SPLIT_MODEL_DIR)
        add_folder_options(command, EVALUATION_RESULTS_DIR)
        add_every_option(command)
        if name == "report":
            command.add_argument("--part", choices=PARTS, required=True)
    chosen = parser.parse_args(arguments)
    try:
        return fit(chosen) if chosen.command == "fit" else report(chosen)
    except TrainedOnError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
