"""Errors that only the service knows, each with its problem code and HTTP status.

Errors of the library are in `headcirc.errors`; `http.problems` writes both as problem documents.
"""

from typing import ClassVar

from headcirc.errors import HeadCircumferenceError


class ServiceError(HeadCircumferenceError):
    """Base of errors that only a service knows."""

    status: ClassVar[int] = 500
    headers: ClassVar[dict[str, str]] = {}


class AnalysisNotFoundError(ServiceError):
    """No stored analysis has that id, or not any more."""

    code, status = "not-found", 404


class ExplanationNotFoundError(ServiceError):
    """The served model ships no explain graph."""

    code, status = "not-found", 404


class StoredNoHeadError(ServiceError):
    """A stored analysis is asked for a number and found no head."""

    code, status = "no-head-found", 409


class StoredPixelSizeMissingError(ServiceError):
    """A stored analysis is asked for millimetres and knows no pixel size."""

    code, status = "pixel-size-missing", 409


class InvalidHostError(ServiceError):
    """The Host header is missing, doubled, or names another service."""

    code, status = "invalid-host", 400


class EncodedBodyError(ServiceError):
    """The body is compressed."""

    code, status, headers = "unsupported-media-type", 415, {"Accept-Encoding": "identity"}


class MissingImageError(ServiceError):
    """The body is no form, or the form has no picture."""

    code, status = "missing-image", 422


class FormLimitError(ServiceError):
    """The form has more parts than are read here, or a longer one."""

    code, status = "invalid-parameter", 422


class UnauthorizedError(ServiceError):
    """No API key came with the request, or one that is not known."""

    code, status, headers = "unauthorized", 401, {"WWW-Authenticate": "Bearer"}


class OverloadedError(ServiceError):
    """As many requests are at work as may be."""

    code, status, headers = "overloaded", 429, {"Retry-After": "1"}


class TunnelRefusedError(ServiceError):
    """CONNECT was sent: the connection ends with the answer.

    A gateway that shares connections, or a parser that takes what follows for a tunnel's, could
    otherwise give one caller the answer of another.
    """

    code, status, headers = "method-not-allowed", 405, {"Connection": "close"}


class NotReadyError(ServiceError):
    """The model is not loaded yet, or the service is going down."""

    code, status, headers = "not-ready", 503, {"Retry-After": "1"}


class StoreUnavailableError(ServiceError):
    """Results are kept outside this process, and that place does not answer."""

    code, status, headers = "store-unavailable", 503, {"Retry-After": "1"}


class RequestTimeoutError(ServiceError):
    """The answer took longer than allowed."""

    code, status = "timeout", 504


class ClientLeftError(ServiceError):
    """The client closed the connection; the answer goes nowhere and is only counted."""

    code, status = "client-left", 499
