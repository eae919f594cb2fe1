"""The service as its callers meet it: ask it and read its answers, all over HTTP.

Nothing of `service` is imported, so what is measured is what is served.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from harness.service_process import ServiceFailedError, start_service
from headcirc.geometry import Ellipse

REQUEST_TIMEOUT_S = 60.0
LOG_TAIL_CHARACTERS = 2000


@dataclass(frozen=True)
class ServedAnswer:
    """What the service says of one image; `ellipse` and the number are None where it has none.

    Attributes
    ----------
    mask : (rows, columns) bool, frame grid
        All False where no head was found.
    warnings : tuple of str
    acceptable : bool
    """

    ellipse: Ellipse | None
    head_circumference_mm: float | None
    mask: NDArray[np.bool_]
    warnings: tuple[str, ...]
    acceptable: bool


@contextmanager
def serve(model_dir: Path, backend: str = "auto", precision: str = "auto") -> Iterator[str]:
    """Run the real service with otherwise default settings; yields its address.

    Raises
    ------
    ServiceFailedError
        It stopped, or was not ready in time; the message ends with what it logged.
    """
    with start_service(model_dir, backend=backend, precision=precision) as service:
        yield service.url


def fetch_model(client: httpx.Client) -> dict[str, Any]:
    """Return what the service says of its model: name, version, sha256, backend, precision."""
    facts = require_json(client.get("/v1/models"))["models"][0]
    return {key: facts[key] for key in ("name", "version", "sha256", "backend", "precision")}


def require_json(response: httpx.Response) -> dict[str, Any]:
    """Return a response's body, or raise ServiceFailedError with the service's own detail."""
    if response.status_code not in (httpx.codes.OK, httpx.codes.CREATED):
        raise ServiceFailedError(
            f"{response.request.method} {response.request.url.path} gave {response.status_code}: "
            f"{response.text[:LOG_TAIL_CHARACTERS]}"
        )
    body: dict[str, Any] = response.json()
    return body


def ask(client: httpx.Client, content: bytes, pixel_size_mm: float) -> ServedAnswer:
    """Post one image and fetch its mask.

    Parameters
    ----------
    client : httpx.Client
        With the service's address as `base_url`.
    content : bytes
        Of an image file.
    pixel_size_mm : float
        Pixels are square.

    Raises
    ------
    ServiceFailedError
        Any other status than the contract's.
    """
    body = require_json(
        client.post(
            "/v1/analyses",
            files={"image": ("image.png", content, "image/png")},
            data={"pixel_size_mm": repr(pixel_size_mm)},
        )
    )
    picture = client.get(body["links"]["mask"])
    if picture.status_code != httpx.codes.OK:
        raise ServiceFailedError(f"The mask's link gave {picture.status_code}.")
    head = body["head"]
    return ServedAnswer(
        ellipse=None if head is None else to_ellipse(head["ellipse"]),
        head_circumference_mm=None if head is None else head["head_circumference_mm"],
        mask=_to_mask(picture.content),
        warnings=tuple(body["quality"]["warnings"]),
        acceptable=body["quality"]["acceptable"],
    )


def to_ellipse(body: dict[str, float]) -> Ellipse:
    """Return the contract's ellipse in the words of `headcirc.geometry`."""
    return Ellipse(
        center_x_px=body["center_x_px"],
        center_y_px=body["center_y_px"],
        semi_axis_major_px=body["semi_major_px"],
        semi_axis_minor_px=body["semi_minor_px"],
        angle_rad=math.radians(body["angle_deg"]),
    )


def _to_mask(content: bytes) -> NDArray[np.bool_]:
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.squeeze().ndim != 2:  # noqa: PLR2004 - rows and columns
        raise ServiceFailedError("The mask is no picture of one channel.")
    return np.asarray(picture.squeeze() > 0)
