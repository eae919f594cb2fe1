"""The client that blocks."""

import time
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from headcirc.client import calls
from headcirc.client.answers import Analysis, HeadCircumference, ModelFacts, SaliencyFigures
from headcirc.client.calls import Call, SaliencyForm, Stated
from headcirc.client.retries import Attempts, RetryPolicy
from headcirc.client.server import require_server_url, to_headers

Answer = TypeVar("Answer")
TIMEOUT_S = 30.0
DEFAULT_RETRIES = RetryPolicy()


class HeadcircClient:
    """Ask a service and wait for its answers; to be closed, or used in a `with` statement.

    Every method raises `ProblemError` (the service refused), `UnreachableError`
    (no answer came) or `UnexpectedAnswerError`. Several threads may use one.

    Parameters
    ----------
    server_url : str
        For example `http://127.0.0.1:8000`.
    api_key : str, optional
        Where the service wants one.
    timeout_s : float
        Of one attempt: the longest silence of the server.
    retries : RetryPolicy
        Of a whole call.
    transport : httpx.BaseTransport, optional
        Instead of the network, for tests.
    """

    def __init__(
        self,
        server_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: RetryPolicy = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=require_server_url(server_url),
            headers=to_headers(api_key),
            transport=transport,
        )
        self._timeout_s = timeout_s
        self._retries = retries

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def analyze(self, content: bytes, **stated: Unpack[Stated]) -> Analysis:
        """Measure the head in one file; the service keeps the result for a while."""
        return self._ask(calls.analyze(content, stated))

    def measure_head_circumference(
        self, content: bytes, **stated: Unpack[Stated]
    ) -> HeadCircumference:
        """Measure the head in one file; no head and no pixel size are a `ProblemError`."""
        return self._ask(calls.measure_head_circumference(content, stated))

    def measure_mask(self, content: bytes, **stated: Unpack[Stated]) -> bytes:
        """Return the head in one file as a PNG of 0 and 255; no head is a `ProblemError`."""
        return self._ask(calls.measure_mask(content, stated))

    def read_analysis(self, analysis_id: str) -> Analysis:
        """Return a kept result."""
        return self._ask(calls.read_analysis(analysis_id))

    def read_head_circumference(self, analysis_id: str) -> HeadCircumference:
        """Return a kept result's number."""
        return self._ask(calls.read_head_circumference(analysis_id))

    def read_mask(self, analysis_id: str) -> bytes:
        """Return a kept result's mask as a PNG of 0 and 255."""
        return self._ask(calls.read_picture(analysis_id, "mask"))

    def read_image(self, analysis_id: str) -> bytes:
        """Return the picture that was measured, upright and grey, a PNG."""
        return self._ask(calls.read_picture(analysis_id, "image"))

    def read_overlay(self, analysis_id: str, *, caption: bool = True) -> bytes:
        """Return the picture with mask edge, ellipse and both axes, and a caption below: a PNG."""
        return self._ask(calls.read_overlay(analysis_id, caption=caption))

    def read_saliency(
        self,
        analysis_id: str,
        *,
        layer: str | None = None,
        blend: float = 0.5,
        form: SaliencyForm = "overlay",
        caption: bool = True,
    ) -> bytes:
        """Return where the network looked (Grad-CAM) as a PNG.

        Parameters
        ----------
        analysis_id : str
        layer : str, optional
            One of the model's `saliency_layers`; by default its `default_saliency_layer`.
        blend : float
            Of the overlay: 0 is the picture alone, 1 the map alone.
        form : str
            `overlay`, or `map`: the bare map, one channel, 0 to 255.
        caption : bool
            Of the overlay: below the picture, with the number and what it is worth.
        """
        asked = calls.read_saliency(
            analysis_id, layer=layer, blend=blend, form=form, caption=caption
        )
        return self._ask(asked)

    def read_saliency_figures(
        self, analysis_id: str, *, layer: str | None = None
    ) -> SaliencyFigures:
        """Return how much of a layer's map lies in the head and at its edge."""
        return self._ask(calls.read_saliency_figures(analysis_id, layer))

    def read_attention(self, analysis_id: str, level: int) -> bytes:
        """Return an attention gate's coefficients as a PNG, 255 for all; see `attention_levels`."""
        return self._ask(calls.read_attention(analysis_id, level))

    def list_models(self) -> tuple[ModelFacts, ...]:
        """Tell what is served, where it runs and how well it was measured to do."""
        return self._ask(calls.list_models())

    def _ask(self, call: Call[Answer]) -> Answer:
        """Send a request, again if need be and while time is left, and read the answer."""
        attempts = Attempts(self._retries)
        while True:
            timeout_s = min(self._timeout_s, attempts.left_s)
            try:
                response = self._http.request(**call.to_arguments(), timeout=timeout_s)
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
            time.sleep(wait_s)
