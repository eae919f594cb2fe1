"""The service's answers as frozen values, field by field as in `docs/api.md`.

Fields that this version does not know are passed over, because the contract may grow; a field that
it needs and does not find is an `UnexpectedAnswerError`, never a guess.
"""

import math
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from headcirc.client.errors import UnexpectedAnswerError

Answer = TypeVar("Answer")
ALSO_ACCEPTED = {float: (float, int)}
"""JSON has one kind of number: 12.0 may arrive as 12."""


@dataclass(frozen=True)
class Model:
    """Which model answered, and where it ran."""

    name: str
    version: str
    backend: str
    precision: str


@dataclass(frozen=True)
class Image:
    """The upright picture; its pixel size where one is known.

    `orientation` is the EXIF orientation, 1 to 8, by which the stored picture was turned.
    """

    width_px: int
    height_px: int
    pixel_size_x_mm: float | None
    pixel_size_y_mm: float | None
    pixel_size_source: str | None
    orientation: int = 1


@dataclass(frozen=True)
class HeadEllipse:
    """Pixel centres lie at integers; `angle_deg` of the major axis, [0, 180), from +x to +y."""

    center_x_px: float
    center_y_px: float
    semi_major_px: float
    semi_minor_px: float
    angle_deg: float


@dataclass(frozen=True)
class Interval:
    """Where the true value lies with the probability `level`."""

    level: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head that was found; millimetres are None where no pixel size is known.

    Axes are outer to outer.
    """

    ellipse: HeadEllipse
    head_circumference_px: float
    head_circumference_mm: float | None
    head_circumference_interval_mm: Interval | None = None
    biparietal_diameter_mm: float | None
    occipitofrontal_diameter_mm: float | None
    cephalic_index: float | None
    area_mm2: float | None


@dataclass(frozen=True)
class Quality:
    """Warning codes; `acceptable` is false when a person should not rely on the number."""

    acceptable: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Everything about one picture; `head` is None when none was found."""

    id: str
    created: str
    model: Model
    image: Image
    head: Head | None
    gestational_age: dict[str, Any] | None = None
    quality: Quality
    timing_ms: dict[str, float]
    links: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class HeadCircumference:
    """The number alone."""

    id: str
    head_circumference_mm: float
    head_circumference_interval_mm: Interval | None = None
    biparietal_diameter_mm: float | None
    occipitofrontal_diameter_mm: float | None
    cephalic_index: float | None
    gestational_age: dict[str, Any] | None = None
    quality: Quality
    timing_ms: dict[str, float]


@dataclass(frozen=True)
class Concentration:
    """Shares, 0 to 1, of a map's mass in the head and around its edge, and of the areas of both."""

    head_share: float
    edge_share: float
    head_area_share: float
    edge_area_share: float


@dataclass(frozen=True)
class SaliencyFigures:
    """How concentrated a layer's map is; `concentration` is None where the map is empty.

    The band around the edge reaches `edge_band_share` of the head's radius to both sides.
    """

    id: str
    layer: str
    precision: str
    edge_band_share: float
    concentration: Concentration | None


@dataclass(frozen=True, kw_only=True)
class ModelFacts(Model):
    """A served model as `/v1/models` tells of it."""

    width: int
    parameters: int
    input_width_px: int
    input_height_px: int
    sha256: str
    saliency_layers: tuple[str, ...] = ()
    default_saliency_layer: str | None = None
    attention_levels: tuple[int, ...] = ()
    accuracy: dict[str, Any]


@dataclass(frozen=True)
class Models:
    """The models of a service."""

    models: tuple[ModelFacts, ...]


def to_answer(kind: type[Answer], facts: object) -> Answer:
    """Read parsed JSON as one of this module's types.

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
    for field in fields(kind):
        if field.name in facts:
            here = f"{where}.{field.name}"
            given[field.name] = _read(hints[field.name], facts[field.name], here)
        elif field.default is MISSING:
            raise UnexpectedAnswerError(f"The server's answer has no {where}.{field.name}.")
    return kind(**given)
