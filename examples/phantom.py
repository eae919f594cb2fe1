"""Draw synthetic B-mode images of fetal heads with exactly known circumference and pixel size.

    python examples/phantom.py --out DIR            # all twenty and phantoms.csv
    python examples/phantom.py --out DIR --index 7  # one

The outer edge of the drawn skull is the ellipse of the parameters, at half the skull's brightness.
A phantom is not an acoustic simulation and does not show the accuracy on patients.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # allows running from any folder

from examples import phantom_anatomy as anatomy
from examples.phantom_beams import draw_beams, to_beam_position, to_grid_mm
from examples.phantom_parameters import (
    PhantomParameters,
    load_parameters,
    true_head_circumference_mm,
)

CSV_COLUMNS = (
    "filename",
    "pixel_size_x_mm",
    "pixel_size_y_mm",
    "head_circumference_mm",
    "biparietal_diameter_mm",
    "occipitofrontal_diameter_mm",
)


def to_skull_layer(
    parameters: PhantomParameters,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the skull's share of each pixel and the skull's grey level there.

    Returns
    -------
    wall : (rows, columns) float32 in [0, 1]
        1/2 on the ellipse of the parameters, decreasing outwards.
    grey : (rows, columns) float32
        Full brightness where the beam is perpendicular to the wall, `side_wall_share` of it where
        the beam is tangential. It varies slowly along the wall and not across its outer edge.
    """
    x, y = to_grid_mm(parameters)
    head = parameters.head
    generator = np.random.default_rng(parameters.seed + 1)
    _, angle = to_beam_position(parameters, x, y)
    normal_x, normal_y = head.to_normal(x, y)
    facing = np.abs(normal_x * np.sin(angle) + normal_y * np.cos(angle))
    thickness_mm = parameters.skull_thickness_mm * (0.6 + 0.5 * facing)
    cell_mm = 0.3 * head.semi_axis_minor_mm
    slow = anatomy.to_smooth_noise(
        generator, cell_mm * 3 * normal_x, cell_mm * 3 * normal_y, cell_mm
    )
    fine = anatomy.to_smooth_noise(generator, x, y, 1.1)
    share = parameters.side_wall_share + (1 - parameters.side_wall_share) * facing**3
    ripple = 1 + parameters.speckle * (0.16 * np.tanh(slow) + 0.06 * np.tanh(fine))
    wall = anatomy.to_wall(head.to_distance_mm(x, y), thickness_mm)
    return wall, (parameters.skull_grey * share * ripple).astype(np.float32)


def draw_grey_bar(pixels: NDArray[np.uint8]) -> None:
    """Draw the scanner's grey scale at the left edge, in place."""
    rows, columns = pixels.shape
    top, bottom, right = rows // 24, rows // 3, max(4, columns // 100)
    pixels[top:bottom, 1:right] = np.linspace(255, 0, bottom - top).astype(np.uint8)[:, None]


def draw_phantom(parameters: PhantomParameters) -> NDArray[np.uint8]:
    """Draw one phantom; the same parameters give the same picture.

    Returns
    -------
    (rows, columns) uint8
        Grey levels; black outside the probe's sector.
    """
    tissue, transmission, field = draw_beams(parameters)
    wall, skull_grey = to_skull_layer(parameters)
    # Absorption hardly dims the skull's own echo; a shadow wedge dims the far wall.
    lit = np.maximum(transmission, 0.8 * (1 - parameters.wedge_strength)) ** 0.35 * field
    grey = tissue * (1 - wall) + skull_grey * lit * wall
    pixels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if parameters.grey_bar:
        draw_grey_bar(pixels)
    return pixels


def to_filename(index: int) -> str:
    """Return the file name of the phantom at an index in `phantoms.json`, counted from 0."""
    return f"phantom_{index:02d}.png"


def to_csv_row(index: int, parameters: PhantomParameters) -> dict[str, str]:
    """Return one line of `phantoms.csv`."""
    values = (
        to_filename(index),
        f"{parameters.pixel_size_x_mm:.6g}",
        f"{parameters.pixel_size_y_mm:.6g}",
        f"{true_head_circumference_mm(parameters):.4f}",
        f"{parameters.biparietal_diameter_mm:.6g}",
        f"{parameters.occipitofrontal_diameter_mm:.6g}",
    )
    return dict(zip(CSV_COLUMNS, values, strict=True))


def write_phantoms(
    folder: Path, index: int | None = None, *, parameters: Sequence[PhantomParameters] | None = None
) -> list[Path]:
    """Write one phantom, or all of them and `phantoms.csv`.

    Parameters
    ----------
    folder : Path
    index : int, optional
        Index of one phantom; by default all are written.
    parameters : sequence of PhantomParameters, optional
        By default those of `phantoms.json`.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    OSError
        A file could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = load_parameters() if parameters is None else parameters
    chosen = range(len(every)) if index is None else [index]
    paths = []
    for place in chosen:
        path = folder / to_filename(place)
        if not cv2.imwrite(str(path), draw_phantom(every[place])):
            raise OSError(f"Could not write {path}.")
        paths.append(path)
    if index is None:
        paths.append(folder / "phantoms.csv")
        with paths[-1].open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(to_csv_row(place, every[place]) for place in chosen)
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write the phantoms."""
    parser = argparse.ArgumentParser(description="Draw fetal head phantoms of known size.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--index", type=int, choices=range(len(load_parameters())), help="only one")
    chosen = parser.parse_args(arguments)
    for path in write_phantoms(chosen.out, chosen.index):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
