"""Turn exceptions into statuses and problem documents (RFC 9457, `application/problem+json`).

The messages of our own errors are sent to the caller, because they name no path and no file. All
other errors get a fixed message.
"""

import logging
import traceback
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from headcirc.errors import (
    BackendUnavailableError,
    GestationalAgeMissingError,
    HeadCircumferenceError,
    ImageTooLargeError,
    InferenceError,
    InputError,
    InvalidEllipseError,
    InvalidFrameError,
    InvalidGestationalAgeError,
    InvalidPixelSizeError,
    ModelArtifactError,
    NoHeadFoundError,
    PixelSizeConflictError,
    PixelSizeMissingError,
    ScaleBarError,
    SiteFileError,
    UnreadableImageError,
    UnreliableResultError,
    UnsupportedMediaTypeError,
    UnusableHeaderError,
)
from headcirc_service.errors import ClientLeftError, NotReadyError, ServiceError
from headcirc_service.telemetry.request_context import find_context

logger = logging.getLogger("headcirc.service")
MEDIA_TYPE = "application/problem+json"
INTERNAL_CODE = "internal-error"
INTERNAL_DETAIL = (
    "The service failed, so the request was not measured. The request itself is not at fault."
)

STATUSES: dict[type[HeadCircumferenceError], int] = {
    HeadCircumferenceError: 500,
    InputError: 422,
    UnreadableImageError: 400,
    UnsupportedMediaTypeError: 415,
    ImageTooLargeError: 413,
    InvalidFrameError: 422,
    InvalidPixelSizeError: 422,
    InvalidGestationalAgeError: 422,
    GestationalAgeMissingError: 422,
    PixelSizeConflictError: 422,
    UnusableHeaderError: 422,
    UnreliableResultError: 422,
    ScaleBarError: 422,
    InvalidEllipseError: 422,
    NoHeadFoundError: 422,
    PixelSizeMissingError: 422,
    InferenceError: 500,
    ModelArtifactError: 500,
    SiteFileError: 500,
    BackendUnavailableError: 500,
}
HTTP_CODES = {
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "image-too-large",
    504: "timeout",
}
FRAMEWORK_DETAILS = {
    404: "Nothing is served at this path; the interface's documentation lists what is.",
    405: "This path does not support this method; the header 'Allow' lists those that it does.",
}
"""Replaces the short phrases of the framework."""
NOT_KEPT = "No analysis of that id is kept here, or it has expired; post the picture again."
NO_TUNNEL = "This service is not a proxy; CONNECT closes the connection."
MISSING_IMAGE = "Send the picture as a file in the field 'image' of a multipart form."
CLIENT_LEFT = "The client left before the form was complete."
NO_SPACE = "The service has no space for so large a file now; try again later."
TITLES = {
    400: "The request or its image cannot be read",
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "The analysis has no such number",
    412: "The result has changed",
    413: "Too large",
    415: "Unsupported media type",
    422: "The request cannot be measured",
    428: "The version is not stated",
    429: "Overloaded",
    499: "The client left",
    500: "Internal error",
    503: "Not available now",
    504: "Timeout",
}


def to_status(error: HeadCircumferenceError) -> int:
    """Return the HTTP status of one of our errors."""
    return error.status if isinstance(error, ServiceError) else STATUSES[type(error)]


def to_problem_body(status: int, *, code: str, detail: str, request_id: str) -> dict[str, object]:
    """Return a problem document as a JSON object."""
    return {
        "type": f"urn:headcirc:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


class ProblemResponse(JSONResponse):
    """A problem document; once it is sent, the request's context has its code."""

    media_type = MEDIA_TYPE

    def __init__(
        self, content: dict[str, object], status: int, headers: dict[str, str] | None, *, code: str
    ) -> None:
        super().__init__(content, status, headers)
        self.code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        find_context(scope).problem_code = self.code
        await super().__call__(scope, receive, send)


def to_problem(
    request: Request, status: int, *, code: str, detail: str, headers: dict[str, str] | None = None
) -> ProblemResponse:
    """Build a problem document."""
    request_id = find_context(request.scope).name.request_id
    body = to_problem_body(status, code=code, detail=detail, request_id=request_id)
    return ProblemResponse(body, status, headers, code=code)


def to_known_problem(request: Request, error: HeadCircumferenceError) -> ProblemResponse:
    """Build the problem document of one of our own errors that a caller may read."""
    headers = error.headers if isinstance(error, ServiceError) else None
    return to_problem(
        request, to_status(error), code=error.code, detail=str(error), headers=headers
    )


def to_internal_problem(request: Request, error: Exception) -> ProblemResponse:
    """Build the answer to an unexpected error, and log where it happened.

    The log does not hold the message of the error either: it may quote the request.
    """
    log_failure(find_context(request.scope).name.request_id, error)
    return to_problem(request, 500, code=INTERNAL_CODE, detail=INTERNAL_DETAIL)


def log_failure(request_id: str, error: Exception) -> None:
    """Log where an unexpected error happened, without its message."""
    where = "".join(traceback.format_tb(error.__traceback__))
    facts = {"request_id": request_id, "error": type(error).__name__, "where": where}
    logger.error("internal error: %(error)s at\n%(where)s", facts, extra={"facts": facts})


def install_problem_handlers(app: FastAPI) -> None:
    """Translate every exception that can leave a route."""

    async def on_known(request: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, HeadCircumferenceError)
        if to_status(error) == HTTPStatus.INTERNAL_SERVER_ERROR:
            return to_internal_problem(request, error)
        return to_known_problem(request, error)

    async def on_http(request: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.BAD_REQUEST:
            # The framework raises its own error for any error while the form is parsed.
            if isinstance(error.__cause__, HeadCircumferenceError):
                return to_known_problem(request, error.__cause__)
            if isinstance(error.__cause__, ClientDisconnect):
                return to_known_problem(request, ClientLeftError(CLIENT_LEFT))
            if isinstance(error.__cause__, OSError):  # no space for a large upload
                logger.error("an upload cannot be received: %s", type(error.__cause__).__name__)
                return to_known_problem(request, NotReadyError(NO_SPACE))
            return to_problem(request, 422, code="missing-image", detail=MISSING_IMAGE)
        code = HTTP_CODES.get(error.status_code, "invalid-parameter")
        detail = FRAMEWORK_DETAILS.get(error.status_code, str(error.detail))
        headers = dict(error.headers or {})
        return to_problem(request, error.status_code, code=code, detail=detail, headers=headers)

    async def on_invalid(request: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        name = str(first["loc"][-1])
        if name == "image":
            code, detail = "missing-image", MISSING_IMAGE
        elif name.startswith("pixel_size"):
            code = "invalid-pixel-size"
            detail = f"{name} must be a number of mm from 0.005 to 2, written as 0.12."
        elif name == "gestational_age_days":
            code, detail = "invalid-gestational-age", f"{name} must be a whole number of days."
        elif name == "scale_mark_mm":
            code, detail = "invalid-pixel-size", f"{name} must be a number of mm from 0.5 to 100."
        elif name == "frame":
            code, detail = "invalid-frame", "frame must be a whole number, counted from 0."
        else:
            code, detail = "invalid-parameter", f"{name}: {first['msg']}."
        return to_problem(request, 422, code=code, detail=detail)

    app.add_exception_handler(HeadCircumferenceError, on_known)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
