"""Routes that put a person's ellipse beside the automatic one of a kept result, and remove it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from headcirc_service.errors import (
    CorrectionTooLargeError,
    EncodedBodyError,
    InvalidCorrectionError,
    NoJsonError,
)
from headcirc_service.http.dependencies import KEYED, TAKES_JSON, Owner, OwnId
from headcirc_service.http.etags import IfMatch, to_etag
from headcirc_service.http.routes import GET_PROBLEMS, JSON_TYPE, to_problem_responses
from headcirc_service.schemas import AnalysisBody, CorrectionBody, EllipseBody

MAXIMUM_BODY_BYTES = 8_000
CHANGE_PROBLEMS = GET_PROBLEMS | to_problem_responses(412, 428)
PUT_PROBLEMS = CHANGE_PROBLEMS | to_problem_responses(413, 415, 422)


def to_request_body() -> dict[str, Any]:
    """Return the OpenAPI description of the body, which the route reads itself."""
    schema = CorrectionBody.model_json_schema()
    # A reference would be looked up from the root of the OpenAPI document.
    schema["properties"]["ellipse"] = schema.pop("$defs")[EllipseBody.__name__]
    return {"requestBody": {"required": True, "content": {JSON_TYPE: {"schema": schema}}}}


router = APIRouter()


async def read_correction(request: Request) -> CorrectionBody:
    """Read the body of a correction, which is small.

    Raises
    ------
    NoJsonError, EncodedBodyError, CorrectionTooLargeError, InvalidCorrectionError
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON_TYPE:
        raise NoJsonError(f"The body must be JSON, with the Content-Type {JSON_TYPE}.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise EncodedBodyError("The body is compressed (Content-Encoding); send it as it is.")
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MAXIMUM_BODY_BYTES:
            raise CorrectionTooLargeError(
                f"The body has more than {MAXIMUM_BODY_BYTES:,} bytes; a correction needs fewer."
            )
    try:
        return CorrectionBody.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        # Of a field that is not known, the name is the caller's own text.
        is_known = first["type"] not in ("extra_forbidden", "json_invalid")
        where = ".".join(map(str, first["loc"])) if is_known and first["loc"] else "body"
        raise InvalidCorrectionError(f"{where}: {first['msg']}.") from error


Drawn = Annotated[CorrectionBody, Depends(read_correction)]


@router.put(
    "/v1/analyses/{analysis_id}/correction",
    summary="Put your own ellipse beside the automatic one",
    dependencies=[KEYED, TAKES_JSON],
    responses=PUT_PROBLEMS,
    openapi_extra=to_request_body(),
    tags=["results"],
)
async def correct_analysis(
    analysis_id: OwnId, is_expected: IfMatch, drawn: Drawn, owner: Owner, response: Response
) -> AnalysisBody:
    """Return the analysis with the ellipse that you drew, which counts from now on."""
    return await answer_change(analysis_id, drawn, is_expected, owner, response)


@router.delete(
    "/v1/analyses/{analysis_id}/correction",
    summary="Go back to the automatic ellipse",
    dependencies=[KEYED, TAKES_JSON],
    responses=CHANGE_PROBLEMS,
    tags=["results"],
)
async def reset_analysis(
    analysis_id: OwnId, is_expected: IfMatch, owner: Owner, response: Response
) -> AnalysisBody:
    """Return the analysis with the automatic ellipse alone."""
    return await answer_change(analysis_id, None, is_expected, owner, response)


async def answer_change(
    analysis_id: str,
    drawn: CorrectionBody | None,
    is_expected: IfMatch,
    owner: Owner,
    response: Response,
) -> AnalysisBody:
    """Change a kept result, and answer with it and its new version."""
    async with owner.renderers.take():
        stored = await owner.corrections.change(analysis_id, drawn, is_expected=is_expected)
    response.headers["ETag"] = to_etag(stored)
    return stored.body
