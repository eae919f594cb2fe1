"""The multipart form of the measuring routes, and the requests that are refused without reading it.

Starlette parses the form. It reads a part as a file only if the part has a plain `filename`; some
clients send the name as `filename*`, or send no name.
"""

import re
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from headcirc.readers import dicom, video
from headcirc_service.errors import EncodedBodyError, FormLimitError, MissingImageError
from headcirc_service.telemetry.request_context import BodyWatch, find_context

MAXIMUM_FIELDS, MAXIMUM_FIELD_BYTES = 8, 1_000
"""Limits of the fields besides the picture: a few numbers."""
FORM_TYPE = b"multipart/form-data"
IMAGE_FIELD = "image"
SHOWN_BYTES = dicom.MARK_AT + len(dicom.MARK)
"""So many first bytes of a file show whether it may hold many frames."""
EXTENDED_NAME = re.compile(rb";\s*filename\*", re.IGNORECASE)
FILE_TYPES = (b"image/", b"application/octet-stream", b"application/dicom")
NO_FORM = (
    "The body is not a multipart form; send the picture as a file in the form's field 'image'."
)
NO_IMAGE = "The form has no field 'image'; send the picture in it, as a file."
TEXT_IMAGE = (
    "The field 'image' holds text, not a file; send it with a file name or with an image's type."
)
OTHER_FIELD = "The form's file is in another field; send it in the field 'image'."
CUT_FORM = "The form ends before its last boundary: it did not arrive whole, or is damaged."
NAMELESS_PART = "A part of the form has no name; the picture's is 'image'."
NO_BOUNDARY = (
    "The Content-Type names no boundary between the form's parts; most HTTP libraries set it by "
    "themselves if the header is left to them."
)
TOO_MANY_FILES = "The form has more than one file; send one, in the field 'image'."
TOO_MANY_FIELDS = f"The form has more than {MAXIMUM_FIELDS} fields beside the file; send fewer."
FIELD_TOO_LONG = (
    f"A field of the form has more than {MAXIMUM_FIELD_BYTES} bytes; only the picture may, sent as "
    "a file with a file name or with an image's type."
)
TOO_MANY = "Too many files"
REFUSALS = {
    "Too many fields": FormLimitError(TOO_MANY_FIELDS),
    "Part exceeded": FormLimitError(FIELD_TOO_LONG),
    "The Content-Disposition": MissingImageError(NAMELESS_PART),
    "Missing boundary": MissingImageError(NO_BOUNDARY),
}
"""Our errors, by the beginning of Starlette's message."""


class ImageFormParser(MultiPartParser):
    """Starlette's parser, which also reads a picture without a plain `filename` as a file."""

    has_ended = False

    def __init__(self, *arguments: Any, body: BodyWatch | None, **limits: Any) -> None:
        super().__init__(*arguments, **limits)
        self._body = body
        self._start = b""
        """The first bytes of the file, until they show whether it may hold many frames."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Note whether the file may be large as soon as its first bytes show what it is."""
        missing = SHOWN_BYTES - len(self._start)
        if self._body is not None and self._current_part.file is not None and missing > 0:
            self._start += data[start : min(end, start + missing)]
            if len(self._start) == SHOWN_BYTES:
                self._body.note_kind(may_be_large=holds_frames(self._start))
        super().on_part_data(data, start, end)

    def on_headers_finished(self) -> None:
        """Give a file without a plain name a name; no code uses the name."""
        part = self._current_part
        disposition = part.content_disposition or b""
        _, options = parse_options_header(disposition)
        if b"filename" not in options and (
            EXTENDED_NAME.search(disposition)
            or (options.get(b"name") == IMAGE_FIELD.encode() and has_file_type(part.item_headers))
        ):
            part.content_disposition = disposition + b'; filename="image"'
        super().on_headers_finished()

    def on_end(self) -> None:
        """Note that the last boundary has arrived."""
        self.has_ended = True

    def close_files(self) -> None:
        """Close all files, including one that did not arrive completely."""
        for each in self._files_to_close_on_error:
            each.close()


def holds_frames(start: bytes) -> bool:
    """Return whether the first bytes of a file are those of a format for many frames."""
    return dicom.recognises(start) or video.recognises(start)


def has_file_type(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether the headers of a part state the type of a picture."""
    stated = dict(headers).get(b"content-type", b"")
    return stated.strip().lower().startswith(FILE_TYPES)


class FormRequest(Request):
    """A request that must have a multipart form with a picture; others are refused unread."""

    may_be_large = False
    """The body has the limits of files with many frames, whatever it holds."""
    too_many_files = TOO_MANY_FILES
    _read_form: FormData | None = None

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        """Return the form.

        Raises
        ------
        EncodedBodyError, FormLimitError, MissingImageError
        """
        if self._read_form is None:
            self._read_form = await self._parse(limits)
        return self._read_form

    async def _parse(self, limits: dict[str, Any]) -> FormData:
        stated = ",".join(self.headers.getlist("content-encoding")).lower().split(",")
        if not {each.strip() for each in stated} <= {"", "identity"}:
            raise EncodedBodyError(
                "The body is compressed (Content-Encoding), which is not supported; send it as it "
                "is. PNG and JPEG are compressed already."
            )
        content_type, _ = parse_options_header(self.headers.get("content-type"))
        if content_type != FORM_TYPE:
            raise MissingImageError(NO_FORM)
        try:
            async with aclosing(self.stream()) as stream:
                body = find_context(self.scope).body
                if body is not None and self.may_be_large:
                    body.note_kind(may_be_large=True)
                watched = None if self.may_be_large else body
                parser = ImageFormParser(self.headers, stream, body=watched, **limits)
                form = await parser.parse()
        except MultiPartException as error:
            if error.message.startswith(TOO_MANY):
                raise FormLimitError(self.too_many_files) from error
            found = (REFUSALS[each] for each in REFUSALS if error.message.startswith(each))
            raise next(found, MissingImageError(CUT_FORM)) from error
        try:
            if body is not None:
                body.require_size()
            if not parser.has_ended:  # a pixel size may be among what is lacking
                raise MissingImageError(CUT_FORM)
            require_image(form)
        except (HTTPException, MissingImageError):
            parser.close_files()
            raise
        return form


def require_image(form: FormData) -> None:
    """Refuse a form without a picture, with the reason.

    Raises
    ------
    MissingImageError
    """
    images = form.getlist(IMAGE_FIELD)
    if any(isinstance(each, UploadFile) for each in images):
        return
    if images:
        raise MissingImageError(TEXT_IMAGE)
    if any(isinstance(each, UploadFile) for each in form.values()):
        raise MissingImageError(OTHER_FIELD)
    raise MissingImageError(NO_IMAGE)


class FormRoute(APIRoute):
    """A route that reads its form with `FormRequest`."""

    request_class = FormRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            return await handle(self.request_class(request.scope, request.receive))

        return handle_form
