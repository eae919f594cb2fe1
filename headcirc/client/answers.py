"""Read the service's JSON as the types of `headcirc.answers`.

Unknown fields are ignored, because the contract may grow. A missing field is an
`UnexpectedAnswerError`, never a guess, unless it is declared as one that older services lack.
"""

import math
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from headcirc.answers import (
    ABSENT,
    AgeEstimate,
    AnalysisFacts,
    Concentration,
    ConvertedInterval,
    Correction,
    DepthScale,
    DicomImage,
    GestationalAge,
    Growth,
    GrowthFigure,
    Head,
    HeadCircumference,
    HeadEllipse,
    Image,
    Interval,
    MethodInterval,
    Model,
    ModelFacts,
    Models,
    Quality,
    SaliencyFigures,
    ScaleProposal,
    added_later,
)
from headcirc.cine.answers import (
    BestFrame,
    CineFault,
    CineFrame,
    CineLine,
    CineStart,
    CineSummary,
    FrameFault,
)
from headcirc.client.errors import UnexpectedAnswerError

__all__ = [
    "AgeEstimate",
    "Analysis",
    "BestFrame",
    "CineFault",
    "CineFrame",
    "CineLine",
    "CineStart",
    "CineSummary",
    "Concentration",
    "ConvertedInterval",
    "Correction",
    "DepthScale",
    "DicomImage",
    "FrameFault",
    "GestationalAge",
    "Growth",
    "GrowthFigure",
    "Head",
    "HeadCircumference",
    "HeadEllipse",
    "Image",
    "Interval",
    "MethodInterval",
    "Model",
    "ModelFacts",
    "Models",
    "Quality",
    "SaliencyFigures",
    "ScaleProposal",
    "to_answer",
]
Answer = TypeVar("Answer")
ALSO_ACCEPTED = {float: (float, int)}
"""JSON has one kind of number: 12.0 may arrive as 12."""


@dataclass(frozen=True, kw_only=True)
class Analysis(AnalysisFacts):
    """Everything about one picture, and where its parts are found while the service keeps it.

    `etag` names the version that was read; a correction sends it back, so that it replaces no
    version that its author has not seen. It is a header of the answer.
    """

    expires: str | None = field(default=None, metadata=added_later(None))
    links: dict[str, str]
    etag: str = field(default="", metadata=added_later(""))


def to_answer(kind: type[Answer], facts: object) -> Answer:
    """Return parsed JSON as one of the answers' types.

    Raises
    ------
    UnexpectedAnswerError
        A field is missing, or is of another kind than the contract says.
    """
    answer: Answer = _read(kind, facts, kind.__name__)
    return answer


def _read(kind: Any, value: object, where: str) -> Any:
    """Return a value as `kind`, one of the annotations above."""
    origin = get_origin(kind)
    if origin is UnionType:  # of a type and None, here
        wanted = next(each for each in get_args(kind) if each is not NoneType)
        return None if value is None else _read(wanted, value, where)
    if is_dataclass(kind) and isinstance(value, dict):
        return _read_fields(kind, value, where)
    if origin is Literal and value in get_args(kind):
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_read(get_args(kind)[0], each, where) for each in value)
    if origin is dict and isinstance(value, dict):
        return dict(value)
    if origin is None and not is_dataclass(kind):
        is_number_for_bool = isinstance(value, bool) and kind is not bool
        is_no_number = isinstance(value, float) and not math.isfinite(value)
        is_wanted = isinstance(value, ALSO_ACCEPTED.get(kind, kind))
        if is_wanted and not (is_number_for_bool or is_no_number):
            return value
    raise UnexpectedAnswerError(f"The server's answer has {type(value).__name__} as {where}.")


def _read_fields(kind: Any, facts: dict[str, object], where: str) -> Any:
    hints = get_type_hints(kind)
    given = {}
    for each in fields(kind):
        if each.name in facts:
            here = f"{where}.{each.name}"
            given[each.name] = _read(hints[each.name], facts[each.name], here)
        elif ABSENT in each.metadata:
            given[each.name] = each.metadata[ABSENT]
        elif each.default is MISSING:
            raise UnexpectedAnswerError(f"The server's answer has no {where}.{each.name}.")
    return kind(**given)
