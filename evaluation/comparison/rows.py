"""Define the rows of a measured network, and write and read them.

A network's folder has `rows.csv` (one row per image of HC18), `degraded.csv`, `planes.csv`,
`pixels.npz` (histograms of the probabilities, one per image), `phantoms.npz` (Grad-CAM maps) and
`measured.json`. Tables of the calibration exams have no degraded images and no planes.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy_summary import ImageResult
from evaluation.comparison.curves import Counts
from harness.documents import write_report
from training.networks import PROTOCOL_VERSION

ROWS, DEGRADED, PLANES = "rows.csv", "degraded.csv", "planes.csv"
PIXELS, PHANTOMS, MEASURED = "pixels.npz", "phantoms.npz", "measured.json"
Row = TypeVar("Row")


@dataclass(frozen=True)
class ComparedRow(ImageResult):
    """One image of HC18.

    Attributes
    ----------
    pixel_size_mm : float
        Width and height of a pixel of the frame.
    head_share, edge_share, head_area_share, edge_area_share : float or None
        Concentration of the Grad-CAM map at the bottleneck in the annotated head and at its edge
        (`headcirc.explain.Concentration`); None if the map is empty.
    """

    pixel_size_mm: float = 0.0
    head_share: float | None = None
    edge_share: float | None = None
    head_area_share: float | None = None
    edge_area_share: float | None = None


@dataclass(frozen=True)
class DegradedRow:
    """One degraded image: its kind and severity, and what was measured."""

    name: str
    exam: int
    kind: str
    severity: float
    true_hc_mm: float
    measured_hc_mm: float | None
    ellipse_dice: float
    acceptable: bool


@dataclass(frozen=True)
class PlaneRow:
    """One plane of another device.

    Attributes
    ----------
    group : str
        Patient or country.
    is_found, acceptable : bool
        Whether the service found a head, and called the answer acceptable.
    ellipse_dice : float or None
        Overlap with the annotated ellipse; None without an annotation.
    circumference_ratio : float or None
        Measured over annotated circumference, in pixels; None if one is missing.
    """

    file: str
    kind: str
    source: str
    group: str
    is_found: bool
    acceptable: bool
    ellipse_dice: float | None = None
    circumference_ratio: float | None = None


@dataclass(frozen=True)
class Measured:
    """All rows of one network.

    Attributes
    ----------
    facts : dict
        Model, machine, date and command.
    rows, degraded, planes : list
    counts : (images, 2, bins) int64
        Histograms of the probabilities, in the order of the rows.
    phantom_maps : (phantoms, rows, columns) uint8
        Grad-CAM maps, 255 at their maximum; empty if the model has no explain graph.
    """

    facts: dict[str, Any]
    rows: list[ComparedRow]
    degraded: list[DegradedRow]
    planes: list[PlaneRow]
    counts: Counts
    phantom_maps: NDArray[np.uint8]

    @property
    def name(self) -> str:
        """Return the model's name, for example `unet-16`."""
        return str(self.facts["model"]["name"])

    @property
    def title(self) -> str:
        """Return the architecture's name, for example `U-Net`."""
        return str(self.facts["model"]["architecture"]).partition(" (")[0]

    @property
    def version(self) -> str:
        """Return the version of the weights, which names the seed."""
        return str(self.facts["model"]["version"])

    @property
    def is_in_protocol(self) -> bool:
        """Return whether the weights were trained by the protocol's recipe."""
        return self.version.startswith(PROTOCOL_VERSION)

    def write(self, folder: Path) -> None:
        """Write all files of the network."""
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / ROWS, ComparedRow, self.rows)
        write_table(folder / DEGRADED, DegradedRow, self.degraded)
        write_table(folder / PLANES, PlaneRow, self.planes)
        np.savez_compressed(folder / PIXELS, counts=self.counts.astype(np.uint32))
        np.savez_compressed(folder / PHANTOMS, maps=self.phantom_maps)
        write_report(folder / MEASURED, self.facts)

    @classmethod
    def read(cls, folder: Path) -> "Measured":
        """Read what `write` wrote."""
        return cls(
            facts=json.loads((folder / MEASURED).read_text()),
            rows=read_table(folder / ROWS, ComparedRow),
            degraded=read_table(folder / DEGRADED, DegradedRow),
            planes=read_table(folder / PLANES, PlaneRow),
            counts=np.load(folder / PIXELS)["counts"].astype(np.int64),
            phantom_maps=np.load(folder / PHANTOMS)["maps"],
        )


def write_table(path: Path, kind: type[Any], rows: Sequence[Any]) -> None:
    """Write one CSV row per dataclass; None is written as an empty field."""
    with path.open("w", newline="") as table:
        writer = csv.DictWriter(table, [each.name for each in fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read_table(path: Path, kind: type[Row]) -> list[Row]:
    """Read a table of `write_table`."""
    kinds = {each.name: each.type for each in fields(kind)}  # type: ignore[arg-type]
    with path.open(newline="") as table:
        return [
            kind(**{name: _parse(text, kinds[name]) for name, text in row.items()})
            for row in csv.DictReader(table)
        ]


def _parse(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if text == "":
        return None
    if kind is bool:
        return text == "True"
    return int(text) if kind is int else float(text)


def find_measured(results_dir: Path) -> list[Measured]:
    """Return all measured networks of a folder, by name and version."""
    folders = sorted(path.parent for path in results_dir.glob(f"*/*/{MEASURED}"))
    return [Measured.read(folder) for folder in folders]
