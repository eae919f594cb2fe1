"""The service as its callers meet it: start it, wait for it, ask it, stop it; all over HTTP.

Nothing of `service` is imported, so what is measured is what is served.
"""

import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 60.0
POLL_INTERVAL_S = 0.2
SETTINGS_PREFIX = "HEADCIRC_"
LOG_TAIL_CHARACTERS = 2000


class ServiceFailedError(Exception):
    """The service did not start, or gave an answer that the contract does not have."""


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
def serve(model_dir: Path, backend: str = "auto") -> Iterator[str]:
    """Run the real service with otherwise default settings; yields its address.

    Raises
    ------
    ServiceFailedError
        It stopped, or was not ready in time; the message ends with what it logged.
    """
    inherited = dict(os.environ)  # noqa: TID251 - a child's environment, rid of our settings
    environment = {k: v for k, v in inherited.items() if not k.startswith(SETTINGS_PREFIX)}
    environment[f"{SETTINGS_PREFIX}ARTIFACT_DIR"] = str(model_dir.resolve())
    environment[f"{SETTINGS_PREFIX}BACKEND"] = backend
    address, port = "127.0.0.1", _find_free_port()
    command = [
        sys.executable,
        "-m",
        "headcirc.cli",
        "serve",
        "--host",
        address,
        "--port",
        str(port),
    ]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://{address}:{port}"
            _wait_until_ready(url, process, log)
            yield url
        finally:
            _stop(process)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=REQUEST_TIMEOUT_S).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(POLL_INTERVAL_S)
    log.seek(0)
    tail = log.read().decode(errors="replace")[-LOG_TAIL_CHARACTERS:]
    ended = process.returncode is not None
    reason = f"ended with {process.returncode}" if ended else f"not ready in {START_TIMEOUT_S:g} s"
    raise ServiceFailedError(f"The service did not start ({reason}). It said:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
