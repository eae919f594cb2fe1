"""Fill the answers that only a service gives: what it keeps, which model it serves, its maps."""

from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from typing import Any

from headcirc.answers import (
    AUTOMATIC,
    AnalysisFacts,
    Concentration,
    Head,
    HeadCircumference,
    Millimetres,
    ModelFacts,
    SaliencyFigures,
    to_analysis_facts,
    to_counted,
    to_model,
    to_site_guarantee,
)
from headcirc.corrections import DrawnEllipse, to_corrected
from headcirc.explain import EDGE_BAND_SHARE
from headcirc.explain import Concentration as MeasuredConcentration
from headcirc.model.manifest import Manifest
from headcirc.pipeline import Analysis, Pipeline
from headcirc_service.schemas import AnalysisBody, LinksBody

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""How times are written, in UTC."""


def to_analysis_body(
    analysis_id: str, analysis: Analysis, pipeline: Pipeline, *, ttl_s: int = 0
) -> AnalysisBody:
    """Return an analysis with the links under which it is kept, for `ttl_s` seconds."""
    answer = to_analysis_facts(analysis, pipeline, analysis_id=analysis_id)
    links = to_links(
        analysis_id,
        has_saliency=pipeline.manifest.explain is not None,
        has_chart=has_chart(answer),
    )
    return AnalysisBody(**vars(answer), expires=to_expiry(answer.created, ttl_s), links=links)


def to_expiry(begins: str, ttl_s: int) -> str | None:
    """Return the time until which a result is kept that begins its time now; None for 0 s."""
    if ttl_s <= 0:
        return None
    ends = datetime.fromisoformat(begins) + timedelta(seconds=ttl_s)
    return ends.strftime(TIME_FORMAT)


def to_version(body: AnalysisBody, drawn: DrawnEllipse | None, expires: str | None) -> AnalysisBody:
    """Return an analysis with another ellipse by a person, or with the automatic one alone."""
    plain = replace(body, method=AUTOMATIC, correction=None)
    version = plain if drawn is None else to_corrected(plain, drawn)
    links = to_links(
        body.id, has_saliency=body.links.saliency is not None, has_chart=has_chart(version)
    )
    return replace(version, expires=expires, links=links)


def has_chart(answer: AnalysisFacts) -> bool:
    """Return whether there is a growth chart: millimetres, and an age from elsewhere."""
    head = to_counted(answer).head
    is_measured = head is not None and head.head_circumference_mm is not None
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
        correction=f"{base}/correction",
        growth_png=f"{base}/growth.png" if has_chart else None,
        growth_svg=f"{base}/growth.svg" if has_chart else None,
    )


def to_head_circumference_body(body: AnalysisBody) -> HeadCircumference | None:
    """Return the number that counts, or None if the analysis has none."""
    counted = to_counted(body)
    if counted.head is None or counted.head.head_circumference_mm is None:
        return None
    found = body.head if counted is not body else None
    return HeadCircumference(
        **_to_millimetres(counted.head),
        id=body.id,
        method=body.method,
        automatic=None if found is None else Millimetres(**_to_millimetres(found)),
        gestational_age=counted.gestational_age,
        growth=counted.growth,
        quality=body.quality,
        site=body.site,
        timing_ms=body.timing_ms,
    )


def _to_millimetres(head: Head) -> dict[str, Any]:
    return {each.name: getattr(head, each.name) for each in fields(Millimetres)}


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
