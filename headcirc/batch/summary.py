"""Many rows to one summary: how many, why not, the spread of circumferences. Knows no files."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

COLUMNS = ("error", "warnings", "acceptable", "head_circumference_mm")
"""The columns of a row that the summary reads."""
QUANTILES = {"least": 0, "p50": 50, "most": 100}
SHOWN_ERRORS = 20


def sum_up(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what `summary.json` says of rows."""
    measured_mm = [each["head_circumference_mm"] for each in rows if not each["error"]]
    errors = Counter(each["error"] for each in rows if each["error"])
    return {
        "images": len(rows),
        "measured": len(measured_mm),
        "not_measured": len(rows) - len(measured_mm),
        "acceptable": sum(each["acceptable"] and not each["error"] for each in rows),
        "errors": dict(errors.most_common(SHOWN_ERRORS)),
        "warnings": dict(
            Counter(code for each in rows for code in each["warnings"].split()).most_common()
        ),
        "head_circumference_mm": {
            name: float(np.percentile(measured_mm, share)) for name, share in QUANTILES.items()
        }
        if measured_mm
        else None,
    }


def to_kinds(row: dict[str, Any]) -> list[str]:
    """Return what a row counts as."""
    is_measured = row["head_circumference_mm"] is not None
    kinds = {
        "measured": is_measured,
        "doubtful": is_measured and not row["acceptable"],
        "error": bool(row["error"]),
        "no size": row["head_circumference_px"] is not None and not is_measured,
    }
    return ["image", *(kind for kind, is_so in kinds.items() if is_so)]


def to_closing_lines(counts: Counter[str]) -> str:
    """Return what somebody wants to know who will not read a thousand lines."""
    lines = []
    if counts["image"] > 1:
        lines.append(
            f"{counts['measured']} of {counts['image']} images are measured, "
            f"{counts['doubtful']} of them NOT RELIABLE.\n"
        )
    if counts["no size"]:
        lines.append(
            f"{counts['no size']} without a pixel size: --pixel-size-mm states it for all, "
            "--pixel-sizes for each whose path ends as a name in the table, suffix included.\n"
        )
    return "".join(lines)
