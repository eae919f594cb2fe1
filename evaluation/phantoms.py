"""Measure the twenty committed phantoms with the shipped model.

`python -m evaluation.phantoms` prints a Markdown table and writes
`evaluation/results/phantoms.json`. No network was trained on a phantom. The skulls are drawn, so
the result shows that units, axes and pixel sizes are right; it says little about the accuracy on
patients.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from examples.phantom import draw_phantom, load_parameters, true_head_circumference_mm
from harness.documents import write_report
from harness.machine import to_model_facts
from harness.options import add_model_option
from headcirc.overlay import to_png
from headcirc.pipeline import SHIPPED_MODEL_DIR, Pipeline, load_pipeline

RESULT_PATH = Path(__file__).parent / "results" / "phantoms.json"


def measure_phantoms(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return one row per phantom: true and measured HC in mm, and the warnings."""
    rows = []
    for index, parameters in enumerate(tqdm(load_parameters(), "phantoms")):
        content = to_png(draw_phantom(parameters))
        analysis = pipeline.analyze(content, pixel_spacing=parameters.spacing)
        measured = analysis.head and analysis.head.measurement
        measured_mm = measured.head_circumference_mm if measured else None
        true_mm = true_head_circumference_mm(parameters)
        rows.append(
            {
                "index": index,
                "true_mm": true_mm,
                "measured_mm": measured_mm,
                "error_mm": None if measured_mm is None else measured_mm - true_mm,
                "acceptable": analysis.quality.acceptable,
                "warnings": list(analysis.quality.warnings),
            }
        )
    return rows


def to_summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean absolute, signed and worst error, and the number not measured."""
    errors_mm = np.array([row["error_mm"] for row in rows if row["error_mm"] is not None])
    return {
        "n": len(rows),
        "not_measured": len(rows) - len(errors_mm),
        "mean_absolute_error_mm": float(np.abs(errors_mm).mean()),
        "signed_error_mm": float(errors_mm.mean()),
        "worst_mm": float(np.abs(errors_mm).max()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write the report; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.phantoms", description=__doc__)
    add_model_option(parser, SHIPPED_MODEL_DIR)
    pipeline = load_pipeline(parser.parse_args(arguments).model)
    rows = measure_phantoms(pipeline)
    summary = to_summary(rows)
    print("| phantom | true HC mm | measured mm | error mm | warnings |\n|---|---|---|---|---|")
    for row in rows:
        measured = "none" if row["measured_mm"] is None else f"{row['measured_mm']:.1f}"
        error = "" if row["error_mm"] is None else f"{row['error_mm']:+.1f}"
        warnings = " ".join(row["warnings"])
        print(f"| {row['index']} | {row['true_mm']:.1f} | {measured} | {error} | {warnings} |")
    print(json.dumps(summary, indent=2))
    result = {
        "command": "python -m evaluation.phantoms",
        "model": to_model_facts(pipeline.manifest) | {"sha256": pipeline.graph.sha256},
        "summary": summary,
        "rows": rows,
    }
    write_report(RESULT_PATH, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
