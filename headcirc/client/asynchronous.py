"""The client. `make client` generates `synchronous.py` from `asynchronous.py`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from headcirc.client import calls
from headcirc.client.answers import (
    Analysis,
    CineLine,
    HeadCircumference,
    HeadEllipse,
    ModelFacts,
    SaliencyFigures,
    ScaleProposal,
)
from headcirc.client.calls import (
    Call,
    ChartForm,
    CineStated,
    FhirStated,
    ReportKind,
    SaliencyForm,
    Stated,
)
from headcirc.client.retries import Attempts, RetryPolicy
from headcirc.client.server import require_server_url, to_headers

Answer = TypeVar("Answer")
TIMEOUT_S = 30.0
DEFAULT_RETRIES = RetryPolicy()


class AsyncHeadcircClient:
    """Ask a service; close the client after use, or use it as a context manager.

    Every method raises `ProblemError` (the service refused), `UnreachableError` (no answer came) or
    `UnexpectedAnswerError`. Several callers may share a client at the same time.

    Parameters
    ----------
    server_url : str
        For example `http://127.0.0.1:8000`.
    api_key : str, optional
        If the service requires one.
    timeout_s : float
        How long one attempt waits for data from the server.
    retries : RetryPolicy
        When and how long a call tries again.
    transport : httpx transport, optional
        Replaces the network in tests.
    """

    def __init__(
        self,
        server_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: RetryPolicy = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=require_server_url(server_url),
            headers=to_headers(api_key),
            transport=transport,
        )
        self._timeout_s = timeout_s
        self._retries = retries

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def analyze(self, content: bytes, **stated: Unpack[Stated]) -> Analysis:
        """Measure the head in one file; the service stores the result for a limited time."""
        return await self._ask(calls.analyze(content, stated))

    async def measure_head_circumference(
        self, content: bytes, **stated: Unpack[Stated]
    ) -> HeadCircumference:
        """Measure the head in one file; no head and no pixel size are a `ProblemError`."""
        return await self._ask(calls.measure_head_circumference(content, stated))

    async def measure_mask(self, content: bytes, **stated: Unpack[Stated]) -> bytes:
        """Return the mask of the head in one file as a PNG of 0 and 255.

        No head is a `ProblemError`.
        """
        return await self._ask(calls.measure_mask(content, stated))

    async def make_report(
        self,
        content: bytes,
        kind: ReportKind,
        *,
        template: str | None = None,
        **stated: Unpack[Stated],
    ) -> bytes:
        """Measure a DICOM file and return a DICOM file about it.

        Parameters
        ----------
        content : bytes
            A DICOM file.
        kind : str
            `sr`: structured report; `seg`: segmentation; `capture`: captioned picture.
        template : str, optional
            Of a structured report: 1500 (default) or 5000.
        **stated
            As for `analyze`.
        """
        call = calls.make_report(content, kind, template=template, stated=stated)
        return await self._ask(call)

    async def find_scale_bar(self, content: bytes) -> ScaleProposal:
        """Find the depth scale beside an image, for a person to confirm; nothing is measured."""
        return await self._ask(calls.find_scale_bar(content))

    async def stream_cine(
        self, content: bytes | Sequence[bytes], **stated: Unpack[CineStated]
    ) -> AsyncIterator[CineLine]:
        """Measure every frame of a cine, and yield each line as it arrives.

        A start, a line for each frame, and a summary. It is tried again only before the first line.

        Parameters
        ----------
        content : bytes or sequence of bytes
            A multi-frame DICOM file, an MP4 or an AVI; or pictures, in turn.
        **stated
            The pixel size of all frames, or the distance between the marks of their depth scale.
        """
        call = calls.stream_cine(content, stated)
        attempts = Attempts(self._retries)
        last: CineLine | None = None
        while True:
            arguments = call.to_arguments() | {"timeout": self._timeout_s}
            try:
                async with self._http.stream(**arguments) as response:
                    wait_s = calls.to_wait_s(response, attempts)
                    if wait_s is None:
                        if not response.is_success:
                            await response.aread()
                            calls.require_success(response)
                        async for line in response.aiter_lines():
                            last = calls.read_cine_line(line)
                            yield last
                        calls.require_summary(last)
                        return
            except httpx.TransportError as error:
                wait_s = None if last is not None else attempts.to_wait_s()
                if wait_s is None:
                    raise calls.to_unreachable(error) from error
            except httpx.DecodingError as error:
                raise calls.to_unexpected(error) from error
            await asyncio.sleep(wait_s)

    async def read_analysis(self, analysis_id: str) -> Analysis:
        """Return a stored result."""
        return await self._ask(calls.read_analysis(analysis_id))

    async def correct(
        self, analysis: Analysis, ellipse: HeadEllipse, *, by: str, note: str | None = None
    ) -> Analysis:
        """Put a person's ellipse beside the automatic one of a stored result; it counts from then.

        Parameters
        ----------
        analysis : Analysis
            The version that the person has seen. If the result has changed since, this is a
            `ProblemError` with the code `precondition-failed`: read it again.
        ellipse : HeadEllipse
            In pixels of the upright image.
        by : str
            Who drew it; at most 63 characters.
        note : str, optional
            At most 500 characters, without data of a patient.
        """
        return await self._ask(calls.correct(analysis, ellipse, by=by, note=note))

    async def reset_correction(self, analysis: Analysis) -> Analysis:
        """Go back to the automatic ellipse of a stored result; `analysis` is as for `correct`."""
        return await self._ask(calls.reset_correction(analysis))

    async def read_fhir_bundle(
        self, analysis_id: str, **stated: Unpack[FhirStated]
    ) -> dict[str, Any]:
        """Return a stored result as a FHIR R4 Bundle.

        `subject` and `focus` are references, such as `Patient/123`; the DICOM identifiers
        (`study_uid` and so on) are those of the object that was measured.
        """
        return await self._ask(calls.read_fhir_bundle(analysis_id, stated))

    async def read_head_circumference(self, analysis_id: str) -> HeadCircumference:
        """Return the head circumference of a stored result."""
        return await self._ask(calls.read_head_circumference(analysis_id))

    async def read_mask(self, analysis_id: str) -> bytes:
        """Return the mask of a stored result as a PNG of 0 and 255."""
        return await self._ask(calls.read_picture(analysis_id, "mask"))

    async def read_image(self, analysis_id: str) -> bytes:
        """Return the upright grey image that was measured as a PNG."""
        return await self._ask(calls.read_picture(analysis_id, "image"))

    async def read_overlay(self, analysis_id: str, *, caption: bool = True) -> bytes:
        """Return the image with mask edge, ellipse and both axes, and a caption below, as a PNG."""
        return await self._ask(calls.read_overlay(analysis_id, caption=caption))

    async def read_growth_chart(
        self,
        analysis_id: str,
        *,
        form: ChartForm = "png",
        earlier: Sequence[tuple[int, float]] = (),
    ) -> bytes:
        """Return a growth chart with the circumference at the gestational age that was stated.

        Parameters
        ----------
        analysis_id : str
        form : str
            `png` or `svg`.
        earlier : sequence of (gestational age in days, circumference in mm)
            Measured before; they are drawn too.
        """
        return await self._ask(calls.read_growth_chart(analysis_id, form=form, earlier=earlier))

    async def read_saliency(
        self,
        analysis_id: str,
        *,
        layer: str | None = None,
        blend: float = 0.5,
        form: SaliencyForm = "overlay",
        caption: bool = True,
    ) -> bytes:
        """Return the saliency map (Grad-CAM) as a PNG.

        Parameters
        ----------
        analysis_id : str
        layer : str, optional
            One of the model's `saliency_layers`; by default its `default_saliency_layer`.
        blend : float
            Opacity of the map in the overlay: 0 shows the image alone, 1 the map alone.
        form : str
            `overlay`, or `map` for the map alone: one channel, 0 to 255.
        caption : bool
            Whether the overlay has a caption below with the number and its warnings.
        """
        asked = calls.read_saliency(
            analysis_id, layer=layer, blend=blend, form=form, caption=caption
        )
        return await self._ask(asked)

    async def read_saliency_figures(
        self, analysis_id: str, *, layer: str | None = None
    ) -> SaliencyFigures:
        """Return what share of a layer's map lies in the head and at its edge."""
        return await self._ask(calls.read_saliency_figures(analysis_id, layer))

    async def read_attention(self, analysis_id: str, level: int) -> bytes:
        """Return the coefficients of an attention gate as a PNG; 255 stands for 1.

        The model's `attention_levels` lists the gates.
        """
        return await self._ask(calls.read_attention(analysis_id, level))

    async def list_models(self) -> tuple[ModelFacts, ...]:
        """Return the served models, where they run and their measured accuracy."""
        return await self._ask(calls.list_models())

    async def _ask(self, call: Call[Answer]) -> Answer:
        """Send a request, retry it while the policy allows, and read the answer."""
        attempts = Attempts(self._retries)
        while True:
            timeout_s = min(self._timeout_s, attempts.left_s)
            try:
                response = await self._http.request(**call.to_arguments(), timeout=timeout_s)
            except httpx.TransportError as error:
                wait_s = attempts.to_wait_s()
                if wait_s is None:
                    raise calls.to_unreachable(error) from error
            except httpx.DecodingError as error:
                raise calls.to_unexpected(error) from error
            else:
                wait_s = calls.to_wait_s(response, attempts)
                if wait_s is None:
                    return call.read(response)
            await asyncio.sleep(wait_s)
