"""Logs: one JSON object per line.

Lines hold routes, statuses, times, request ids and problem codes. They never hold a file name, a
form field, a query or content.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; `extra={"facts": {...}}` adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as a line."""
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
    """Return whether lines are JSON; `auto` means text on a terminal."""
    return not stream.isatty() if log_format == "auto" else log_format == "json"


def use_log_format(log_format: str) -> None:
    """Write the log to standard error as JSON from now on, if the format asks for it."""
    if not is_json_wanted(log_format, sys.stderr):
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setFormatter(JsonFormatter())
