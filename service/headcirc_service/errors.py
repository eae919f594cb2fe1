"""Errors that only the service knows, each with its problem code and HTTP status.

Errors of the library are in `headcirc.errors`; `http.problems` writes both as problem documents.
"""

from typing import ClassVar

from headcirc.errors import HeadCircumferenceError


class ServiceError(HeadCircumferenceError):
    """Base of the errors that only the service raises."""

    status: ClassVar[int] = 500
    headers: ClassVar[dict[str, str]] = {}


class AnalysisNotFoundError(ServiceError):
    """No analysis of that id is kept, or it has expired."""

    code, status = "not-found", 404


class ExplanationNotFoundError(ServiceError):
    """The served model ships no explain graph."""

    code, status = "not-found", 404


class StoredNoHeadError(ServiceError):
    """A number of a kept analysis is requested, but it found no head."""

    code, status = "no-head-found", 409


class StoredPixelSizeMissingError(ServiceError):
    """Millimetres of a kept analysis are requested, but its pixel size is unknown."""

    code, status = "pixel-size-missing", 409


class StoredGestationalAgeMissingError(ServiceError):
    """A growth chart of a kept analysis is requested, but no gestational age was stated."""

    code, status = "gestational-age-missing", 409


class PreconditionMissingError(ServiceError):
    """A correction was sent without the version of the result that it is of."""

    code, status = "precondition-required", 428


class PreconditionFailedError(ServiceError):
    """The result has changed since the caller read it."""

    code, status = "precondition-failed", 412


class InvalidCorrectionError(ServiceError):
    """The body of a correction is no JSON of the documented form."""

    code, status = "invalid-parameter", 422


class CorrectionTooLargeError(ServiceError):
    """The body of a correction has more bytes than any needs."""

    code, status = "body-too-large", 413


class NoJsonError(ServiceError):
    """The body of a correction is declared as something other than JSON."""

    code, status = "unsupported-media-type", 415


class InvalidHostError(ServiceError):
    """The Host header is missing, sent twice, or names another service."""

    code, status = "invalid-host", 400


class EncodedBodyError(ServiceError):
    """The body is compressed."""

    code, status, headers = "unsupported-media-type", 415, {"Accept-Encoding": "identity"}


class MissingImageError(ServiceError):
    """The body is not a form, or the form has no picture."""

    code, status = "missing-image", 422


class FormLimitError(ServiceError):
    """The form has too many parts, or a part that is too long."""

    code, status = "invalid-parameter", 422


class UnauthorizedError(ServiceError):
    """The request has no API key, or an unknown one."""

    code, status, headers = "unauthorized", 401, {"WWW-Authenticate": "Bearer"}


class OverloadedError(ServiceError):
    """The service is at its limit of requests."""

    code, status, headers = "overloaded", 429, {"Retry-After": "1"}


class TunnelRefusedError(ServiceError):
    """The method is CONNECT; the connection closes after the answer.

    Otherwise a reverse proxy that shares connections could give one caller the answer to another
    one, as could a parser that reads the following bytes as those of a tunnel.
    """

    code, status, headers = "method-not-allowed", 405, {"Connection": "close"}


class NotReadyError(ServiceError):
    """The model is not loaded yet, its network failed, or the service shuts down."""

    code, status, headers = "not-ready", 503, {"Retry-After": "1"}


class StoreUnavailableError(ServiceError):
    """The store of results, which is outside this process, does not answer."""

    code, status, headers = "store-unavailable", 503, {"Retry-After": "1"}


class RequestTimeoutError(ServiceError):
    """The answer took longer than allowed."""

    code, status = "timeout", 504


class ClientLeftError(ServiceError):
    """The client closed the connection; the answer is only counted."""

    code, status = "client-left", 499
