"""Many rows to one summary: how many, why not, the spread of circumferences. Reads no files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headcirc.answers import NO_PIXEL_SIZE
from headcirc.batch.files import CRASHED

COLUMNS = ("image", "error", "warnings", "acceptable", "head_circumference_mm")
"""The columns of a row that the summary reads."""
QUANTILES = {"least": 0, "p50": 50, "most": 100}
SHOWN_ERRORS, SHOWN_FAILURES = 20, 20


def sum_up(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what `summary.json` says of rows."""
    measured_mm = [each["head_circumference_mm"] for each in rows if not each["error"]]
    errors = Counter(each["error"] for each in rows if each["error"])
    failed = [each for each in rows if _is_failed(each)]
    return {
        "images": len(rows),
        "measured": len(measured_mm),
        "not_measured": len(rows) - len(measured_mm),
        "failed": len(failed),
        "acceptable": sum(each["acceptable"] and not each["error"] for each in rows),
        "errors": dict(errors.most_common(SHOWN_ERRORS)),
        "first_failed": {each["image"]: each["error"] for each in failed[:SHOWN_FAILURES]},
        "warnings": dict(
            Counter(code for each in rows for code in each["warnings"].split()).most_common()
        ),
        "head_circumference_mm": {
            name: float(np.percentile(measured_mm, share)) for name, share in QUANTILES.items()
        }
        if measured_mm
        else None,
    }


@dataclass
class Tally:
    """Counts rows, and remembers the first that failed."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Count a row."""
        self.counts.update(_to_kinds(row))
        if _is_failed(row) and len(self.failed) < SHOWN_FAILURES:
            self.failed[row["image"]] = row["error"]

    def to_lines(self) -> list[str]:
        """Return what somebody wants to know who will not read a thousand lines."""
        counts, lines = self.counts, []
        if counts["image"] > 1:
            lines.append(
                f"{counts['measured']} of {counts['image']} images are measured, "
                f"{counts['unreliable']} of them NOT RELIABLE."
            )
        if counts["no size"]:
            lines.append(
                f"{counts['no size']} without a pixel size: --pixel-size-mm states it for all, "
                "--pixel-sizes for each whose path ends as a name in the table, suffix included."
            )
        if counts["crashed"]:
            lines.append(
                f"{counts['crashed']} crashed what measured them; --resume leaves them out, and "
                "with --retry-crashed tries them again."
            )
        if counts["image"] > 1:
            lines += to_failed_lines(counts["failed"], self.failed)
        return lines


def to_failed_lines(count: int, failed: dict[str, str]) -> list[str]:
    """Return the first files that failed, each with its reason, and how many more there are."""
    if not failed:
        return []
    lines = [f"{count} failed:", *(f"  {image}: {error}" for image, error in failed.items())]
    return [*lines, f"  and {count - len(failed)} more"] if count > len(failed) else lines


def _is_failed(row: dict[str, Any]) -> bool:
    """Return whether a row has a reason of its own: the pixel size is asked for once, for all."""
    return row["error"] not in ("", NO_PIXEL_SIZE)


def _to_kinds(row: dict[str, Any]) -> list[str]:
    """Return what a row counts as."""
    is_measured = row["head_circumference_mm"] is not None
    kinds = {
        "measured": is_measured,
        "unreliable": is_measured and not row["acceptable"],
        "error": bool(row["error"]),
        "failed": _is_failed(row),
        "crashed": row["error"].startswith(CRASHED),
        "no size": row["head_circumference_px"] is not None and not is_measured,
    }
    return ["image", *(kind for kind, is_so in kinds.items() if is_so)]
