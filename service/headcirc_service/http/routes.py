"""The routes of `docs/api.md`; each is a few lines around the measurer."""

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from headcirc.answers import HeadCircumference, Models, ScaleProposal, to_counted
from headcirc.errors import InputError, NoHeadFoundError, PixelSizeMissingError
from headcirc.overlay import Picture, to_png
from headcirc.quality.assessment import NOT_A_HEAD_PLANE
from headcirc.reports.fhir import MEDIA_TYPE as FHIR_TYPE
from headcirc.reports.fhir import to_bundle
from headcirc.reports.fhir_elements import ImagingSource
from headcirc.reports.fhir_imaging import choose_imaging
from headcirc_service.admission.renderers import Renderers
from headcirc_service.answers import to_head_circumference_body, to_model_facts
from headcirc_service.errors import (
    AnalysisNotFoundError,
    StoredNoHeadError,
    StoredPixelSizeMissingError,
)
from headcirc_service.http.dependencies import (
    KEYED,
    TAKES_JSON,
    TAKES_PNG,
    Asked,
    Owner,
    OwnId,
    Watch,
    prefers,
    require_acceptable,
)
from headcirc_service.http.etags import to_etag
from headcirc_service.http.form import FormRoute
from headcirc_service.http.png import CountedPng, Png
from headcirc_service.http.problems import MEDIA_TYPE, NOT_KEPT, TITLES
from headcirc_service.measuring.measurer import Measurer
from headcirc_service.results.stored_analysis import StoredAnalysis
from headcirc_service.schemas import (
    AnalysisBody,
    HealthBody,
    ProblemBody,
)
from headcirc_service.telemetry.metrics import Metrics
from headcirc_service.telemetry.spans import Stage

NO_HEAD = "No head was found in the picture; send a frame that shows the whole fetal head."
NO_HEAD_PLANE = (
    "No head was found: the picture does not look like a plane of the fetal head; send a frame "
    "that shows the whole head in a standard plane."
)
NO_PIXEL_SIZE = (
    "A head was found, but the size of a pixel is unknown; state pixel_size_mm, or "
    "pixel_size_x_mm and pixel_size_y_mm."
)
JSON_TYPE = "application/json"
Responses = dict[int | str, dict[str, Any]]
PNG_RESPONSE: Responses = {200: {"content": {"image/png": {}}, "description": "A PNG picture."}}


def to_no_head_text(analysis: AnalysisBody) -> str:
    """Return why an analysis has no head."""
    is_other_plane = NOT_A_HEAD_PLANE in analysis.quality.warnings
    return NO_HEAD_PLANE if is_other_plane else NO_HEAD


def to_problem_responses(*statuses: int) -> Responses:
    """Return the OpenAPI responses of refusals, with their own media type.

    The default is needed because FastAPI would otherwise document a 422 that is never sent.
    """
    content = {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema()}}
    descriptions = {status: TITLES[status] for status in statuses} | {"default": "Another problem"}
    return {key: {"description": said, "content": content} for key, said in descriptions.items()}


POST_PROBLEMS = to_problem_responses(400, 401, 406, 413, 415, 422, 429, 500, 503, 504)
GET_PROBLEMS = to_problem_responses(401, 404, 406, 429, 500, 503, 504)
NUMBER_PROBLEMS = GET_PROBLEMS | to_problem_responses(409)


Captioned = Annotated[bool, Query(description="false: the bare picture, without the caption below")]

router = APIRouter(route_class=FormRoute)


async def require_stored(owner: Measurer, analysis_id: str) -> StoredAnalysis:
    """Return a kept analysis, or raise `AnalysisNotFoundError`."""
    stored = await owner.find(analysis_id)
    if stored is None:
        raise AnalysisNotFoundError(NOT_KEPT)
    return stored


async def answer_png(
    owner: Measurer,
    draw: Callable[[], Picture],
    metrics: Metrics,
    *,
    renderers: Renderers | None = None,
) -> Png:
    """Draw and encode a picture in a thread of the renderers, and measure how long it takes.

    Parameters
    ----------
    owner : Measurer
    draw : callable
    metrics : Metrics
    renderers : Renderers, optional
        Where the caller holds a place; by default the owner's.
    """
    owner.unread.require_capacity()
    began = time.perf_counter()
    encoded = await (renderers or owner.renderers).draw(lambda: to_png(draw()))
    duration_s = time.perf_counter() - began
    metrics.stage_duration.labels("render").observe(duration_s)
    owner.record_stages([Stage("render", began, duration_s)])
    return CountedPng(encoded, owner.unread)


