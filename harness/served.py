"""Send requests to the service over HTTP and read its answers.

This module imports nothing from `headcirc_service`, so evaluations measure what callers get.
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
    """The service's answer for one image.

    Attributes
    ----------
    ellipse : Ellipse or None
        None without a head.
    head_circumference_mm : float or None
        None without a head, or without a pixel size.
    mask : (rows, columns) bool, frame grid
        All False without a head.
    warnings : tuple of str
    acceptable : bool
    head_plane_probability : float or None
        None if the model has no such output.
    interval_mm : (float, float) or None
        Bounds of the circumference's interval; None without a head, a pixel size or an uncertainty
        model.
    """

    ellipse: Ellipse | None
    head_circumference_mm: float | None
    mask: NDArray[np.bool_]
    warnings: tuple[str, ...]
    acceptable: bool
    head_plane_probability: float | None = None
    interval_mm: tuple[float, float] | None = None


@contextmanager
def serve(model_dir: Path, backend: str = "auto", precision: str = "auto") -> Iterator[str]:
    """Run the real service with default settings and yield its address.

    Raises
    ------
    ServiceFailedError
        The service stopped or was not ready in time; the message ends with its log.
    """
    with start_service(model_dir, backend=backend, precision=precision) as service:
        yield service.url


def fetch_model(client: httpx.Client) -> dict[str, Any]:
    """Return the name, version, sha256, backend and precision of the service's model."""
    facts = require_json(client.get("/v1/models"))["models"][0]
    return {key: facts[key] for key in ("name", "version", "sha256", "backend", "precision")}


def require_json(response: httpx.Response) -> dict[str, Any]:
    """Return the body of a successful response.

    Raises
    ------
    ServiceFailedError
        The response is an error; the message contains its body.
    """
    if response.status_code not in (httpx.codes.OK, httpx.codes.CREATED):
        raise ServiceFailedError(
            f"{response.request.method} {response.request.url.path} returned "
            f"{response.status_code}: "
            f"{response.text[:LOG_TAIL_CHARACTERS]}"
        )
    body: dict[str, Any] = response.json()
    return body


def ask(client: httpx.Client, content: bytes, pixel_size_mm: float | None) -> ServedAnswer:
    """Post one image and fetch its mask.

    Parameters
    ----------
    client : httpx.Client
        Client whose `base_url` is the service's address.
    content : bytes
        Content of an image file.
    pixel_size_mm : float or None
        Size of the square pixels; None if it is not known, and no millimetres are expected.

    Raises
    ------
    ServiceFailedError
        The service returned an error.
    """
    body = require_json(
        client.post(
            "/v1/analyses",
            files={"image": ("image.png", content, "image/png")},
            data={} if pixel_size_mm is None else {"pixel_size_mm": repr(pixel_size_mm)},
        )
    )
    picture = client.get(body["links"]["mask"])
    if picture.status_code != httpx.codes.OK:
        raise ServiceFailedError(f"The link to the mask returned {picture.status_code}.")
    head = body["head"]
    interval = None if head is None else head["head_circumference_interval_mm"]
    return ServedAnswer(
        ellipse=None if head is None else to_ellipse(head["ellipse"]),
        head_circumference_mm=None if head is None else head["head_circumference_mm"],
        mask=_to_mask(picture.content),
        warnings=tuple(body["quality"]["warnings"]),
        acceptable=body["quality"]["acceptable"],
        head_plane_probability=body.get("head_plane_probability"),
        interval_mm=None if interval is None else (interval["low"], interval["high"]),
    )


def to_ellipse(body: dict[str, float]) -> Ellipse:
    """Convert the ellipse of the HTTP API to an `Ellipse`."""
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
        raise ServiceFailedError("The mask is not an image with one channel.")
    return np.asarray(picture.squeeze() > 0)
