"""Answers of many bytes, which count as unread until their clients have read them."""

import weakref
from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

from headcirc_service.admission.renderers import Unread

PART_BYTES = 262_144
"""Bytes of an answer that the server gets at a time, so that no more wait in the connection."""


class Counted(Response):
    """An answer that counts as unread until the server has taken all of it.

    Parameters
    ----------
    content : bytes
    unread : Unread
    """

    def __init__(self, content: bytes, unread: Unread) -> None:
        super().__init__(content)
        unread.count(len(content))
        # This also runs if the answer is dropped before it is sent.
        self._settle: Any = weakref.finalize(self, unread.count, -len(content))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it in parts; the server waits after each part until the client has read it."""
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            view = memoryview(self.body)
            for begin in range(0, len(view), PART_BYTES):
                part = bytes(view[begin : begin + PART_BYTES])
                more = begin + PART_BYTES < len(view)
                await send({"type": "http.response.body", "body": part, "more_body": more})
        finally:
            self._settle()
