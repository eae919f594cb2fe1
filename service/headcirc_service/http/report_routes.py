"""Routes that answer with a DICOM object: structured report, segmentation, captioned picture."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from headcirc_service.http.counted import Counted
from headcirc_service.http.dependencies import KEYED, Asked, Owner, Watch, require_acceptable
from headcirc_service.http.form import FormRoute
from headcirc_service.http.routes import POST_PROBLEMS, Responses
from headcirc_service.measuring.measurer import Measurer, Question
from headcirc_service.measuring.reports import make_report, require_dicom
from headcirc_service.telemetry.spans import Stage

DICOM_TYPE = "application/dicom"
DICOM_RESPONSE: Responses = {200: {"content": {DICOM_TYPE: {}}, "description": "A DICOM file."}}
Template = Annotated[
    Literal["1500", "5000"],
    Query(description="1500: viewers draw it on the picture; 5000: obstetric systems read it"),
]


class DicomAnswer(Response):
    """A DICOM file."""

    media_type = DICOM_TYPE


class CountedDicom(Counted, DicomAnswer):
    """A DICOM file that counts as unread until its client has read it."""


async def accept_dicom(request: Request) -> None:
    """Refuse callers that do not accept DICOM."""
    require_acceptable(request, DICOM_TYPE)


TAKES_DICOM = Depends(accept_dicom)
router = APIRouter(route_class=FormRoute)


async def answer_report(
    kind: str, question: Question, owner: Measurer, watch: Watch, request: Request
) -> CountedDicom:
    """Measure a DICOM file, or find its kept result, and build one kind of report about it."""
    require_dicom(question)
    stored, _ = await owner.answer(question, watch)
    async with owner.renderers.take():
        owner.unread.require_capacity()
        began = time.perf_counter()
        content = await owner.renderers.draw(lambda: make_report(kind, question, stored))
        duration_s = time.perf_counter() - began
        request.app.state.metrics.stage_duration.labels("render").observe(duration_s)
        owner.record_stages([Stage("render", began, duration_s)])
        return CountedDicom(content, owner.unread)


@router.post(
    "/v1/sr",
    summary="Send a DICOM file and get a structured report",
    response_class=DicomAnswer,
    dependencies=[KEYED, TAKES_DICOM],
    responses=POST_PROBLEMS | DICOM_RESPONSE,
    tags=["reports"],
)
async def create_structured_report(
    question: Asked, owner: Owner, watch: Watch, request: Request, template: Template = "1500"
) -> Response:
    """Return a Comprehensive SR with the circumference, the diameters and the outline."""
    return await answer_report(f"tid{template}", question, owner, watch, request)


@router.post(
    "/v1/seg",
    summary="Send a DICOM file and get the head's mask as a DICOM segmentation",
    response_class=DicomAnswer,
    dependencies=[KEYED, TAKES_DICOM],
    responses=POST_PROBLEMS | DICOM_RESPONSE,
    tags=["reports"],
)
async def create_segmentation(
    question: Asked, owner: Owner, watch: Watch, request: Request
) -> Response:
    """Return a binary segmentation on the stored picture; of files with one frame only."""
    return await answer_report("seg", question, owner, watch, request)


@router.post(
    "/v1/capture",
    summary="Send a DICOM file and get the captioned overlay as a DICOM picture",
    response_class=DicomAnswer,
    dependencies=[KEYED, TAKES_DICOM],
    responses=POST_PROBLEMS | DICOM_RESPONSE,
    tags=["reports"],
)
async def create_capture(question: Asked, owner: Owner, watch: Watch, request: Request) -> Response:
    """Return a Secondary Capture of the overlay with its caption, also where no head was found."""
    return await answer_report("capture", question, owner, watch, request)
