"""Answers as JSON: the bodies of `docs/api.md`, field by field. What fills them is `answers`."""

from typing import Any

from pydantic import BaseModel, Field


class ModelBody(BaseModel):
    """Which model answered, and where it ran."""

    name: str
    version: str
    backend: str
    precision: str


class ImageBody(BaseModel):
    """The upright picture; its pixel size where one is known.

    `orientation` is the EXIF orientation, 1 to 8, by which the stored picture was turned.
    """

    width_px: int
    height_px: int
    orientation: int
    pixel_size_x_mm: float | None
    pixel_size_y_mm: float | None
    pixel_size_source: str | None


class EllipseBody(BaseModel):
    """Pixel centres lie at integers; `angle_deg` of the major axis, [0, 180), from +x to +y."""

    center_x_px: float
    center_y_px: float
    semi_major_px: float
    semi_minor_px: float
    angle_deg: float


class IntervalBody(BaseModel):
    """Should hold the annotated circumference in `level` of all clean images."""

    level: float
    low: float
    high: float


class MillimetresBody(BaseModel):
    """Figures in millimetres; null where no pixel size is known.

    Axes are outer to outer. The interval is null, too, where the model states none.
    """

    head_circumference_mm: float | None
    head_circumference_interval_mm: IntervalBody | None
    biparietal_diameter_mm: float | None
    occipitofrontal_diameter_mm: float | None
    cephalic_index: float | None


class HeadBody(MillimetresBody):
    """The head that was found."""

    ellipse: EllipseBody
    head_circumference_px: float
    area_mm2: float | None


class QualityBody(BaseModel):
    """Warning codes; `acceptable` is false when a person should not rely on the number."""

    acceptable: bool
    warnings: list[str]


class LinksBody(BaseModel):
    """Where this analysis and its parts are found while it is kept."""

    self: str
    image: str
    mask: str
    overlay: str
    saliency: str | None = Field(default=None, exclude_if=lambda link: link is None)
    head_circumference: str


class AnalysisBody(BaseModel):
    """Everything about one picture."""

    id: str
    created: str
    model: ModelBody
    image: ImageBody
    head: HeadBody | None
    gestational_age: None = None
    quality: QualityBody
    timing_ms: dict[str, float]
    links: LinksBody


class HeadCircumferenceBody(MillimetresBody):
    """The number alone, for callers that want no more."""

    id: str
    head_circumference_mm: float
    gestational_age: None = None
    quality: QualityBody
    timing_ms: dict[str, float]


class ConcentrationBody(BaseModel):
    """Shares, 0 to 1, of a map's mass in the head and around its edge, and of the areas of both.

    Mass is the sum of the map's values; a map that is the same everywhere has the area's shares.
    """

    head_share: float
    edge_share: float
    head_area_share: float
    edge_area_share: float


class SaliencyBody(BaseModel):
    """How concentrated a layer's map is; null where the map is empty, as without a head.

    The band around the mask's edge reaches, to both sides, `edge_band_share` times the radius of
    the disc that is as large as the mask. `precision` is that of the network that is explained.
    """

    id: str
    layer: str
    precision: str
    edge_band_share: float
    concentration: ConcentrationBody | None


class ModelFactsBody(ModelBody):
    """A served model as `/v1/models` tells of it."""

    width: int
    parameters: int
    input_width_px: int
    input_height_px: int
    sha256: str
    saliency_layers: list[str] = []
    default_saliency_layer: str | None = None
    attention_levels: list[int] = []
    accuracy: dict[str, Any]
    device: str
    chosen_because: str


class ModelsBody(BaseModel):
    """The models of this service."""

    models: list[ModelFactsBody]


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
