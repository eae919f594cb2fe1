"""Routes for the growth chart of a kept analysis, as PNG and as SVG."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from headcirc.errors import GestationalAgeMissingError, NoHeadFoundError, PixelSizeMissingError
from headcirc.reports.drawing import Drawing, to_picture, to_svg
from headcirc.reports.growth_chart import (
    MOST_EARLIER,
    EarlierPoint,
    draw_growth_chart,
    to_earlier_point,
)
from headcirc_service.errors import (
    ServiceError,
    StoredGestationalAgeMissingError,
    StoredNoHeadError,
    StoredPixelSizeMissingError,
)
from headcirc_service.http.dependencies import KEYED, TAKES_PNG, TAKES_SVG, Owner, OwnId
from headcirc_service.http.png import Png
from headcirc_service.http.routes import (
    NUMBER_PROBLEMS,
    PNG_RESPONSE,
    Responses,
    answer_png,
    require_stored,
    to_problem_responses,
)
from headcirc_service.schemas import AnalysisBody

CHART_PROBLEMS = NUMBER_PROBLEMS | to_problem_responses(422)
SVG_RESPONSE: Responses = {
    200: {"content": {"image/svg+xml": {}}, "description": "An SVG document."}
}
STORED: dict[type[Exception], type[ServiceError]] = {
    NoHeadFoundError: StoredNoHeadError,
    PixelSizeMissingError: StoredPixelSizeMissingError,
    GestationalAgeMissingError: StoredGestationalAgeMissingError,
}
"""What a kept result lacks is 409 and not 422: the request is right."""

router = APIRouter()


class Svg(Response):
    """An SVG answer."""

    media_type = "image/svg+xml"


async def read_earlier(
    earlier: Annotated[
        list[str] | None,
        Query(
            max_length=MOST_EARLIER,
            description="an earlier measurement, in days and mm, such as 140:172.5; repeatable",
        ),
    ] = None,
) -> list[EarlierPoint]:
    """Read the earlier points of the query.

    Raises
    ------
    InputError
    """
    return [to_earlier_point(each) for each in earlier or ()]


Earlier = Annotated[list[EarlierPoint], Depends(read_earlier)]


def draw_chart(body: AnalysisBody, earlier: list[EarlierPoint]) -> Drawing:
    """Return the chart of a kept result.

    Raises
    ------
    StoredNoHeadError, StoredPixelSizeMissingError, StoredGestationalAgeMissingError, InputError
    """
    try:
        return draw_growth_chart(body, earlier)
    except (NoHeadFoundError, PixelSizeMissingError, GestationalAgeMissingError) as error:
        raise STORED[type(error)](str(error)) from error


@router.get(
    "/v1/analyses/{analysis_id}/growth.png",
    summary="See the circumference in a growth chart",
    response_class=Png,
    dependencies=[KEYED, TAKES_PNG],
    responses=CHART_PROBLEMS | PNG_RESPONSE,
    tags=["results"],
)
async def read_growth_png(
    analysis_id: OwnId, owner: Owner, earlier: Earlier, request: Request
) -> Response:
    """Return the chart: the standard's centiles, and the circumference at the stated age."""
    async with owner.renderers.take():
        stored = await require_stored(owner, analysis_id)
        return await answer_png(
            owner,
            lambda: to_picture(draw_chart(stored.body, earlier)),
            request.app.state.metrics,
        )


@router.get(
    "/v1/analyses/{analysis_id}/growth.svg",
    summary="See the circumference in a growth chart, as SVG",
    response_class=Svg,
    dependencies=[KEYED, TAKES_SVG],
    responses=CHART_PROBLEMS | SVG_RESPONSE,
    tags=["results"],
)
async def read_growth_svg(analysis_id: OwnId, owner: Owner, earlier: Earlier) -> Response:
    """Return the same chart as SVG."""
    async with owner.renderers.take():
        stored = await require_stored(owner, analysis_id)
        return Svg(
            await owner.renderers.draw(lambda: to_svg(draw_chart(stored.body, earlier)).encode())
        )
