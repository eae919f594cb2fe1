"""Build requests and read responses: what both clients share, without any input or output."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx

from headcirc.client.answers import (
    Analysis,
    CineFault,
    CineFrame,
    CineLine,
    CineStart,
    CineSummary,
    HeadCircumference,
    HeadEllipse,
    ModelFacts,
    Models,
    SaliencyFigures,
    ScaleProposal,
    to_answer,
)
from headcirc.client.errors import ProblemError, UnexpectedAnswerError, UnreachableError
from headcirc.client.retries import (
    PROXY_STATUSES,
    RETRIED_STATUSES,
    Attempts,
    read_retry_after_s,
)

Answer = TypeVar("Answer")
JSON_TYPE, PROBLEM_TYPE = "application/json", "application/problem+json"
FHIR_TYPE, DICOM_TYPE = "application/fhir+json", "application/dicom"
PNG_TYPE, SVG_TYPE = "image/png", "image/svg+xml"
NDJSON_TYPE = "application/x-ndjson"
FILE_NAME = "image"
"""Sent for every image: a real file name may contain a patient's name."""


class Stated(TypedDict, total=False):
    """What a caller states: the pixel size, as one number or two, the frame, and the age.

    In place of the pixel size: the distance between the marks of the image's depth scale.
    """

    pixel_size_mm: float | None
    pixel_size_x_mm: float | None
    pixel_size_y_mm: float | None
    scale_mark_mm: float | None
    frame: int | None
    gestational_age_days: int | None


ReportKind = Literal["sr", "seg", "capture"]
"""Structured report, segmentation, captioned picture."""
SaliencyForm = Literal["overlay", "map"]
"""Over the image, or the map alone: one channel, 0 to 255."""


ChartForm = Literal["png", "svg"]


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request, which can be sent more than once, and how to read its answer."""

    method: str
    path: str
    accept: str
    read: Callable[[httpx.Response], Answer]
    contents: tuple[bytes, ...] = ()
    fields: dict[str, str] | None = None
    facts: Mapping[str, Any] | None = None
    if_match: str | None = None
    query: Mapping[str, str | list[str]] | None = None

    def to_arguments(self) -> dict[str, Any]:
        """Return the arguments of `httpx.Client.request`."""
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "params": self.query}
        arguments["headers"] = {"accept": self.accept}
        if self.if_match is not None:
            arguments["headers"]["if-match"] = self.if_match
        if self.facts is not None:
            arguments["json"] = self.facts
        if not self.contents:
            return arguments
        return arguments | {
            "files": [("image", (FILE_NAME, each)) for each in self.contents],
            "data": self.fields,
        }


def to_json_call(path: str, kind: type[Answer]) -> Call[Answer]:
    """Return a `GET` of one of the types of `answers`."""
    return Call("GET", path, JSON_TYPE, partial(read_json, kind=kind))


def to_analysis_call(method: str, path: str) -> Call[Analysis]:
    """Return a request that is answered with an analysis and the tag of its version."""
    return Call(method, path, JSON_TYPE, read_analysis_answer)


def to_png_call(path: str) -> Call[bytes]:
    """Return a `GET` of a PNG."""
    return Call("GET", path, PNG_TYPE, read_png)


def to_post(asked: Call[Answer], content: bytes, stated: Stated) -> Call[Answer]:
    """Return a `GET` as a `POST` of an image.

    Raises
    ------
    TypeError
        The content is not bytes, or the service does not know a stated field.
    """
    fields = _to_known_fields(stated, Stated.__annotations__)
    return replace(asked, method="POST", contents=(_require_bytes(content),), fields=fields)


def _require_bytes(content: object) -> bytes:
    if not isinstance(content, bytes):
        raise TypeError(f"The image is a {type(content).__name__}; give its file's bytes.")
    return content


def _to_known_fields(stated: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str]:
    """Return what is stated as text, without what is None; refuse a name that is not known."""
    unknown = stated.keys() - known.keys()
    if unknown:
        names = ", ".join(known)
        raise TypeError(f"{', '.join(sorted(unknown))} cannot be stated; {names} can.")
    return {name: str(value) for name, value in stated.items() if value is not None}


def analyze(content: bytes, stated: Stated) -> Call[Analysis]:
    """Measure an image and store the result."""
    return to_post(to_analysis_call("GET", "/v1/analyses"), content, stated)


def measure_head_circumference(content: bytes, stated: Stated) -> Call[HeadCircumference]:
    """Measure the head circumference in an image."""
    return to_post(to_json_call("/v1/head-circumference", HeadCircumference), content, stated)


def measure_mask(content: bytes, stated: Stated) -> Call[bytes]:
    """Segment the head in an image."""
    return to_post(to_png_call("/v1/mask"), content, stated)


def make_report(
    content: bytes, kind: ReportKind, *, template: str | None, stated: Stated
) -> Call[bytes]:
    """Measure a DICOM file and build a report about it."""
    query = None if template is None else {"template": template}
    asked = Call("GET", f"/v1/{kind}", DICOM_TYPE, read_dicom, query=query)
    return to_post(asked, content, stated)


def find_scale_bar(content: bytes) -> Call[ScaleProposal]:
    """Find the depth scale beside an image."""
    return to_post(to_json_call("/v1/scale-bar", ScaleProposal), content, {})


class CineStated(TypedDict, total=False):
    """What a caller states about all frames of a cine; see `Stated`."""

    pixel_size_mm: float | None
    pixel_size_x_mm: float | None
    pixel_size_y_mm: float | None
    scale_mark_mm: float | None


def stream_cine(content: bytes | Sequence[bytes], stated: CineStated) -> Call[CineLine]:
    """Measure every frame of a cine; each line of the answer is read by `read_cine_line`."""
    contents = [content] if isinstance(content, bytes) else content
    return Call(
        "POST",
        "/v1/cine",
        NDJSON_TYPE,
        lambda response: read_cine_line(response.text),
        contents=tuple(_require_bytes(each) for each in contents),
        fields=_to_known_fields(stated, CineStated.__annotations__),
    )


def read_analysis(analysis_id: str) -> Call[Analysis]:
    """Read a stored result."""
    return to_analysis_call("GET", to_path(analysis_id))


def correct(
    analysis: Analysis, ellipse: HeadEllipse, *, by: str, note: str | None
) -> Call[Analysis]:
    """Put a person's ellipse beside the automatic one of a stored result."""
    facts = {"ellipse": asdict(ellipse), "by": by, "note": note}
    return replace(_to_change("PUT", analysis), facts=facts)


