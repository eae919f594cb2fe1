"""The JSON bodies of `docs/api.md` that only the service has; the others are `headcirc.answers`."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from headcirc.answers import AnalysisFacts


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
    growth_png: str | None = to_optional_link()
    growth_svg: str | None = to_optional_link()


@dataclass(frozen=True, kw_only=True)
class AnalysisBody(AnalysisFacts):
    """Everything about one picture."""

    links: LinksBody


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
