"""Results to answers: an analysis, a model or a map, written as the contract has it."""

import math
from dataclasses import asdict
from datetime import UTC, datetime

from headcirc.explain import EDGE_BAND_SHARE, Concentration
from headcirc.model.manifest import Manifest
from headcirc.pipeline import Analysis, Head, Pipeline
from headcirc_service.schemas import (
    AnalysisBody,
    ConcentrationBody,
    EllipseBody,
    HeadBody,
    HeadCircumferenceBody,
    ImageBody,
    IntervalBody,
    LinksBody,
    ModelBody,
    ModelFactsBody,
    QualityBody,
    SaliencyBody,
)

STAGES = ("decode", "preprocess", "queue", "inference", "postprocess", "total")


def to_analysis_body(analysis_id: str, analysis: Analysis, pipeline: Pipeline) -> AnalysisBody:
    """Write an analysis as the contract has it."""
    rows, columns = analysis.frame.pixels.shape
    region = analysis.region or next(iter(analysis.frame.calibrations), None)
    return AnalysisBody(
        id=analysis_id,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model=to_model_body(pipeline),
        image=ImageBody(
            width_px=columns,
            height_px=rows,
            orientation=analysis.frame.orientation,
            pixel_size_x_mm=None if region is None else region.spacing.column_mm,
            pixel_size_y_mm=None if region is None else region.spacing.row_mm,
            pixel_size_source=None if region is None else region.source,
        ),
        head=None if analysis.head is None else _to_head_body(analysis.head),
        quality=QualityBody(
            acceptable=analysis.quality.acceptable, warnings=list(analysis.quality.warnings)
        ),
        timing_ms={stage: round(analysis.timing_ms.get(stage, 0.0), 3) for stage in STAGES},
        links=to_links(analysis_id, has_saliency=pipeline.manifest.explain is not None),
    )


def to_links(analysis_id: str, *, has_saliency: bool) -> LinksBody:
    """Return where a kept analysis and its parts are found."""
    base = f"/v1/analyses/{analysis_id}"
    return LinksBody(
        self=base,
        image=f"{base}/image",
        mask=f"{base}/mask",
        overlay=f"{base}/overlay",
        saliency=f"{base}/saliency" if has_saliency else None,
        head_circumference=f"{base}/head-circumference",
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