def reset_correction(analysis: Analysis) -> Call[Analysis]:
    """Go back to the automatic ellipse of a stored result."""
    return _to_change("DELETE", analysis)


def _to_change(method: str, analysis: Analysis) -> Call[Analysis]:
    asked = to_analysis_call(method, to_path(analysis.id, "correction"))
    return replace(asked, if_match=analysis.etag)


class FhirStated(TypedDict, total=False):
    """Whom a FHIR Bundle is about, and the DICOM object that was measured, by its identifiers."""

    subject: str | None
    focus: str | None
    study_uid: str | None
    series_uid: str | None
    instance_uid: str | None
    sop_class_uid: str | None


def read_fhir_bundle(analysis_id: str, stated: FhirStated) -> Call[dict[str, Any]]:
    """Read a stored result as a FHIR R4 Bundle.

    Raises
    ------
    TypeError
        The service does not know a stated field.
    """
    fields = _to_known_fields(stated, FhirStated.__annotations__)
    return Call("GET", to_path(analysis_id), FHIR_TYPE, read_fhir, query=fields)


def read_head_circumference(analysis_id: str) -> Call[HeadCircumference]:
    """Read the head circumference of a stored result."""
    return to_json_call(to_path(analysis_id, "head-circumference"), HeadCircumference)


def read_picture(analysis_id: str, name: str) -> Call[bytes]:
    """Read a picture of a stored result: `image` or `mask`."""
    return to_png_call(to_path(analysis_id, name))


def read_overlay(analysis_id: str, *, caption: bool) -> Call[bytes]:
    """Return what was found, drawn over the picture."""
    return replace(to_png_call(to_path(analysis_id, "overlay")), query=_to_caption_query(caption))


def read_growth_chart(
    analysis_id: str, *, form: ChartForm, earlier: Sequence[tuple[int, float]]
) -> Call[bytes]:
    """Read the growth chart of a stored result."""
    kind = {"png": PNG_TYPE, "svg": SVG_TYPE}[form]
    path = to_path(analysis_id, f"growth.{form}")
    points = [f"{days}:{value_mm}" for days, value_mm in earlier]
    return Call("GET", path, kind, partial(read_file, kind=kind), query={"earlier": points})


def read_saliency(
    analysis_id: str, *, layer: str | None, blend: float, form: SaliencyForm, caption: bool
) -> Call[bytes]:
    """Read the saliency map of a stored result as a picture."""
    query = _to_saliency_query(form, layer) | {"blend": str(blend)} | _to_caption_query(caption)
    return replace(to_png_call(to_path(analysis_id, "saliency")), query=query)


def read_saliency_figures(analysis_id: str, layer: str | None) -> Call[SaliencyFigures]:
    """Read how concentrated the saliency map of a stored result is."""
    asked = to_json_call(to_path(analysis_id, "saliency"), SaliencyFigures)
    return replace(asked, query=_to_saliency_query("json", layer))


def _to_caption_query(caption: bool) -> dict[str, str]:
    """Return nothing for the default, which services of earlier releases have too."""
    return {} if caption else {"caption": "false"}


def _to_saliency_query(form: str, layer: str | None) -> dict[str, str]:
    return {"format": form} if layer is None else {"format": form, "layer": layer}


