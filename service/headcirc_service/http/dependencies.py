"""Dependencies of the routes: the measurer, the form, and checks of the request's headers."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Form, Request, UploadFile
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from headcirc.errors import (
    InputError,
    InvalidFrameError,
    InvalidGestationalAgeError,
    InvalidPixelSizeError,
)
from headcirc.geometry import StatedScale
from headcirc.growth import PLAUSIBLE_DAYS, require_gestational_age
from headcirc.readers.pixel_size import (
    MAXIMUM_MARK_MM,
    MAXIMUM_PIXEL_SIZE_MM,
    MINIMUM_MARK_MM,
    MINIMUM_PIXEL_SIZE_MM,
    to_scale_marks,
    to_stated_spacing,
)
from headcirc_service.errors import AnalysisNotFoundError, NotReadyError
from headcirc_service.http.problems import NOT_KEPT
from headcirc_service.measuring.measurer import Measurer, Question
from headcirc_service.results.result_names import is_in_scope
from headcirc_service.telemetry.request_context import find_context

REFUSED_TWICE: dict[str, type[InputError]] = {
    "pixel_size_mm": InvalidPixelSizeError,
    "pixel_size_x_mm": InvalidPixelSizeError,
    "pixel_size_y_mm": InvalidPixelSizeError,
    "scale_mark_mm": InvalidPixelSizeError,
    "frame": InvalidFrameError,
    "gestational_age_days": InvalidGestationalAgeError,
}
"""Fields of the form, and the error if a field is sent twice."""
FORM_TYPE = "multipart/form-data"
IMAGE = "PNG, JPEG, BMP, TIFF, WebP, DICOM, or a frame of MP4 or AVI"
EXAMPLE_MM = 0.1277
"""Pixel size of the phantom in the example of `/docs`."""
LEFT_OUT = ""
"""The first value of a field in `/docs`; without it `/docs` would send 0, which is refused."""
WEIGHT = re.compile(r"q=([01](?:\.[0-9]*)?)")
"""The weight of a media range; 0 refuses it (RFC 9110, 12.4.2)."""


async def require_measurer(request: Request) -> Measurer:
    """Return the measurer, or refuse while no model is loaded."""
    measurer: Measurer | None = getattr(request.app.state, "measurer", None)
    if measurer is None:
        raise NotReadyError("The model is not loaded; try again in a second.")
    return measurer


def read_accept(request: Request) -> dict[str, float]:
    """Return the weight of each media range of the Accept header."""
    weights = {}
    for part in ",".join(request.headers.getlist("accept")).lower().split(","):
        media_range, *parameters = (each.strip() for each in part.split(";"))
        found = (WEIGHT.fullmatch(each) for each in parameters)
        weights[media_range] = next((float(each[1]) for each in found if each), 1.0)
    return weights


def weigh(accepted: dict[str, float], media_type: str) -> float:
    """Return how much a caller wants a media type; 0 excludes it."""
    kind = media_type.split("/", maxsplit=1)[0]
    # The most specific range decides; an empty header excludes nothing.
    most_specific_first = (media_type, f"{kind}/*", "*/*", "")
    return next((accepted[each] for each in most_specific_first if each in accepted), 0.0)


def require_acceptable(request: Request, media_type: str) -> None:
    """Refuse a request if its Accept header excludes the media type of the answer."""
    if not weigh(read_accept(request), media_type):
        raise HTTPException(406, f"The answer is {media_type}; the Accept header excludes it.")


def prefers(request: Request, media_type: str, plain_type: str) -> bool:
    """Return whether a caller names a media type, and wants it at least as much as the plain one.

    A range such as `*/*` names neither; then the answer is the plain one.
    """
    accepted = read_accept(request)
    weight = accepted.get(media_type, 0.0)
    return weight > 0 and weight >= weigh(accepted, plain_type)


async def accept_json(request: Request) -> None:
    """Refuse callers that do not accept JSON."""
    require_acceptable(request, "application/json")


async def accept_png(request: Request) -> None:
    """Refuse callers that do not accept PNG."""
    require_acceptable(request, "image/png")


async def accept_svg(request: Request) -> None:
    """Refuse callers that do not accept SVG."""
    require_acceptable(request, "image/svg+xml")


async def watch_client(request: Request) -> Callable[[], Awaitable[None]]:
    """Return a function that waits until the client has left; call it after the body is read."""

    async def wait_until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    return wait_until_gone


def describe_optional(**schema: object) -> WithJsonSchema:
    """Return the schema of an optional field; `/docs` shows its example first."""
    return WithJsonSchema({"example": LEFT_OUT} | schema)


SIZE_SCHEMA = {"type": "number", "minimum": MINIMUM_PIXEL_SIZE_MM, "maximum": MAXIMUM_PIXEL_SIZE_MM}
SquareSize = Annotated[float | None, describe_optional(**SIZE_SCHEMA, example=EXAMPLE_MM)]
SideSize = Annotated[float | None, describe_optional(**SIZE_SCHEMA)]
AgeDays = Annotated[
    int | None,
    describe_optional(type="integer", minimum=PLAUSIBLE_DAYS[0], maximum=PLAUSIBLE_DAYS[1]),
]
MarkDistance = Annotated[
    float | None,
    describe_optional(type="number", minimum=MINIMUM_MARK_MM, maximum=MAXIMUM_MARK_MM),
]
FrameIndex = Annotated[int | None, describe_optional(type="integer", minimum=0)]


class ScaleForm(BaseModel):
    """The fields of a form that state the scale of a picture.

    One model for a whole form: FastAPI takes several times as long for as many single fields.
    """

    pixel_size_mm: SquareSize = Field(None, description="of square pixels, in mm")
    pixel_size_x_mm: SideSize = Field(None, description="width of a pixel, in mm")
    pixel_size_y_mm: SideSize = Field(None, description="height of a pixel, in mm")
    scale_mark_mm: MarkDistance = Field(
        None, description="of the depth scale's marks, in mm: the pixel size is found by them"
    )

    def to_stated(self) -> StatedScale | None:
        """Return what is stated, or None.

        Raises
        ------
        InvalidPixelSizeError
        """
        spacing = to_stated_spacing(
            self.pixel_size_mm,
            pixel_size_x_mm=self.pixel_size_x_mm,
            pixel_size_y_mm=self.pixel_size_y_mm,
        )
        if self.scale_mark_mm is None:
            return spacing
        if spacing is not None:
            raise InvalidPixelSizeError(
                "Both a pixel size and scale_mark_mm were given; state either the pixel size, or "
                "how far the marks of the depth scale are apart."
            )
        return to_scale_marks(self.scale_mark_mm)


class PictureForm(ScaleForm):
    """The form that all measuring routes share."""

    image: UploadFile = Field(description=IMAGE)
    frame: FrameIndex = Field(None, description="0-based, of a multi-frame file")
    gestational_age_days: AgeDays = Field(
        None, description="by last menstrual period or early scan, for growth centiles"
    )


def require_single_fields(form: FormData) -> None:
    """Refuse a form that states a fact twice; raises the error of that fact."""
    for name, refusal in REFUSED_TWICE.items():
        if len(form.getlist(name)) > 1:
            raise refusal(f"{name} was given more than once; give it once.")


async def read_question(
    request: Request,
    owner: Annotated[Measurer, Depends(require_measurer)],
    form: Annotated[PictureForm, Form(media_type=FORM_TYPE)],
) -> AsyncIterator[Question]:
    """Read the multipart form of a picture; its file stays until the answer.

    Raises
    ------
    InvalidPixelSizeError, InvalidFrameError, InvalidGestationalAgeError, OverloadedError
    """
    require_single_fields(await request.form())  # already parsed
    stated = form.to_stated()
    age_days = require_gestational_age(form.gestational_age_days)
    scope = find_context(request.scope).result_scope
    with owner.large_files.take(form.image.size or 0):
        content = await form.image.read()
        yield Question(content, stated, form.frame, scope, gestational_age_days=age_days)


async def require_own_id(analysis_id: str, request: Request) -> str:
    """Return the id of a result that the caller may read.

    Raises
    ------
    AnalysisNotFoundError
        Results are separated by key, and this one belongs to another key.
    """
    if not is_in_scope(analysis_id, find_context(request.scope).result_scope):
        raise AnalysisNotFoundError(NOT_KEPT)
    return analysis_id


Owner = Annotated[Measurer, Depends(require_measurer)]
OwnId = Annotated[str, Depends(require_own_id)]
Asked = Annotated[Question, Depends(read_question)]
Watch = Annotated[Callable[[], Awaitable[None]], Depends(watch_client)]
TAKES_JSON = Depends(accept_json)
TAKES_PNG = Depends(accept_png)
TAKES_SVG = Depends(accept_svg)
KEYED = Depends(HTTPBearer(auto_error=False, description="Where the service was given API keys."))
"""Documents the keys in the OpenAPI document; the gate checks them before the route is found."""
