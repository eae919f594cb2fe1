"""Split HC18 by exam, and the planes by patient or country, into the same five folds for all.

`python -m training.data.folds --hc18 DIR --planes DIR` prints the committed `folds.json`.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from training.data.hc18 import SPLIT_PATH, HC18Image, load_images
from training.data.planes import Plane, load_planes

FOLDS = 5
FOLDS_PATH = Path(__file__).with_name("folds.json")
SEED = 20_261_129
Item = TypeVar("Item", bound=Hashable)


def make_folds(
    images: Sequence[HC18Image], planes: Sequence[Plane], seed: int = SEED
) -> dict[str, list[list[int]] | list[list[str]]]:
    """Assign exams, patients and countries to the folds.

    The assignment is stratified: exams are sorted by mean circumference, and each five consecutive
    exams are assigned to the five folds at random. Patients are sorted by the kinds of their planes
    and assigned in the same way. Each country is in one fold.

    Parameters
    ----------
    images : sequence of HC18Image
    planes : sequence of Plane
    seed : int

    Returns
    -------
    dict
        `exams` and `groups`, each a list of `FOLDS` sorted lists.
    """
    dealer = random.Random(seed)
    sizes: dict[int, list[float]] = {}
    for image in images:
        sizes.setdefault(image.exam, []).append(image.head_circumference_mm)
    kinds: dict[str, list[str]] = {}
    for plane in planes:
        kinds.setdefault(plane.group, []).append(plane.kind)
    countries = {plane.group for plane in planes if plane.country}
    patients = sorted(kinds.keys() - countries, key=lambda each: (sorted(kinds[each]), each))
    exams = _deal(sorted(sizes, key=lambda exam: (float(np.mean(sizes[exam])), exam)), dealer)
    groups = _deal(patients, dealer)
    for index, country in enumerate(sorted(countries)):
        groups[index % FOLDS].append(country)
    return {"exams": [sorted(each) for each in exams], "groups": [sorted(each) for each in groups]}


def _deal(ordered: Sequence[Item], dealer: random.Random) -> list[list[Item]]:
    folds: list[list[Item]] = [[] for _ in range(FOLDS)]
    for start in range(0, len(ordered), FOLDS):
        numbers = list(range(FOLDS))
        dealer.shuffle(numbers)
        for item, number in zip(ordered[start : start + FOLDS], numbers, strict=False):
            folds[number].append(item)
    return folds


class Folds:
    """The folds by exam and by group.

    Parameters
    ----------
    record : dict
        Result of `make_folds`; by default the committed file.
    """

    def __init__(self, record: dict[str, list[list]] | None = None) -> None:
        record = json.loads(FOLDS_PATH.read_text()) if record is None else record
        self.exams = [frozenset(each) for each in record["exams"]]
        self.groups = [frozenset(each) for each in record["groups"]]

    @classmethod
    def with_split(cls) -> "Folds":
        """Return folds that all hold out the calibration and test exams of HC18's older split.

        For runs that begin with weights of the train part: those weights saw exams of all five
        folds. The planes are divided as always.
        """
        split = json.loads(SPLIT_PATH.read_text())
        held_out = [exam for part, exams in split.items() if part != "train" for exam in exams]
        record = json.loads(FOLDS_PATH.read_text())
        return cls({"exams": [held_out] * FOLDS, "groups": record["groups"]})

    def is_held_out(self, item: HC18Image | Plane, fold: int | None) -> bool:
        """Return whether a fold holds out this image; the fold None holds out nothing."""
        if fold is None:
            return False
        if isinstance(item, HC18Image):
            return item.exam in self.exams[fold]
        return item.group in self.groups[fold]


HELD_OUT: dict[str, Callable[[], Folds]] = {"folds": Folds, "split": Folds.with_split}
"""Ways to hold out data, by their names on the command line."""


def to_training_items(items: Iterable, folds: Folds, fold: int | None) -> list:
    """Return the images and planes that a fold trains on."""
    return [item for item in items if not folds.is_held_out(item, fold)]


def to_held_out_items(items: Iterable, folds: Folds, fold: int) -> list:
    """Return the images and planes that a fold is evaluated on."""
    return [item for item in items if folds.is_held_out(item, fold)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the folds as JSON."""
    parser = argparse.ArgumentParser(prog="python -m training.data.folds", description=__doc__)
    parser.add_argument("--hc18", type=Path, required=True, help="HC18's folder")
    parser.add_argument("--planes", type=Path, required=True, help="folder of the planes")
    chosen = parser.parse_args(arguments)
    record = make_folds(load_images(chosen.hc18), load_planes(chosen.planes))
    parts = []
    for name, folds in record.items():
        lines = ",\n".join(f"    {json.dumps(fold)}" for fold in folds)
        parts.append(f'  "{name}": [\n{lines}\n  ]')
    sys.stdout.write("{\n" + ",\n".join(parts) + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
