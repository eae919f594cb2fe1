"""Fill the answers that only a service gives: what it keeps, which model it serves, its maps."""

from dataclasses import asdict, fields

from headcirc.answers import (
    AnalysisFacts,
    Concentration,
    HeadCircumference,
    Millimetres,
    ModelFacts,
    SaliencyFigures,
    to_analysis_facts,
    to_model,
    to_site_guarantee,
)
from headcirc.explain import EDGE_BAND_SHARE
from headcirc.explain import Concentration as MeasuredConcentration
from headcirc.model.manifest import Manifest
from headcirc.pipeline import Analysis, Pipeline
from headcirc_service.schemas import AnalysisBody, LinksBody


def to_analysis_body(analysis_id: str, analysis: Analysis, pipeline: Pipeline) -> AnalysisBody:
    """Return an analysis with the links under which it is kept."""
    answer = to_analysis_facts(analysis, pipeline, analysis_id=analysis_id)
    links = to_links(
        analysis_id,
        has_saliency=pipeline.manifest.explain is not None,
        has_chart=has_chart(answer),
    )
    return AnalysisBody(**vars(answer), links=links)


def has_chart(answer: AnalysisFacts) -> bool:
    """Return whether there is a growth chart: millimetres, and a gestational age from elsewhere."""
    is_measured = answer.head is not None and answer.head.head_circumference_mm is not None
    return is_measured and answer.growth is not None


def to_links(analysis_id: str, *, has_saliency: bool, has_chart: bool) -> LinksBody:
    """Return where a kept analysis and its parts are found."""
    base = f"/v1/analyses/{analysis_id}"
    return LinksBody(
        self=base,
        image=f"{base}/image",
        mask=f"{base}/mask",
        overlay=f"{base}/overlay",
        saliency=f"{base}/saliency" if has_saliency else None,
        head_circumference=f"{base}/head-circumference",
        growth_png=f"{base}/growth.png" if has_chart else None,
        growth_svg=f"{base}/growth.svg" if has_chart else None,
    )


def to_head_circumference_body(body: AnalysisBody) -> HeadCircumference | None:
    """Return the number alone, or None if the analysis has none."""
    if body.head is None or body.head.head_circumference_mm is None:
        return None
    return HeadCircumference(
        **{each.name: getattr(body.head, each.name) for each in fields(Millimetres)},
        id=body.id,
        gestational_age=body.gestational_age,
        growth=body.growth,
        quality=body.quality,
        site=body.site,
        timing_ms=body.timing_ms,
    )


def to_model_facts(pipeline: Pipeline, *, asked_backend: str) -> ModelFacts:
    """Return all that a caller may want to know about the served model."""
    manifest: Manifest = pipeline.manifest
    explain = manifest.explain
    because = "the first usable backend" if asked_backend == "auto" else "the backend was asked for"
    return ModelFacts(
        **vars(to_model(pipeline)),
        width=manifest.width,
        parameters=manifest.parameters,
        input_width_px=manifest.input.width_px,
        input_height_px=manifest.input.height_px,
        saliency_layers=() if explain is None else tuple(explain.layers),
        default_saliency_layer=None if explain is None else explain.default_layer,
        attention_levels=() if explain is None else tuple(explain.attention_levels),
        accuracy=manifest.accuracy,
        device=pipeline.backend.device,
        chosen_because=because,
        site=to_site_guarantee(pipeline.site),
    )


def to_saliency_figures(
    analysis_id: str, layer: str, precision: str, found: MeasuredConcentration | None
) -> SaliencyFigures:
    """Return how concentrated a map is."""
    return SaliencyFigures(
        id=analysis_id,
        layer=layer,
        precision=precision,
        edge_band_share=EDGE_BAND_SHARE,
        concentration=None if found is None else Concentration(**asdict(found)),
    )
