"""What a network's weights depend on, and the check that a fold's held-out images are not in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from training.data.folds import Folds
from training.data.hc18 import HC18Image
from training.data.planes import Plane


@dataclass(frozen=True)
class Seen:
    """Everything that a network, its teachers and its start weights were trained on.

    Attributes
    ----------
    exams : tuple of int
        HC18's labelled exams.
    groups : tuple of str
        Patients, or countries, of the planes.
    is_with_unlabelled : bool
        Whether HC18's unlabelled frames belong to it.
    teachers : tuple of str
        SHA-256 of the files that taught it or that it started from, and of theirs.
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
        """Read what `dataclasses.asdict` and JSON made of it."""
        return cls(
            exams=tuple(record["exams"]),
            groups=tuple(record["groups"]),
            is_with_unlabelled=record["is_with_unlabelled"],
            teachers=tuple(record["teachers"]),
        )

    def joined(self, other: "Seen", sha256: str) -> "Seen":
        """Return what is seen by a network that another one, of this file, taught or started."""
        return Seen(
            exams=tuple(sorted({*self.exams, *other.exams})),
            groups=tuple(sorted({*self.groups, *other.groups})),
            is_with_unlabelled=self.is_with_unlabelled or other.is_with_unlabelled,
            teachers=tuple(sorted({*self.teachers, *other.teachers, sha256})),
        )


def require_unseen(seen: Seen | None, folds: Folds, fold: int | None, *, who: str) -> None:
    """Check that a network never saw a fold's held-out exams and groups.

    Parameters
    ----------
    seen : Seen or None
        Of the network; None where nobody wrote it down.
    folds : Folds
    fold : int or None
        None for the network that ships, which is judged on nothing.
    who : str
        Named in the error.

    Raises
    ------
    ValueError
        The network saw one of them, or it is not known what it saw.
    """
    if fold is None:
        return
    if seen is None:
        raise ValueError(
            f"{who} does not list what it was trained on, so it cannot teach or start fold {fold}; "
            "use a network of this fold that training.train_fold has written."
        )
    exams = folds.exams[fold].intersection(seen.exams)
    groups = folds.groups[fold].intersection(seen.groups)
    if exams or groups:
        raise ValueError(
            f"{who} saw {len(exams)} exams and {len(groups)} patients or countries that fold "
            f"{fold} holds out; use a network of the same fold."
        )
