"""Measure the search for depth scales: `python -m evaluation.scale_bar`.

`scale_bar_marks.csv` names 160 frames of FETAL_PLANES_DB, drawn at random. For each frame the first
and the last mark of its depth scale were read by eye from an enlarged, ruled picture, and the
intervals between them were counted; the rows were then moved to the brightest line within four
rows. Frames without a value have no scale with five legible marks. The part `fit` was looked at
while the search was written; the part `check` was marked afterwards. HC18's frames have no depth
scale: what is found there is false.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from harness.documents import write_report
from harness.options import add_every_option, add_folder_options
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.readers import decode_frame
from headcirc.scale_bar import find_scale_bar

MARKS = Path(__file__).parent / "scale_bar_marks.csv"
RESULT_NAME = "scale_bar.json"
CLOSE = 0.01
"""Largest relative difference of a distance that counts as right."""


@dataclass(frozen=True)
class MarkedFrame:
    """A frame and the distance between its marks as read by eye; None without a legible scale."""

    path: Path
    part: str
    spacing_px: float | None


def load_marked(folder: Path) -> list[MarkedFrame]:
    """Return the frames of the committed table, with their files in the folder of the planes."""
    with MARKS.open(newline="", encoding="utf-8") as file:
        return [
            MarkedFrame(
                folder / row["file"],
                row["part"],
                float(row["spacing_px"]) if row["spacing_px"] else None,
            )
            for row in csv.DictReader(file)
        ]


def judge(frames: Sequence[MarkedFrame]) -> dict[str, Any]:
    """Return how many scales were found, and how far their distances are from the marked ones."""
    differences, false, missed = [], 0, 0
    for frame in tqdm(frames, "marked frames"):
        found = find_scale_bar(decode_frame(frame.path.read_bytes()).pixels)
        if frame.spacing_px is None:
            false += found is not None
        elif found is None:
            missed += 1
        else:
            differences.append(found.spacing_px / frame.spacing_px - 1)
    sizes = np.abs(differences)
    return {
        "frames": len(frames),
        "with_scale": len(differences) + missed,
        "found": len(differences),
        "within_1_percent": int((sizes <= CLOSE).sum()),
        "largest_difference_percent": float(100 * sizes.max()) if differences else None,
        "mean_difference_percent": float(100 * sizes.mean()) if differences else None,
        "found_where_none_is_legible": false,
    }


def count_false(paths: Iterable[Path]) -> dict[str, int]:
    """Return in how many pictures without a scale one is found."""
    images = list(paths)
    found = [
        find_scale_bar(decode_frame(path.read_bytes()).pixels) for path in tqdm(images, "HC18")
    ]
    return {"frames": len(images), "found": sum(each is not None for each in found)}


def find_hc18(folder: Path, *, every: int = 1) -> list[Path]:
    """Return the frames of both of HC18's sets, without annotations."""
    paths = sorted(folder.glob("*_set/*_*HC.png"))
    return paths[::every]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write the report; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.scale_bar", description=__doc__)
    add_folder_options(parser, EVALUATION_RESULTS_DIR)
    add_every_option(parser)
    parser.add_argument("--planes", type=Path, default=None, help="folder of the planes")
    options = parser.parse_args(arguments)
    marked = load_marked(options.planes or options.data.parent / "planes")
    report = {
        "command": "python -m evaluation.scale_bar",
        "parts": {
            part: judge([each for each in marked if each.part == part][:: options.every])
            for part in ("fit", "check")
        },
        "hc18": count_false(find_hc18(options.data, every=options.every)),
    }
    for name, figures in (*report["parts"].items(), ("hc18", report["hc18"])):
        print(name, figures)
    write_report(options.out / RESULT_NAME, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
