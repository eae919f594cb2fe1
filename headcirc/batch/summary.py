"""Many rows to one summary: how many were measured, why others were not. Reads no files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headcirc.answers import NO_PIXEL_SIZE, Row
from headcirc.batch.files import CRASHED

PERCENTILES = {"least": 0, "p50": 50, "most": 100}
SHOWN_ERRORS, SHOWN_FAILURES = 20, 20


@dataclass
class Summary:
    """Counts rows, and remembers the first ones that failed."""

    images: int = 0
    acceptable: int = 0
    unreliable: int = 0
    failed: int = 0
    crashed: int = 0
    without_pixel_size: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    first_failed: dict[str, str] = field(default_factory=dict)
    head_circumferences_mm: list[float] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Count a row."""
        self.images += 1
        self.warnings.update(row.warnings.split())
        if row.head_circumference_mm is not None:
            self.head_circumferences_mm.append(row.head_circumference_mm)
            self.acceptable += row.acceptable
            self.unreliable += not row.acceptable
        elif row.head_circumference_px is not None:
            self.without_pixel_size += 1
        if row.error:
            self._add_error(row)

    def add_all(self, rows: Iterable[Row]) -> None:
        """Count many rows."""
        for row in rows:
            self.add(row)

    def _add_error(self, row: Row) -> None:
        self.errors[row.error] += 1
        self.crashed += row.error.startswith(CRASHED)
        if row.error == NO_PIXEL_SIZE:  # reported once for all such images, not as a failure
            return
        self.failed += 1
        if len(self.first_failed) < SHOWN_FAILURES:
            self.first_failed[row.image] = row.error

    @property
    def measured(self) -> int:
        """Return how many images have a head circumference in millimetres."""
        return len(self.head_circumferences_mm)

    @property
    def has_errors(self) -> bool:
        """Return whether some image was not measured, or lacks something that was asked for."""
        return bool(self.errors)

    def to_facts(self) -> dict[str, Any]:
        """Return what `summary.json` says."""
        return {
            "images": self.images,
            "measured": self.measured,
            "not_measured": self.images - self.measured,
            "failed": self.failed,
            "acceptable": self.acceptable,
            "errors": dict(self.errors.most_common(SHOWN_ERRORS)),
            "first_failed": self.first_failed,
            "warnings": dict(self.warnings.most_common()),
            "head_circumference_mm": {
                name: float(np.percentile(self.head_circumferences_mm, percent))
                for name, percent in PERCENTILES.items()
            }
            if self.measured
            else None,
        }

    def to_lines(self) -> list[str]:
        """Return what `analyze` says at its end."""
        lines = []
        if self.images > 1:
            lines.append(
                f"{self.measured} of {self.images} images are measured, "
                f"{self.unreliable} of them NOT RELIABLE."
            )
        if self.without_pixel_size:
            lines.append(
                f"{self.without_pixel_size} without a pixel size: --pixel-size-mm states it for "
                "all, --pixel-sizes for each whose path ends as a name in the table, suffix "
                "included."
            )
        if self.crashed:
            lines.append(
                f"{self.crashed} crashed what measured them; --resume leaves them out, and "
                "with --retry-crashed tries them again."
            )
        return [*lines, *self.to_failed_lines()] if self.images > 1 else lines

    def to_failed_lines(self) -> list[str]:
        """Return the first files that failed, each with its reason, and how many more failed."""
        if not self.failed:
            return []
        lines = [f"{self.failed} failed:"]
        lines += [f"  {image}: {error}" for image, error in self.first_failed.items()]
        more = self.failed - len(self.first_failed)
        return [*lines, f"  and {more} more"] if more else lines
