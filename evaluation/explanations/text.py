"""Write the report on saliency maps into `docs/explain.md`.

`python -m evaluation.explanations.text` reads the JSON of `python -m evaluation.explanations` and
writes the block between the markers. No figure there is typed by hand.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.explanations.__main__ import RESULT_NAME
from evaluation.explanations.curves import BASELINES, KINDS
from evaluation.explanations.randomised import ANOTHER
from evaluation.out_of_fold.text import to_fold_names
from harness.documents import replace_block
from harness.paths import EVALUATION_RESULTS_DIR

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "explain.md"
BLOCK = "explain"
FIGURES = ("area", "gain")
ABSENT = (
    "Not measured yet for the shipped model. Run `python -m evaluation.explanations` to measure it."
)
Report = Mapping[str, Any]


def to_block(report: Report | None) -> str:
    """Return the Markdown of all figures, or a sentence that nothing was measured yet."""
    if report is None:
        return ABSENT
    folds, data, randomised = report["folds"], report["data"], report["randomised_fold"]
    return "\n\n".join(
        (
            f"`{folds[0]['name']}`, {folds[0]['precision']}, {report['backend']}, on "
            f"{report['machine']['cpu']}; {report['date'][:10]}, `{report['command']}`: "
            f"{data['images']} images of {data['exams']} exams of HC18, out of fold "
            f"({to_fold_names([each['fold'] for each in folds])}; left out, because no head was "
            f"found: {len(data['without_head'])}). In brackets: 95 % interval, bootstrap over "
            "exams.",
            "Area under the curves (deletion: smaller is better; insertion: larger is better), and "
            "the gain of each map over noise:",
            to_curve_table(report["curves"]),
            "![Deletion and insertion curves](../evaluation/results/explain_curves.png)",
            "Share of each map's mass in the head and in the band around its edge. The last two "
            "columns are the shares of a constant map:",
            to_concentration_table(report["concentration"]),
            "Rank correlation with the trained network's map when the weights are randomised from "
            "the output down to the named level (network and "
            f"{randomised['images']} images of fold {randomised['fold']}):",
            to_randomised_table(report["randomised"]),
            "![Rank correlation under randomised weights]"
            "(../evaluation/results/explain_randomised.png)",
        )
    )


def to_curve_table(curves: Report) -> str:
    """Return a table with a row for each map and baseline."""
    lines = [
        "| map | deletion | gain over noise | insertion | gain over noise |",
        "|---|---|---|---|---|",
    ]
    for name in curves[KINDS[0]]:
        title = f"*{name}: {BASELINES[name]}*" if name in BASELINES else name
        cells = [_to_cell(curves[kind][name][figure]) for kind in KINDS for figure in FIGURES]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def to_concentration_table(concentration: Report) -> str:
    """Return a table with a row for each layer."""
    lines = [
        "| map | in the head | at its edge | head's area | edge's area |",
        "|---|---|---|---|---|",
    ]
    for layer, shares in concentration.items():
        lines.append(f"| {layer} | {' | '.join(map(_to_cell, shares.values()))} |")
    return "\n".join(lines)


def to_randomised_table(randomised: Report) -> str:
    """Return a table with a row for each stage and a column for each layer."""
    layers = list(randomised[ANOTHER])
    lines = [f"| randomised down to | {' | '.join(layers)} |", "|---" * (len(layers) + 1) + "|"]
    for stage, found in randomised.items():
        title = f"*nothing; the map of {stage}*" if stage == ANOTHER else stage
        cells = []
        for layer in layers:
            empty = found[layer]["excluded"]
            note = f"; {empty} maps empty" if empty else ""
            cells.append(_to_cell(found[layer]) + note)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _to_cell(figure: Report) -> str:
    if figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def read_block() -> str:
    """Return the block for the committed results."""
    path = EVALUATION_RESULTS_DIR / RESULT_NAME
    return to_block(json.loads(path.read_text()) if path.is_file() else None)


def main() -> int:
    """Write the block into the document."""
    DOCUMENT.write_text(replace_block(DOCUMENT.read_text(), BLOCK, read_block()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
