"""Learn the model's facts of uncertainty, then report how they hold.

`python -m evaluation.uncertainty fit` measures training and calibration images, clean and degraded.
It writes `uncertainty.json`, for `python -m model_export record-uncertainty`. The file also holds
what refusals cost on exams left out of the fit; `uncertainty_refusals.png` draws it. `python -m
evaluation.uncertainty report --part test` measures a part with the recorded uncertainty model and
writes `uncertainty_{part}.json`. The test
part is opened by `report` alone. Exit status of a report on test 0: every target met; 1: one
missed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.uncertainty.cases import CLEAN, Case, collect, to_answered, to_errors_mm
from evaluation.uncertainty.fit import LEVEL, fit_facts, to_conformal_quantile
from evaluation.uncertainty.folds import judge_unlearned, plot_price
from evaluation.uncertainty.summary import judge, summarise_intervals, summarise_verdicts
from evaluation.unseen_exams import SPLIT_MODEL_DIR, TrainedOnError, require_unseen
from harness.documents import write_report
from harness.machine import to_timestamp
from harness.paths import DEFAULT_DATA_DIR, EVALUATION_RESULTS_DIR
from headcirc.pipeline import Pipeline, load_pipeline
from training.data.hc18 import PARTS, load_part

FIT_NAME = "uncertainty.json"
REFUSALS_NAME = "uncertainty_refusals.png"


def fit(chosen: argparse.Namespace) -> int:
    """Learn on training and calibration exams; write the facts and how they hold there."""
    require_unseen(chosen.model, "calibration")
    pipeline = load_pipeline(chosen.model)
    plain = replace(pipeline, manifest=replace(pipeline.manifest, uncertainty=None))
    train = collect(plain, load_part(chosen.data, "train")[:: chosen.every])
    calibration = collect(plain, load_part(chosen.data, "calibration"))
    clean = [case for case in to_answered(calibration) if case.is_clean]
    errors_mm = np.abs(to_errors_mm(clean))
    constant_mm = to_conformal_quantile(errors_mm, [case.exam for case in clean], LEVEL)
    command = "python -m evaluation.uncertainty fit"
    if chosen.every > 1:
        command += f" --every {chosen.every}"
    report = _to_head(pipeline, command) | {
        "data": {"train": _count(train), "calibration": _count(calibration)},
        "facts": fit_facts(train, calibration),
        "constant_half_width_mm": constant_mm,
        "unlearned": judge_unlearned(train, calibration),
    }
    write_report(chosen.out / FIT_NAME, report)
    plot_price(report["unlearned"], chosen.out / REFUSALS_NAME)
    facts = report["facts"]
    print(json.dumps({key: facts[key] for key in ("interval", "limits")}, indent=2))
    print("expected error:", {k: round(v["weight"], 3) for k, v in facts["error"]["terms"].items()})
    return 0


def report(chosen: argparse.Namespace) -> int:
    """Answer a part with the recorded facts; write coverage, widths, refusals and verdicts."""
    require_unseen(chosen.model, chosen.part)
    pipeline = load_pipeline(chosen.model)
    learned = json.loads((chosen.out / FIT_NAME).read_text())
    if pipeline.manifest.uncertainty is None or learned["model_sha256"] != pipeline.graph.sha256:
        print(
            "The model holds no uncertainty model, or another one than uncertainty.json. "
            "Run `fit`, then `python -m model_export record-uncertainty`."
        )
        return 2
    cases = collect(pipeline, load_part(chosen.data, chosen.part)[:: chosen.every])
    intervals = summarise_intervals(cases, learned["constant_half_width_mm"], LEVEL)
    verdicts = summarise_verdicts(cases)
    checks = judge(intervals, verdicts)
    command = f"python -m evaluation.uncertainty report --part {chosen.part}"
    if chosen.every > 1:
        command += f" --every {chosen.every}"
    figures = {"intervals": intervals, "verdicts": verdicts, "checks": checks}
    content = _to_head(pipeline, command) | {"data": _count(cases)} | figures
    write_report(chosen.out / f"uncertainty_{chosen.part}.json", content)
    print(json.dumps(figures, indent=2))
    return 0 if chosen.part != "test" or all(check["met"] for check in checks) else 1


def _to_head(pipeline: Pipeline, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "date": to_timestamp(),
        "model_sha256": pipeline.graph.sha256,
        "precision": pipeline.backend.precision,
    }


def _count(cases: Sequence[Case]) -> dict[str, int]:
    clean = [case for case in cases if case.kind == CLEAN]
    return {
        "images": len(clean),
        "exams": len({case.exam for case in clean}),
        "degraded": len(cases) - len(clean),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that was chosen; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.uncertainty", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("fit", "report"):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, default=Path(DEFAULT_DATA_DIR), help="HC18")
        command.add_argument("--model", type=Path, default=SPLIT_MODEL_DIR, help="model folder")
        command.add_argument("--every", type=int, default=1, help="take every n-th image only")
        command.add_argument(
            "--out", type=Path, default=EVALUATION_RESULTS_DIR, help="results' folder"
        )
        if name == "report":
            command.add_argument("--part", choices=PARTS, required=True)
    chosen = parser.parse_args(arguments)
    try:
        return fit(chosen) if chosen.command == "fit" else report(chosen)
    except TrainedOnError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