@router.post(
    "/v1/analyses",
    summary="Measure a head and keep the result",
    status_code=201,
    dependencies=[KEYED, TAKES_JSON],
    responses=POST_PROBLEMS | {200: {"model": AnalysisBody}},
    tags=["measure"],
)
async def create_analysis(
    question: Asked, owner: Owner, watch: Watch, response: Response
) -> AnalysisBody:
    """Measure a head and keep the result for a while.

    **Try it:** save [this drawn head](web/examples/phantom_07.png), press *Try it out*, choose it
    as `image` and press *Execute*. Its pixels are 0.1277 mm wide and high, as
    `pixel_size_mm` already states. Its circumference is 184.0 mm; compare it with
    `head_circumference_mm` in the answer. For your own picture, state its pixel size. If you leave
    the field empty, the answer has no millimetres.
    """
    stored, is_new = await owner.answer(question, watch)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = stored.body.links.self
    response.headers["ETag"] = to_etag(stored)
    return stored.body


class Fhir(Response):
    """A FHIR answer."""

    media_type = FHIR_TYPE


class FhirQuery(BaseModel):
    """Whom a FHIR Bundle is about, and the DICOM object that was measured."""

    subject: str | None = Field(None, description="FHIR: whose record it is, such as Patient/123")
    focus: str | None = Field(None, description="FHIR: the fetus, where the subject is the mother")
    study_uid: str | None = Field(None, description="FHIR: DICOM study that was measured")
    series_uid: str | None = Field(None, description="FHIR: its series")
    instance_uid: str | None = Field(None, description="FHIR: its instance")
    sop_class_uid: str | None = Field(None, description="FHIR: the class of the instance")

    def to_imaging(self) -> ImagingSource | None:
        """Return the DICOM object; raises `InputError` where it is incomplete."""
        parts = self.model_dump(exclude={"subject", "focus"}, exclude_none=True)
        if parts and self.study_uid is None:
            raise InputError("A DICOM identifier was given without study_uid; give it too.")
        return ImagingSource(**parts) if parts else None


@router.get(
    "/v1/analyses/{analysis_id}",
    summary="Read a kept result",
    response_model=AnalysisBody,
    dependencies=[KEYED],
    responses=GET_PROBLEMS | to_problem_responses(422) | {200: {"content": {FHIR_TYPE: {}}}},
    tags=["results"],
)
async def read_analysis(
    analysis_id: OwnId,
    query: Annotated[FhirQuery, Query()],
    owner: Owner,
    request: Request,
    response: Response,
) -> AnalysisBody | Response:
    """Return a kept analysis; with `Accept: application/fhir+json` as a FHIR R4 Bundle."""
    response.headers["Vary"] = "Accept"
    is_fhir = prefers(request, FHIR_TYPE, JSON_TYPE)
    if not is_fhir:
        require_acceptable(request, JSON_TYPE)
    async with owner.renderers.take():
        stored = await require_stored(owner, analysis_id)
        if not is_fhir:
            response.headers["ETag"] = to_etag(stored)
            return stored.body

        def write() -> bytes:
            imaging = choose_imaging(query.to_imaging(), stored.imaging)
            bundle = to_bundle(
                stored.body, subject=query.subject, focus=query.focus, imaging=imaging
            )
            return json.dumps(bundle, separators=(",", ":"), ensure_ascii=False).encode()

        return Fhir(await owner.renderers.draw(write), headers={"Vary": "Accept"})


@router.get(
    "/v1/analyses/{analysis_id}/image",
    summary="Read the upright picture that was measured",
    response_class=Png,
    dependencies=[KEYED, TAKES_PNG],
    responses=GET_PROBLEMS | PNG_RESPONSE,
    tags=["results"],
)
async def read_image(analysis_id: OwnId, owner: Owner, request: Request) -> Response:
    """Return the picture that was measured: upright and grey, nothing drawn over it."""
    async with owner.renderers.take():
        analysis = await require_stored(owner, analysis_id)
        return await answer_png(owner, lambda: analysis.pixels, request.app.state.metrics)


@router.get(
    "/v1/analyses/{analysis_id}/mask",
    summary="Read a kept result's mask as a picture",
    response_class=Png,
    dependencies=[KEYED, TAKES_PNG],
    responses=GET_PROBLEMS | PNG_RESPONSE,
    tags=["results"],
)
async def read_mask(analysis_id: OwnId, owner: Owner, request: Request) -> Response:
    """Return the mask: 0 or 255, in the upright picture's own size."""
    async with owner.renderers.take():
        analysis = await require_stored(owner, analysis_id)
        return await answer_png(owner, analysis.draw_mask, request.app.state.metrics)


