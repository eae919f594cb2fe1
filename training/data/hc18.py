"""Read HC18: the images, their annotated ellipses, and the split by exam.

HC18's annotations are drawn outlines. Their centre line is the ground truth: an ellipse fitted to
all pixels of the outline has the circumference of HC18's table to within 0.07 mm. A filled outline
would be too large. Images of one exam are similar, so the split is by exam, not by image.
"""

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, to_ellipse
from headcirc.model.manifest import InputFacts

TABLE_NAME = "training_set_pixel_size_and_HC.csv"
IMAGE_FOLDER = "training_set"
SPLIT_PATH = Path(__file__).with_name("hc18_split.json")
SPLIT_SEED = 20_261_123
HC18_KIND = "hc18"
"""Kind of HC18's images in tables that also list planes."""
PARTS = ("train", "calibration", "test")
STRATUM = ("train",) * 6 + ("calibration", "test")
"""Assignment of eight exams of similar size: 75 % for training, 12.5 % for choices (calibration)
and 12.5 % for published figures (test)."""


@dataclass(frozen=True)
class HC18Image:
    """One row of HC18's table.

    Attributes
    ----------
    name : str
        File name of the image, for example `010_2HC.png`.
    exam : int
        Number before the underscore; images of one exam are similar.
    pixel_size_mm : float
        Width and height of a pixel; pixels are square.
    head_circumference_mm : float
        Annotated circumference.
    path, annotation_path : Path
        Files of the image and of its annotated outline.
    """

    name: str
    exam: int
    pixel_size_mm: float
    head_circumference_mm: float
    path: Path
    annotation_path: Path


def load_images(data_dir: Path) -> list[HC18Image]:
    """Read HC18's table, in its own order.

    Raises
    ------
    FileNotFoundError
        The folder does not contain HC18's table.
    """
    table_path = data_dir / TABLE_NAME
    if not table_path.is_file():
        raise FileNotFoundError(
            f"No HC18 table {TABLE_NAME!r} in {str(data_dir)!r}. Give the folder that contains it "
            f"and {IMAGE_FOLDER!r}, or run: python -m training.data download --data DIR"
        )
    folder = data_dir / IMAGE_FOLDER
    with table_path.open(newline="") as table:
        return [
            HC18Image(
                name=row["filename"],
                exam=int(row["filename"].split("_")[0]),
                pixel_size_mm=float(row["pixel size(mm)"]),
                head_circumference_mm=float(row["head circumference (mm)"]),
                path=folder / row["filename"],
                annotation_path=folder / row["filename"].replace(".png", "_Annotation.png"),
            )
            for row in csv.DictReader(table)
        ]


def load_part(data_dir: Path, part: str) -> list[HC18Image]:
    """Return the images of one part of the committed split: train, calibration or test."""
    exams = set(json.loads(SPLIT_PATH.read_text())[part])
    return [image for image in load_images(data_dir) if image.exam in exams]


def load_pixels(path: Path) -> NDArray[np.uint8]:
    """Read an HC18 picture as (rows, columns) uint8.

    Raises
    ------
    FileNotFoundError
        The file is missing or cannot be decoded.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise FileNotFoundError(f"HC18 image {path.name!r} is missing or cannot be read.")
    return np.asarray(pixels, np.uint8)


def to_true_ellipse(annotation: NDArray[np.uint8]) -> Ellipse:
    """Fit an ellipse to all pixels of an annotated outline.

    Parameters
    ----------
    annotation : (rows, columns) uint8, frame grid
        Non-zero on the outline, which the image's border may cut.

    Returns
    -------
    Ellipse
        Centre line of the outline, in frame pixels.

    References
    ----------
    Direct least squares: Fitzgibbon, Pilu, Fisher 1999, doi:10.1109/34.765658.
    """
    rows, columns = np.nonzero(annotation)
    points = np.column_stack((columns, rows)).astype(np.float32)
    return to_ellipse(*cv2.fitEllipseDirect(points))


def to_input_facts() -> InputFacts:
    """Return the network's grid and the grey-value statistics of the training exams.

    The pixel aspect is that of HC18's frames of 800x540 pixels on a square grid.
    """
    return InputFacts(
        width_px=256, height_px=256, pixel_aspect=800 / 540, mean=0.156, standard_deviation=0.172
    )


def make_split(images: Sequence[HC18Image], seed: int = SPLIT_SEED) -> dict[str, list[int]]:
    """Split the exams, stratified by size.

    Exams are sorted by mean circumference, and each eight consecutive exams are assigned to the
    parts at random.

    Parameters
    ----------
    images : sequence of HC18Image
        Images of all exams.
    seed : int

    Returns
    -------
    dict
        Part name to sorted exam numbers.
    """
    sizes: dict[int, list[float]] = {}
    for image in images:
        sizes.setdefault(image.exam, []).append(image.head_circumference_mm)
    exams = sorted(sizes, key=lambda exam: (float(np.mean(sizes[exam])), exam))
    dealer = random.Random(seed)
    split: dict[str, list[int]] = {part: [] for part in PARTS}
    for start in range(0, len(exams), len(STRATUM)):
        stratum = list(STRATUM)
        dealer.shuffle(stratum)
        for exam, part in zip(exams[start : start + len(STRATUM)], stratum, strict=False):
            split[part].append(exam)
    return {part: sorted(exams) for part, exams in split.items()}
