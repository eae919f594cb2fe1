"""Record the data that a network's weights depend on, and check it against held-out images."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.folds import Folds
from training.data.hc18 import SPLIT_PATH, HC18Image
from training.data.planes import Plane

TRAIN_PART = "train"


@dataclass(frozen=True)
class Seen:
    """Everything that a network, its teachers and its start weights were trained on.

    Attributes
    ----------
    exams : tuple of int
        Labelled exams of HC18.
    groups : tuple of str
        Patients or countries of the planes.
    is_with_unlabelled : bool
        Whether HC18's unlabelled frames are included.
    teachers : tuple of str
        SHA-256 of the files of all teachers and initial weights, direct and indirect.
    """

    exams: tuple[int, ...] = ()
    groups: tuple[str, ...] = ()
    is_with_unlabelled: bool = False
    teachers: tuple[str, ...] = ()

    @classmethod
    def of_items(cls, items: Iterable[HC18Image | Plane], *, is_with_unlabelled: bool) -> "Seen":
        """List the exams and groups of some images and planes."""
        exams, groups = set(), set()
        for item in items:
            if isinstance(item, HC18Image):
                exams.add(item.exam)
            else:
                groups.add(item.group)
        return cls(tuple(sorted(exams)), tuple(sorted(groups)), is_with_unlabelled)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Seen":
        """Convert a record that was written with `dataclasses.asdict` as JSON."""
        return cls(
            exams=tuple(record["exams"]),
            groups=tuple(record["groups"]),
            is_with_unlabelled=record["is_with_unlabelled"],
            teachers=tuple(record["teachers"]),
        )

    def joined(self, other: "Seen", sha256: str) -> "Seen":
        """Return the union with the data of a teacher or of initial weights.

        Parameters
        ----------
        other : Seen
            Data of the other network.
        sha256 : str
            SHA-256 of the other network's file.
        """
        return Seen(
            exams=tuple(sorted({*self.exams, *other.exams})),
            groups=tuple(sorted({*self.groups, *other.groups})),
            is_with_unlabelled=self.is_with_unlabelled or other.is_with_unlabelled,
            teachers=tuple(sorted({*self.teachers, *other.teachers, sha256})),
        )


def read_older_seen(path: Path) -> Seen | None:
    """Read which exams an older checkpoint depends on, from the `training.json` beside it.

    Returns
    -------
    Seen or None
        The exams of HC18's train part; None where the weights depend on others or nothing says so.
    """
    record = path.with_name("training.json")
    if not record.exists() or json.loads(record.read_text()).get("part") != TRAIN_PART:
        return None
    return Seen(exams=tuple(sorted(json.loads(SPLIT_PATH.read_text())[TRAIN_PART])))


def require_unseen(seen: Seen | None, folds: Folds, fold: int | None, *, who: str) -> None:
    """Check that a network was not trained on a fold's held-out exams and groups.

    Parameters
    ----------
    seen : Seen or None
        Data of the network; None if unknown.
    folds : Folds
    fold : int or None
        None for the network that ships, which has no held-out data.
    who : str
        Name of the network in the error message.

    Raises
    ------
    ValueError
        The network was trained on held-out data, or its data are unknown.
    """
    if fold is None:
        return
    if seen is None:
        raise ValueError(
            f"{who} does not list its training data, so it cannot teach or initialise fold {fold}. "
            "Use a network of this fold, written by training.train_fold."
        )
    exams = folds.exams[fold].intersection(seen.exams)
    groups = folds.groups[fold].intersection(seen.groups)
    if exams or groups:
        raise ValueError(
            f"{who} was trained on {len(exams)} exams and {len(groups)} patients or countries "
            f"that fold {fold} holds out. Use a network of the same fold."
        )
