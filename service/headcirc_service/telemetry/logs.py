"""What is logged: one JSON object a line, with the request it belongs to; and requests' names.

Logged are routes, statuses, times and codes. Never a file name, a field, a query or any content.
"""

import json
import logging
import re
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a caller's request id may be; another one is replaced, as it could hold anything."""
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
"""W3C Trace Context, version 00: trace, span, flags; all zeros are invalid."""
SPAN_BYTES, REQUEST_ID_BYTES = 8, 16


@dataclass(frozen=True)
class RequestName:
    """How one request is called, here and in its caller's logs.

    Attributes
    ----------
    request_id : str
        The caller's, or a new one.
    trace_id, traceparent : str or None
        Of the trace that the caller is in, and this request's own place in it.
    """

    request_id: str
    trace_id: str | None = None
    traceparent: str | None = None

    def to_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that tell the caller."""
        headers = [(b"x-request-id", self.request_id.encode())]
        if self.traceparent is not None:
            headers.append((b"traceparent", self.traceparent.encode()))
        return headers


def name_request(request_id: str | None, traceparent: str | None) -> RequestName:
    """Take over what a caller's headers say, where it can be taken over."""
    if request_id is None or not REQUEST_ID.fullmatch(request_id):
        request_id = secrets.token_hex(REQUEST_ID_BYTES)
    trace = TRACEPARENT.fullmatch(traceparent or "")
    if trace is None:
        return RequestName(request_id)
    trace_id, flags = trace.groups()
    span_id = secrets.token_hex(SPAN_BYTES)
    return RequestName(request_id, trace_id, f"00-{trace_id}-{span_id}-{flags}")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; `extra={"facts": {...}}` adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__  # its message may quote a request
        return json.dumps(line)


def is_json_wanted(log_format: str, stream: TextIO) -> bool:
    """Return whether lines are to be JSON; `auto` is text where a person looks on."""
    return not stream.isatty() if log_format == "auto" else log_format == "json"


def use_log_format(log_format: str) -> None:
    """Write what goes to standard error as JSON from now on, if that is wanted."""
    if not is_json_wanted(log_format, sys.stderr):
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setFormatter(JsonFormatter())
