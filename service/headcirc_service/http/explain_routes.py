"""Routes for explanations: saliency and attention maps of a kept analysis."""

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from headcirc.answers import SaliencyFigures
from headcirc.caption import add_caption
from headcirc.explain import measure_concentration
from headcirc.overlay import Picture, draw_saliency, to_map_picture
from headcirc.reports.result_facts import to_result_facts
from headcirc_service.answers import to_saliency_figures
from headcirc_service.http.dependencies import (
    KEYED,
    TAKES_PNG,
    Owner,
    OwnId,
    Watch,
    require_acceptable,
)
from headcirc_service.http.png import Png
from headcirc_service.http.routes import (
    GET_PROBLEMS,
    PNG_RESPONSE,
    answer_png,
    require_stored,
    to_problem_responses,
)
from headcirc_service.measuring.explanations import find_saliency_map

EXPLAIN_PROBLEMS = GET_PROBLEMS | to_problem_responses(422)

router = APIRouter()


class SaliencyQuery(BaseModel):
    """The requested map and its form."""

    layer: str | None = Field(None, description="one of the model's saliency_layers")
    blend: float = Field(0.5, ge=0, le=1, description="0: the picture alone; 1: the map alone")
    format: Literal["overlay", "map", "json"] = "overlay"
    caption: bool = Field(True, description="of the overlay; false: without the caption below")


@router.get(
    "/v1/analyses/{analysis_id}/saliency",
    summary="See where the network looked (Grad-CAM)",
    response_model=SaliencyFigures,
    dependencies=[KEYED],
    responses=EXPLAIN_PROBLEMS | PNG_RESPONSE,
    tags=["results"],
)
async def read_saliency(
    analysis_id: OwnId,
    query: Annotated[SaliencyQuery, Query()],
    owner: Owner,
    watch: Watch,
    request: Request,
) -> Response | SaliencyFigures:
    """Return where the network looked: over the picture, as a bare map, or in figures."""
    require_acceptable(request, "application/json" if query.format == "json" else "image/png")
    layer = owner.explanations.require_layer(query.layer)
    renderers = owner.explanations.renderers
    async with renderers.take():
        stored = await require_stored(owner, analysis_id)
        explanation = await owner.explanations.explain(stored, watch)

        def find() -> NDArray[np.float32]:
            return find_saliency_map(stored, explanation, layer)

        def draw() -> Picture:
            picture = draw_saliency(stored.pixels, find(), stored.mask, blend=query.blend)
            if not query.caption:
                return picture
            facts = to_result_facts(stored.body)
            return add_caption(picture, facts, f"Grad-CAM at layer {layer}.")

        if query.format == "json":
            found = await renderers.draw(
                lambda: measure_concentration(find(), stored.draw_mask() > 0)
            )
            return to_saliency_figures(analysis_id, layer, explanation.precision, found)
        is_bare = query.format == "map"
        draw_chosen = (lambda: to_map_picture(find())) if is_bare else draw
        return await answer_png(owner, draw_chosen, request.app.state.metrics, renderers=renderers)


@router.get(
    "/v1/analyses/{analysis_id}/attention",
    summary="See what an attention gate lets through",
    response_class=Png,
    dependencies=[KEYED, TAKES_PNG],
    responses=EXPLAIN_PROBLEMS | PNG_RESPONSE,
    tags=["results"],
)
async def read_attention(
    analysis_id: OwnId,
    owner: Owner,
    watch: Watch,
    request: Request,
    level: Annotated[int, Query(description="one of the model's attention_levels")],
) -> Response:
    """Return what share of a skip connection's features its gate lets through, 255 for all."""
    chosen = owner.explanations.require_level(level)
    renderers = owner.explanations.renderers
    async with renderers.take():
        stored = await require_stored(owner, analysis_id)
        explanation = await owner.explanations.explain(stored, watch)
        return await answer_png(
            owner,
            lambda: to_map_picture(explanation.to_attention_map(chosen)),
            request.app.state.metrics,
            renderers=renderers,
        )
