"""The JSON bodies of `docs/api.md` that only the service has; the others are `headcirc.answers`."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from headcirc.answers import AnalysisFacts

Finite = Annotated[float, Field(allow_inf_nan=False)]


def to_optional_link() -> Any:
    """Declare a link that is left out where there is nothing."""
    return Field(default=None, exclude_if=lambda link: link is None)


class LinksBody(BaseModel):
    """Where this analysis and its parts are found while it is kept."""

    self: str
    image: str
    mask: str
    overlay: str
    saliency: str | None = to_optional_link()
    head_circumference: str
    correction: str
    growth_png: str | None = to_optional_link()
    growth_svg: str | None = to_optional_link()


@dataclass(frozen=True, kw_only=True)
class AnalysisBody(AnalysisFacts):
    """Everything about one picture.

    It is kept until `expires`, which is null where nothing is kept; a store that is full drops the
    oldest results earlier.
    """

    expires: str | None = None
    links: LinksBody


class RequestBody(BaseModel, extra="forbid", strict=True):
    """A body that a caller sends: no unknown field, and no value of another JSON type.

    Whole numbers are numbers; `true` and `"5"` are none.
    """


class EllipseBody(RequestBody):
    """An ellipse in pixels of the upright picture, as in the Analysis."""

    center_x_px: Finite
    center_y_px: Finite
    semi_major_px: Finite
    semi_minor_px: Finite
    angle_deg: Finite


class CorrectionBody(RequestBody):
    """The ellipse that a person drew, who it was, and a note that names no patient."""

    ellipse: EllipseBody
    by: str
    note: str | None = None


class HealthBody(BaseModel):
    """A plain yes."""

    status: str


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
