"""The route that measures a cine and streams a line for each frame."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import Field, TypeAdapter
from starlette.datastructures import FormData
from starlette.types import Receive, Scope, Send

from headcirc.cine.answers import CineFault, CineFrame, CineLine, CineStart, CineSummary
from headcirc.errors import HeadCircumferenceError
from headcirc_service.errors import ClientLeftError, NotReadyError
from headcirc_service.http.dependencies import (
    FORM_TYPE,
    KEYED,
    Owner,
    ScaleForm,
    Watch,
    require_acceptable,
    require_single_fields,
)
from headcirc_service.http.form import FormRequest, FormRoute
from headcirc_service.http.problems import INTERNAL_CODE, INTERNAL_DETAIL, log_failure, to_status
from headcirc_service.http.routes import POST_PROBLEMS, Responses
from headcirc_service.measuring.cines import SHUT_DOWN, CineQuestion, Cines, CineStream
from headcirc_service.telemetry.request_context import find_context

NDJSON_TYPE = "application/x-ndjson"
MOST_PICTURES = 2_000
LINE: TypeAdapter[CineLine | CineFault] = TypeAdapter(CineLine | CineFault)
LINES: Responses = {
    200: {
        "model": CineStart | CineFrame | CineSummary | CineFault,
        "description": "One of these objects on each line",
    }
}
SERVER_FAULT = 500


class CineFormRequest(FormRequest):
    """A form that may have many pictures, or one file of many frames."""

    may_be_large = True
    too_many_files = (
        f"The form has more than {MOST_PICTURES:,} pictures; send fewer, or a video or a DICOM "
        "cine."
    )

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        """See `FormRequest`."""
        return await super().form(**limits | {"max_files": MOST_PICTURES})


class CineFormRoute(FormRoute):
    """A route that reads its form with `CineFormRequest`."""

    request_class = CineFormRequest


class NdjsonAnswer(JSONResponse):
    """Lines of JSON, for the OpenAPI document."""

    media_type = NDJSON_TYPE


class CineAnswer(Response):
    """Sends the lines of a cine as they are measured; an error later on is the last line.

    Parameters
    ----------
    stream : CineStream
    cines : Cines
        Counts what was measured.
    """

    media_type = NDJSON_TYPE

    def __init__(self, stream: CineStream, cines: Cines) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["x-accel-buffering"] = "no"  # a reverse proxy passes each line on at once
        self._stream, self._cines = stream, cines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; the work stops when the client leaves."""

        async def wait_until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        try:
            while lines := await self._stream.read(wait_until_gone):
                self._cines.count(lines)
                await self._send(send, lines)
        except asyncio.CancelledError:  # the server shuts down and no longer waits
            await self._send(send, [to_fault(scope, NotReadyError(SHUT_DOWN))])
            raise
        except ClientLeftError as error:
            note_fault(scope, self._cines, error.code)
            return
        except Exception as error:
            fault = to_fault(scope, error)
            note_fault(scope, self._cines, fault.code)
            await self._send(send, [fault])
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, lines: list[Any]) -> None:
        body = b"".join(LINE.dump_json(each) + b"\n" for each in lines)
        await send({"type": "http.response.body", "body": body, "more_body": True})


def to_fault(scope: Scope, error: Exception) -> CineFault:
    """Return the last line of a cine that cannot be measured to its end."""
    request_id = find_context(scope).name.request_id
    status = to_status(error) if isinstance(error, HeadCircumferenceError) else SERVER_FAULT
    if status == SERVER_FAULT:
        log_failure(request_id, error)
        return CineFault(
            code=INTERNAL_CODE, detail=INTERNAL_DETAIL, status=status, request_id=request_id
        )
    assert isinstance(error, HeadCircumferenceError)
    return CineFault(code=error.code, detail=str(error), status=status, request_id=request_id)


def note_fault(scope: Scope, cines: Cines, code: str) -> None:
    """Count a cine that ended early, and keep its code for the log."""
    find_context(scope).problem_code = code
    cines.count_fault(code)


async def accept_ndjson(request: Request) -> None:
    """Refuse callers that do not accept lines of JSON."""
    require_acceptable(request, NDJSON_TYPE)


class CineForm(ScaleForm):
    """The form of a cine."""

    image: list[UploadFile] = Field(
        description="a multi-frame DICOM, MP4 or AVI file; or several pictures, in turn"
    )


async def open_cine(
    request: Request,
    owner: Owner,
    form: Annotated[CineForm, Form(media_type=FORM_TYPE)],
    watch: Watch,
) -> AsyncIterator[CineStream]:
    """Read the form and measure the first frame; the files stay until the answer is sent.

    Raises
    ------
    HeadCircumferenceError
    """
    require_single_fields(await request.form())  # already parsed
    stated = form.to_stated()
    streams = [cast(Any, each.file) for each in form.image]
    with owner.large_files.take(sum(each.size or 0 for each in form.image)):
        async with owner.cines.open(CineQuestion(streams, stated)) as stream:
            await stream.begin(watch)
            yield stream


router = APIRouter(route_class=CineFormRoute)


@router.post(
    "/v1/cine",
    summary="Measure every frame of a cine or video, and summarise them",
    response_class=NdjsonAnswer,
    dependencies=[KEYED, Depends(accept_ndjson)],
    responses=POST_PROBLEMS | LINES,
    tags=["measure"],
)
async def measure_cine(stream: Annotated[CineStream, Depends(open_cine)], owner: Owner) -> Response:
    """Return a start, a line for each frame as it is measured, and a summary.

    What cannot be measured is refused before the first line. An error after it is the last line,
    with `type` `error`. Nothing is kept.
    """
    return CineAnswer(stream, owner.cines)
