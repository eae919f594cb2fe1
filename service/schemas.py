"""Answers as JSON: the bodies of `docs/api.md`, field by field, and how an analysis becomes one."""

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from headcirc.explain import EDGE_BAND_SHARE, Concentration
from headcirc.manifest import Manifest
from headcirc.pipeline import Analysis, Head, Pipeline

STAGES = ("decode", "preprocess", "queue", "inference", "postprocess", "total")


class ModelBody(BaseModel):
    """Which model answered, and where it ran."""

    name: str
    version: str
    backend: str
    precision: str


class ImageBody(BaseModel):
    """The upright picture; its pixel size where one is known."""

    width_px: int
    height_px: int
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


def to_analysis_body(analysis_id: str, analysis: Analysis, pipeline: Pipeline) -> AnalysisBody:
    """Write an analysis as the contract has it."""
    rows, columns = analysis.frame.pixels.shape
    region = analysis.region or next(iter(analysis.frame.calibrations), None)
    base = f"/v1/analyses/{analysis_id}"
    return AnalysisBody(
        id=analysis_id,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model=to_model_body(pipeline),
        image=ImageBody(
            width_px=columns,
            height_px=rows,
            pixel_size_x_mm=None if region is None else region.spacing.column_mm,
            pixel_size_y_mm=None if region is None else region.spacing.row_mm,
            pixel_size_source=None if region is None else region.source,
        ),
        head=None if analysis.head is None else _to_head_body(analysis.head),
        quality=QualityBody(
            acceptable=analysis.quality.acceptable, warnings=list(analysis.quality.warnings)
        ),
        timing_ms={stage: round(analysis.timing_ms.get(stage, 0.0), 3) for stage in STAGES},
        links=LinksBody(
            self=base,
            mask=f"{base}/mask",
            overlay=f"{base}/overlay",
            saliency=None if pipeline.manifest.explain is None else f"{base}/saliency",
            head_circumference=f"{base}/head-circumference",
        ),
    )


def _to_head_body(head: Head) -> HeadBody:
    ellipse, measured, interval = head.ellipse, head.measurement, head.interval
    angle_deg = math.degrees(ellipse.angle_rad) % 180
    return HeadBody(
        ellipse=EllipseBody(
            center_x_px=ellipse.center_x_px,
            center_y_px=ellipse.center_y_px,
            semi_major_px=ellipse.semi_axis_major_px,
            semi_minor_px=ellipse.semi_axis_minor_px,
            angle_deg=angle_deg,
        ),
        head_circumference_px=head.head_circumference_px,
        head_circumference_mm=None if measured is None else measured.head_circumference_mm,
        head_circumference_interval_mm=(
            None
            if interval is None
            else IntervalBody(level=interval.level, low=interval.low_mm, high=interval.high_mm)
        ),
        biparietal_diameter_mm=None if measured is None else measured.biparietal_diameter_mm,
        occipitofrontal_diameter_mm=(
            None if measured is None else measured.occipitofrontal_diameter_mm
        ),
        cephalic_index=None if measured is None else measured.cephalic_index,
        area_mm2=None if measured is None else measured.area_mm2,
    )


def to_head_circumference_body(body: AnalysisBody) -> HeadCircumferenceBody | None:
    """Return the number alone, or None if the analysis has none."""
    if body.head is None or body.head.head_circumference_mm is None:
        return None
    return HeadCircumferenceBody(
        id=body.id,
        head_circumference_mm=body.head.head_circumference_mm,
        head_circumference_interval_mm=body.head.head_circumference_interval_mm,
        biparietal_diameter_mm=body.head.biparietal_diameter_mm,
        occipitofrontal_diameter_mm=body.head.occipitofrontal_diameter_mm,
        cephalic_index=body.head.cephalic_index,
        quality=body.quality,
        timing_ms=body.timing_ms,
    )


def to_model_body(pipeline: Pipeline) -> ModelBody:
    """Name the model and where it runs."""
    manifest, backend = pipeline.manifest, pipeline.backend
    return ModelBody(
        name=manifest.name,
        version=manifest.version,
        backend=backend.name,
        precision=backend.precision,
    )


def to_model_facts_body(pipeline: Pipeline, *, asked_backend: str) -> ModelFactsBody:
    """Tell all that a caller may want to know of the served model."""
    manifest: Manifest = pipeline.manifest
    explain = manifest.explain
    because = "the first usable backend" if asked_backend == "auto" else "the backend was asked for"
    return ModelFactsBody(
        **to_model_body(pipeline).model_dump(),
        width=manifest.width,
        parameters=manifest.parameters,
        input_width_px=manifest.input.width_px,
        input_height_px=manifest.input.height_px,
        sha256=pipeline.graph.sha256,
        saliency_layers=[] if explain is None else list(explain.layers),
        default_saliency_layer=None if explain is None else explain.default_layer,
        attention_levels=[] if explain is None else list(explain.attention_levels),
        accuracy=manifest.accuracy,
        device=pipeline.backend.device,
        chosen_because=because,
    )


def to_saliency_body(
    analysis_id: str, layer: str, precision: str, found: Concentration | None
) -> SaliencyBody:
    """Write a map's concentration as the contract has it."""
    concentration = None if found is None else ConcentrationBody(**asdict(found))
    return SaliencyBody(
        id=analysis_id,
        layer=layer,
        precision=precision,
        edge_band_share=EDGE_BAND_SHARE,
        concentration=concentration,
    )