def read_attention(analysis_id: str, level: int) -> Call[bytes]:
    """Read the coefficients of an attention gate."""
    asked = to_png_call(to_path(analysis_id, "attention"))
    return replace(asked, query={"level": str(level)})


def list_models() -> Call[tuple[ModelFacts, ...]]:
    """List the served models."""
    return Call(
        "GET", "/v1/models", JSON_TYPE, lambda response: read_json(response, kind=Models).models
    )


def to_path(analysis_id: str, *parts: str) -> str:
    """Return the path of a stored result or of a part of it."""
    return "/".join(["/v1/analyses", quote(analysis_id, safe=""), *parts])


def to_wait_s(response: httpx.Response, attempts: Attempts) -> float | None:
    """Return how long to wait before the next attempt, or None to accept this answer."""
    if response.status_code not in RETRIED_STATUSES and not _is_of_proxy(response):
        return None
    return attempts.to_wait_s(read_retry_after_s(response.headers.get("retry-after")))


def _is_of_proxy(response: httpx.Response) -> bool:
    """Return whether a reverse proxy answered, not the service: without a problem document."""
    return response.status_code in PROXY_STATUSES and not _is_problem(response)


def _is_problem(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == PROBLEM_TYPE


def to_unreachable(error: httpx.TransportError) -> UnreachableError:
    """Return the error for a request without an answer."""
    return UnreachableError(
        f"The server does not answer ({type(error).__name__}); check its address and that it runs."
    )


def to_unexpected(error: httpx.DecodingError) -> UnexpectedAnswerError:
    """Return the error for an answer that cannot be decompressed; trying again would not help."""
    return UnexpectedAnswerError(
        f"The server's answer cannot be decompressed ({error}); does a proxy change it?"
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
        raise UnexpectedAnswerError("The server's answer is not JSON; is it Headcirc?") from error
    return to_answer(kind, facts)


def read_analysis_answer(response: httpx.Response) -> Analysis:
    """Return an answer's analysis with its version; raises as `read_json` does."""
    # A proxy that compresses answers marks their tags as weak, and a weak one never matches.
    etag = response.headers.get("etag", "").removeprefix("W/")
    return replace(read_json(response, kind=Analysis), etag=etag)


CINE_LINES: Mapping[str, type[CineLine | CineFault]] = {
    "start": CineStart,
    "frame": CineFrame,
    "summary": CineSummary,
    "error": CineFault,
}


def read_cine_line(text: str) -> CineLine:
    """Return one line of a cine.

    Raises
    ------
    ProblemError
        The line says that the cine cannot be measured to its end.
    UnexpectedAnswerError
    """
    try:
        facts = json.loads(text)
        kind = CINE_LINES[facts["type"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswerError("A line of the answer is not known; is it Headcirc?") from error
    line = to_answer(kind, facts)
    if isinstance(line, CineFault):
        raise ProblemError(
            line.status, code=line.code, detail=line.detail, request_id=line.request_id
        )
    return line


def require_summary(last: CineLine | None) -> None:
    """Raise `UnreachableError` if the last line that arrived is not the summary."""
    if not isinstance(last, CineSummary):
        raise UnreachableError(
            "The connection ended before the cine was measured; send it again, or a shorter one."
        )


def read_fhir(response: httpx.Response) -> dict[str, Any]:
    """Return the Bundle of an answer; raises as `read_json` does."""
    content = read_file(response, kind=FHIR_TYPE)
    try:
        bundle = json.loads(content)
    except ValueError:
        bundle = None
    if not isinstance(bundle, dict):
        raise UnexpectedAnswerError("The server's answer is no FHIR Bundle; is it Headcirc?")
    return bundle


def read_png(response: httpx.Response) -> bytes:
    """Return the PNG file of an answer; raises as `read_json` does."""
    return read_file(response, kind=PNG_TYPE)


def read_dicom(response: httpx.Response) -> bytes:
    """Return the DICOM file of an answer; raises as `read_json` does."""
    return read_file(response, kind=DICOM_TYPE)


def read_file(response: httpx.Response, *, kind: str) -> bytes:
    """Return the file of an answer, of one media type; raises as `read_json` does."""
    require_success(response)
    if response.headers.get("content-type") != kind:
        raise UnexpectedAnswerError(f"The server's answer is not {kind}; is it Headcirc?")
    return response.content


def require_success(response: httpx.Response) -> None:
    """Raise the exception of a refusal.

    Raises
    ------
    ProblemError, UnexpectedAnswerError, UnreachableError
    """
    if response.is_success:
        return
    status = response.status_code
    if _is_of_proxy(response):
        raise UnreachableError(
            f"A reverse proxy answered {status} instead of the service; check that the service "
            "runs and is not too busy."
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
            f"The server's {status} has an invalid problem document."
        ) from error
    raise ProblemError(
        status,
        code=code,
        detail=detail,
        request_id=request_id,
        retry_after_s=read_retry_after_s(response.headers.get("retry-after")),
    )
