"""Read the planes of other devices and countries: heads, abdomens, femurs and thoraxes.

The table `planes.csv` has one row per frame. The annotated ellipses vary by about 3 % and lie 1.5 %
inside the skull's outer edge. They can check a label, but they are not a ground truth in
millimetres.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from headcirc.geometry import Ellipse, to_ellipse

TABLE_NAME = "planes.csv"
HEAD = "head"
KINDS = (HEAD, "abdomen", "femur", "thorax")
AFRICAN = "African planes, "


@dataclass(frozen=True)
class Plane:
    """One row of the planes' table.

    Attributes
    ----------
    file : str
        Path inside the planes' folder, for example `head/Patient00305_Plane3_1_of_5.jpg`.
    kind : str
        One of `KINDS`.
    source : str
        Data set, and the country if the data set has several.
    patient : str
        Identifies a patient. The same number in different sources means different patients.
    country : str or None
        Country of the African planes; None for other sources.
    ellipse : Ellipse or None
        Annotated ellipse, in frame pixels.
    path : Path
    """

    file: str
    kind: str
    source: str
    patient: str
    country: str | None
    ellipse: Ellipse | None
    path: Path

    @property
    def group(self) -> str:
        """Return the unit that is never split between folds: the country, or else the patient."""
        return self.country or self.patient


def load_planes(planes_dir: Path) -> list[Plane]:
    """Read the planes' table, in its own order.

    Raises
    ------
    FileNotFoundError
        The folder does not contain the table.
    ValueError
        A row has an unknown kind.
    """
    table_path = planes_dir / TABLE_NAME
    if not table_path.is_file():
        raise FileNotFoundError(
            f"No table {TABLE_NAME!r} in {str(planes_dir)!r}. Give the folder of the planes."
        )
    with table_path.open(newline="") as table:
        return [_to_plane(row, planes_dir) for row in csv.DictReader(table)]


def _to_plane(row: dict[str, str], planes_dir: Path) -> Plane:
    if row["kind"] not in KINDS:
        raise ValueError(f"Unknown kind {row['kind']!r}; the kinds are {', '.join(KINDS)}.")
    country = row["source"].removeprefix(AFRICAN) if row["source"].startswith(AFRICAN) else None
    number = Path(row["file"]).stem.split("_")[0]
    return Plane(
        file=row["file"],
        kind=row["kind"],
        source=row["source"],
        patient=f"{country or row['source']} {number}",
        country=country,
        ellipse=_to_annotated_ellipse(row),
        path=planes_dir / row["file"],
    )


def _to_annotated_ellipse(row: dict[str, str]) -> Ellipse | None:
    if not row["semi_major_px"]:
        return None
    names = ("center_x_px", "center_y_px", "semi_major_px", "semi_minor_px", "angle_deg")
    x_px, y_px, major_px, minor_px, angle_deg = (float(row[name]) for name in names)
    if not math.isfinite(x_px + y_px + major_px + minor_px + angle_deg):
        raise ValueError(f"{row['file']!r} has an ellipse that is not finite.")
    return to_ellipse((x_px, y_px), (2 * major_px, 2 * minor_px), angle_deg)