@router.get(
    "/v1/analyses/{analysis_id}/overlay",
    summary="Read the picture with what was found drawn over it",
    response_class=Png,
    dependencies=[KEYED, TAKES_PNG],
    responses=GET_PROBLEMS | to_problem_responses(422) | PNG_RESPONSE,
    tags=["results"],
)
async def read_overlay(
    analysis_id: OwnId, owner: Owner, request: Request, caption: Captioned = True
) -> Response:
    """Return the picture with mask edge, ellipse and both axes, and a caption below it."""
    async with owner.renderers.take():
        analysis = await require_stored(owner, analysis_id)
        return await answer_png(
            owner, lambda: analysis.draw_overlay(caption=caption), request.app.state.metrics
        )


@router.get(
    "/v1/analyses/{analysis_id}/head-circumference",
    summary="Read a kept result's circumference alone",
    dependencies=[KEYED, TAKES_JSON],
    responses=NUMBER_PROBLEMS,
    tags=["results"],
)
async def read_head_circumference(analysis_id: OwnId, owner: Owner) -> HeadCircumference:
    """Return the circumference of a kept analysis."""
    async with owner.renderers.take():
        analysis = (await require_stored(owner, analysis_id)).body
    if to_counted(analysis).head is None:
        raise StoredNoHeadError(to_no_head_text(analysis))
    body = to_head_circumference_body(analysis)
    if body is None:
        raise StoredPixelSizeMissingError(NO_PIXEL_SIZE)
    return body


@router.post(
    "/v1/mask",
    summary="Send a picture and get the mask at once",
    response_class=Png,
    dependencies=[KEYED, TAKES_PNG],
    responses=POST_PROBLEMS | PNG_RESPONSE,
    tags=["measure"],
)
async def create_mask(question: Asked, owner: Owner, watch: Watch, request: Request) -> Response:
    """Return the mask of a picture in one request."""
    stored, _ = await owner.answer(question, watch)
    if stored.body.head is None:
        raise NoHeadFoundError(to_no_head_text(stored.body))
    async with owner.renderers.take():
        return await answer_png(owner, stored.draw_mask, request.app.state.metrics)


@router.post(
    "/v1/head-circumference",
    summary="Send a picture and get the circumference at once",
    dependencies=[KEYED, TAKES_JSON],
    responses=POST_PROBLEMS,
    tags=["measure"],
)
async def create_head_circumference(
    question: Asked, owner: Owner, watch: Watch
) -> HeadCircumference:
    """Return the circumference of a picture in one request."""
    stored, _ = await owner.answer(question, watch)
    if to_counted(stored.body).head is None:
        raise NoHeadFoundError(to_no_head_text(stored.body))
    body = to_head_circumference_body(stored.body)
    if body is None:
        raise PixelSizeMissingError(NO_PIXEL_SIZE)
    return body


@router.post(
    "/v1/scale-bar",
    summary="Find the marks of the depth scale beside a picture",
    dependencies=[KEYED, TAKES_JSON],
    responses=POST_PROBLEMS,
    tags=["measure"],
)
async def find_scale_bar(question: Asked, owner: Owner, watch: Watch) -> ScaleProposal:
    """Return where the marks are, for a person to confirm; nothing is measured with them.

    `depth_scale` is null if no scale is certain enough. The distance between two marks in
    millimetres is not in the picture: state it as `scale_mark_mm` when you measure.
    """
    return await owner.find_scale(question, watch)


@router.get(
    "/v1/models",
    summary="List the model, where it runs and how well it measures",
    dependencies=[KEYED, TAKES_JSON],
    responses=to_problem_responses(401, 406, 503),
    tags=["service"],
)
async def list_models(owner: Owner, request: Request) -> Models:
    """List the served model, where it runs and its measured accuracy."""
    chosen = request.app.state.settings.backend
    return Models((to_model_facts(owner.pipeline, asked_backend=chosen),))


# The lower decorator answers GET and HEAD, which some probes send. The upper one is for OpenAPI,
# where both methods would have the same operation name.
@router.get("/livez", summary="Ask whether the process is alive", tags=["service"])
@router.api_route("/livez", methods=["GET", "HEAD"], include_in_schema=False)
async def report_alive() -> HealthBody:
    """Report that the process is alive."""
    return HealthBody(status="alive")


@router.get(
    "/readyz",
    summary="Ask whether requests are taken",
    responses=to_problem_responses(503),
    tags=["service"],
)
@router.api_route("/readyz", methods=["GET", "HEAD"], include_in_schema=False)
async def report_ready(owner: Owner) -> HealthBody:
    """Report that the model is loaded and warm, and that the queue takes work."""
    owner.require_ready()
    return HealthBody(status="ready")


@router.get(
    "/metrics",
    summary="Read the metrics in Prometheus' format",
    dependencies=[KEYED],
    responses=to_problem_responses(401),
    tags=["service"],
    response_class=Response,
)
def read_metrics(request: Request) -> Response:  # in a thread: it takes several milliseconds
    """Return the metrics in Prometheus' text format."""
    return Response(
        generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST
    )
