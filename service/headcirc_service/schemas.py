"""The JSON bodies of `docs/api.md` that only the service has; the others are `headcirc.answers`."""

from dataclasses import dataclass

from pydantic import BaseModel, Field

from headcirc.answers import AnalysisFacts


class LinksBody(BaseModel):
    """Where this analysis and its parts are found while it is kept."""

    self: str
    image: str
    mask: str
    overlay: str
    saliency: str | None = Field(default=None, exclude_if=lambda link: link is None)
    head_circumference: str


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
