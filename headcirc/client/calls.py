"""Questions to HTTP and HTTP to answers: what both clients share, without any waiting."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx

from headcirc.client.answers import (
    Analysis,
    HeadCircumference,
    ModelFacts,
    Models,
    SaliencyFigures,
    to_answer,
)
from headcirc.client.errors import ProblemError, UnexpectedAnswerError, UnreachableError
from headcirc.client.retries import (
    GATEWAY_STATUSES,
    RETRIED_STATUSES,
    Attempts,
    read_retry_after_s,
)

Answer = TypeVar("Answer")
JSON_TYPE, PNG_TYPE, PROBLEM_TYPE = "application/json", "image/png", "application/problem+json"
FILE_NAME = "image"
"""Sent for every picture: a file's own name may be a patient's."""


class Stated(TypedDict, total=False):
    """What a caller states about a picture: `pixel_size_mm`, or both of the others; a frame."""

    pixel_size_mm: float | None
    pixel_size_x_mm: float | None
    pixel_size_y_mm: float | None
    frame: int | None


SaliencyForm = Literal["overlay", "map"]
"""Over the picture, or the bare map: one channel, 0 to 255."""


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request, which can be sent again, and how its answer is read."""

    method: str
    path: str
    accept: str
    read: Callable[[httpx.Response], Answer]
    content: bytes | None = None
    fields: dict[str, str] | None = None
    query: dict[str, str] | None = None

    def to_arguments(self) -> dict[str, Any]:
        """Return what httpx wants to know."""
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "params": self.query}
        arguments["headers"] = {"accept": self.accept}
        if self.content is None:
            return arguments
        return arguments | {
            "files": {"image": (FILE_NAME, self.content)},
            "data": self.fields,
        }


def to_json_call(path: str, kind: type[Answer]) -> Call[Answer]:
    """Return a `GET` of one of the types of `answers`."""
    return Call("GET", path, JSON_TYPE, partial(read_json, kind=kind))


def to_png_call(path: str) -> Call[bytes]:
    """Return a `GET` of a picture."""
    return Call("GET", path, PNG_TYPE, read_png)


def to_post(asked: Call[Answer], content: bytes, stated: Stated) -> Call[Answer]:
    """Return a `GET` as a `POST` of a picture.

    Raises
    ------
    TypeError
        What would be sent in a picture's place, or passed over by the service.
    """
    if not isinstance(content, bytes):
        raise TypeError(f"The picture is a {type(content).__name__}; give its file's bytes.")
    unknown = stated.keys() - Stated.__annotations__.keys()
    if unknown:
        known = ", ".join(Stated.__annotations__)
        raise TypeError(f"{', '.join(sorted(unknown))} cannot be stated; {known} can.")
    fields = {name: str(value) for name, value in stated.items() if value is not None}
    return Call("POST", asked.path, asked.accept, asked.read, content, fields)


def analyze(content: bytes, stated: Stated) -> Call[Analysis]:
    """Measure a picture and keep the result."""
    return to_post(to_json_call("/v1/analyses", Analysis), content, stated)


def measure_head_circumference(content: bytes, stated: Stated) -> Call[HeadCircumference]:
    """Measure a picture, once."""
    return to_post(to_json_call("/v1/head-circumference", HeadCircumference), content, stated)


def measure_mask(content: bytes, stated: Stated) -> Call[bytes]:
    """Segment a picture, once."""
    return to_post(to_png_call("/v1/mask"), content, stated)


def read_analysis(analysis_id: str) -> Call[Analysis]:
    """Return what was measured."""
    return to_json_call(to_path(analysis_id), Analysis)


def read_head_circumference(analysis_id: str) -> Call[HeadCircumference]:
    """Return the number that was measured."""
    return to_json_call(to_path(analysis_id, "head-circumference"), HeadCircumference)


def read_picture(analysis_id: str, name: str) -> Call[bytes]:
    """Return a picture of what was measured: `image` or `mask`."""
    return to_png_call(to_path(analysis_id, name))


def read_overlay(analysis_id: str, *, caption: bool) -> Call[bytes]:
    """Return what was found, drawn over the picture."""
    return replace(to_png_call(to_path(analysis_id, "overlay")), query=_to_caption_query(caption))


