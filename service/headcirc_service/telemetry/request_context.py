"""What is known about a request while it is answered: its ids, and how it was refused.

`http.middleware.RequestFrame` begins the context of a request. The layers inside it read it with
`find_context`.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Protocol

from starlette.types import Scope

KEY = "headcirc.request"
"""Key of the context in the ASGI scope; only this module uses it."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Request ids that are taken over from callers; any other one is replaced."""
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
"""W3C Trace Context, version 00: trace, span and flags; ids of zeros only are invalid."""
SPAN_BYTES, REQUEST_ID_BYTES = 8, 16


@dataclass(frozen=True)
class RequestName:
    """The ids of one request, here and in the logs of its caller.

    Attributes
    ----------
    request_id : str
        From the caller, or a new one.
    trace_id, traceparent : str or None
        The caller's trace, and the span of this request in it.
    """

    request_id: str
    trace_id: str | None = None
    traceparent: str | None = None

    def to_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the ids as response headers."""
        headers = [(b"x-request-id", self.request_id.encode())]
        if self.traceparent is not None:
            headers.append((b"traceparent", self.traceparent.encode()))
        return headers


class BodyWatch(Protocol):
    """The limits of a body that arrives; see `admission.arrivals.Body`."""

    def note_kind(self, *, may_be_large: bool) -> None:
        """Note whether the body holds a file of many frames, which decides its limits."""

    def require_size(self) -> None:
        """Refuse a body that is too large for what it holds."""


@dataclass
class RequestContext:
    """One request while it is answered.

    Attributes
    ----------
    name : RequestName
        Tracing replaces it by the name of the span that it records.
    result_scope : str
        Which results the caller may read; see `results.result_names`. The gate sets it.
    problem_code : str or None
        Code of the problem document that was sent. The problem document sets it.
    body : BodyWatch or None
        Where the parser of a form says what arrives. The gate sets it.
    """

    name: RequestName
    result_scope: str = ""
    problem_code: str | None = None
    body: BodyWatch | None = None


def name_request(request_id: str | None, traceparent: str | None) -> RequestName:
    """Take over the ids of the caller's headers if they are valid; make up the others."""
    if request_id is None or not REQUEST_ID.fullmatch(request_id):
        request_id = secrets.token_hex(REQUEST_ID_BYTES)
    trace = TRACEPARENT.fullmatch(traceparent or "")
    if trace is None:
        return RequestName(request_id)
    trace_id, flags = trace.groups()
    span_id = secrets.token_hex(SPAN_BYTES)
    return RequestName(request_id, trace_id, f"00-{trace_id}-{span_id}-{flags}")


def begin_context(scope: Scope, name: RequestName) -> RequestContext:
    """Give a request its context."""
    context = scope[KEY] = RequestContext(name)
    return context


def find_context(scope: Scope) -> RequestContext:
    """Return the context of a request, which has begun."""
    context = scope[KEY]
    assert isinstance(context, RequestContext)
    return context
