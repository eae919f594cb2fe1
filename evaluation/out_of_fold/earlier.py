"""Compare the out-of-fold answers with those of version 1.3.0, on the images that both never saw.

All functions are pure. A row is one of `accuracy_test.csv`, `accuracy_calibration.csv` or
`out_of_fold_heads.csv`; the network of each did not learn from its exam.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.metrics import to_paired_p
from evaluation.out_of_fold.case import LARGE_ERROR_SHARE

Row = Mapping[str, str]
PARTS = ("test", "calibration")
COLUMNS = (
    "images of 1.3.0's",
    "answered: 1.3.0, half-time",
    "mean absolute error, mm",
    "median, mm",
    "Dice of the ellipse, %",
    "errors over 5 %",
    "p",
)


def to_common_table(earlier: Mapping[str, Sequence[Row]], held_out: Sequence[Row]) -> str:
    """Return a Markdown table with a row for each part of version 1.3.0's split.

    The figures are of the images that both answer: first version 1.3.0's, then the half-time
    networks'. p is that of Wilcoxon's paired test of the absolute errors.

    Parameters
    ----------
    earlier : mapping
        The rows of version 1.3.0 by part.
    held_out : sequence of mapping
        The rows of the folds' networks.
    """
    by_name = {row["name"]: row for row in held_out}
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for part in PARTS:
        pairs = [(row, by_name[row["name"]]) for row in earlier[part] if row["name"] in by_name]
        lines.append(f"| {' | '.join(_to_cells(part, pairs))} |")
    return "\n".join(lines)


def _to_cells(part: str, pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    answered = [sum(bool(pair[i]["error_mm"]) for pair in pairs) for i in (0, 1)]
    both = [pair for pair in pairs if all(row["error_mm"] for row in pair)]
    sizes_mm, dices, true_mm = (
        np.abs([[float(row[name]) for row in pair] for pair in both])
        for name in ("error_mm", "ellipse_dice", "true_hc_mm")
    )
    p = to_paired_p(sizes_mm[:, 1], sizes_mm[:, 0])
    return [
        f"{part} exams, {len(pairs)}",
        f"{answered[0]}, {answered[1]}",
        _to_pair(sizes_mm.mean(axis=0), 2),
        _to_pair(np.median(sizes_mm, axis=0), 2),
        _to_pair(100 * dices.mean(axis=0), 2),
        _to_pair((sizes_mm / true_mm > LARGE_ERROR_SHARE).sum(axis=0), 0),
        "-" if p is None else f"{p:.2g}",
    ]


def _to_pair(values: np.ndarray, digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