def read_saliency(
    analysis_id: str, *, layer: str | None, blend: float, form: SaliencyForm, caption: bool
) -> Call[bytes]:
    """Return where the network looked, as a picture."""
    query = _to_saliency_query(form, layer) | {"blend": str(blend)} | _to_caption_query(caption)
    return replace(to_png_call(to_path(analysis_id, "saliency")), query=query)


def read_saliency_figures(analysis_id: str, layer: str | None) -> Call[SaliencyFigures]:
    """Return where the network looked, in figures."""
    asked = to_json_call(to_path(analysis_id, "saliency"), SaliencyFigures)
    return replace(asked, query=_to_saliency_query("json", layer))


def _to_caption_query(caption: bool) -> dict[str, str]:
    """Return nothing for the default, which services of earlier releases have too."""
    return {} if caption else {"caption": "false"}


def _to_saliency_query(form: str, layer: str | None) -> dict[str, str]:
    return {"format": form} if layer is None else {"format": form, "layer": layer}


def read_attention(analysis_id: str, level: int) -> Call[bytes]:
    """Return an attention gate's coefficients."""
    asked = to_png_call(to_path(analysis_id, "attention"))
    return replace(asked, query={"level": str(level)})


def list_models() -> Call[tuple[ModelFacts, ...]]:
    """Tell what is served."""
    return Call(
        "GET", "/v1/models", JSON_TYPE, lambda response: read_json(response, kind=Models).models
    )


def to_path(analysis_id: str, *parts: str) -> str:
    """Return where a kept result, or a part of it, is found."""
    return "/".join(["/v1/analyses", quote(analysis_id, safe=""), *parts])


def to_wait_s(response: httpx.Response, attempts: Attempts) -> float | None:
    """Return how long to wait before asking again, or None to take the answer as it is."""
    if response.status_code not in RETRIED_STATUSES and not _is_of_gateway(response):
        return None
    return attempts.to_wait_s(read_retry_after_s(response.headers.get("retry-after")))


def _is_of_gateway(response: httpx.Response) -> bool:
    """Return whether a gateway answered in the service's place: without a problem document."""
    return response.status_code in GATEWAY_STATUSES and not _is_problem(response)


def _is_problem(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == PROBLEM_TYPE


def to_unreachable(error: httpx.TransportError) -> UnreachableError:
    """Say that no answer came; the library's error names its kind."""
    return UnreachableError(
        f"The server does not answer ({type(error).__name__}); check its address and that it runs."
    )


def to_unexpected(error: httpx.DecodingError) -> UnexpectedAnswerError:
    """Say that an answer is not compressed as its headers say; asked again it would be the same."""
    return UnexpectedAnswerError(
        f"The server's answer cannot be unpacked ({error}); does a proxy change it?"
    )


def read_json(response: httpx.Response, *, kind: type[Answer]) -> Answer:
    """Return an answer's JSON as one of the types of `answers`.

    Raises
    ------
    ProblemError, UnexpectedAnswerError, UnreachableError
    """
    require_success(response)
    try:
        facts = response.json()
    except ValueError as error:
        raise UnexpectedAnswerError("The server's answer is no JSON; is it Headcirc?") from error
    return to_answer(kind, facts)


def read_png(response: httpx.Response) -> bytes:
    """Return an answer's picture, a PNG file; raises as `read_json` does."""
    require_success(response)
    if response.headers.get("content-type") != PNG_TYPE:
        raise UnexpectedAnswerError("The server's answer is no PNG; is it Headcirc?")
    return response.content


def require_success(response: httpx.Response) -> None:
    """Turn a refusal into its exception.

    Raises
    ------
    ProblemError, UnexpectedAnswerError, UnreachableError
    """
    if response.is_success:
        return
    status = response.status_code
    if _is_of_gateway(response):
        raise UnreachableError(
            f"A gateway answered {status} in the service's place; check that the service runs and "
            "is not too busy."
        )
    if not _is_problem(response):
        raise UnexpectedAnswerError(
            f"The server answered {status} without a problem document; is it Headcirc?"
        )
    try:
        facts = response.json()
        code, detail, request_id = (str(facts[each]) for each in ("code", "detail", "request_id"))
    except (ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswerError(
            f"The server's {status} came with a broken problem document."
        ) from error
    raise ProblemError(
        status,
        code=code,
        detail=detail,
        request_id=request_id,
        retry_after_s=read_retry_after_s(response.headers.get("retry-after")),
    )
