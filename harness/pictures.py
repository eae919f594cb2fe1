"""Load the pictures for latency measurements and convert them to requests.

The pictures are frames of 800x540 pixels from HC18's calibration exams, or phantoms if HC18 is not
present.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from examples.phantom import draw_phantom, load_parameters
from headcirc.overlay import to_png
from training.data.hc18 import TABLE_NAME, load_part

ROUTE = "/v1/analyses"
"""It answers for every picture; `/v1/head-circumference` refuses one without a head."""
WIDTH_PX, HEIGHT_PX = 800, 540
PHANTOMS = 8
BOUNDARY = "headcirc-benchmark-7d1f0c"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
PNG_SIZE = slice(16, 24)
"""The bytes of a PNG that hold its width and height (RFC 2083, 4.1.1)."""


@dataclass(frozen=True)
class Picture:
    """The bytes of a PNG file, and the size of its square pixels."""

    content: bytes
    pixel_size_mm: float


def load_pictures(data_dir: Path) -> tuple[str, list[Picture]]:
    """Return a description of the source of the pictures, and the pictures."""
    if not (data_dir / TABLE_NAME).is_file():
        drawn = draw_pictures()
        return f"{len(drawn)} phantoms of examples/phantoms.json, 800x540", drawn
    read = [
        Picture(image.path.read_bytes(), image.pixel_size_mm)
        for image in load_part(data_dir, "calibration")
    ]
    usual = [picture for picture in read if is_usual_size(picture.content)]
    return f"{len(usual)} images of HC18's calibration exams, 800x540", usual


def draw_pictures() -> list[Picture]:
    """Draw the first phantoms of 800x540 square pixels."""
    usual = [
        parameters
        for parameters in load_parameters()
        if (parameters.rows, parameters.columns) == (HEIGHT_PX, WIDTH_PX)
        and parameters.spacing.row_mm == parameters.spacing.column_mm
    ]
    return [
        Picture(to_png(draw_phantom(parameters)), parameters.spacing.row_mm)
        for parameters in usual[:PHANTOMS]
    ]


def is_usual_size(content: bytes) -> bool:
    """Return whether a PNG has HC18's usual size of 800x540 pixels."""
    return struct.unpack(">II", content[PNG_SIZE]) == (WIDTH_PX, HEIGHT_PX)


def to_multipart(picture: Picture) -> bytes:
    """Return the multipart form with the image and its pixel size (see `docs/api.md`)."""
    head = (
        f"--{BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="pixel_size_mm"\r\n\r\n'
        f"{picture.pixel_size_mm!r}\r\n"
        f"--{BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="image"; filename="image.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    return head.encode() + picture.content + f"\r\n--{BOUNDARY}--\r\n".encode()


def to_http_request(picture: Picture) -> bytes:
    """Return the complete request, ready to send on a connection."""
    body = to_multipart(picture)
    head = (
        f"POST {ROUTE} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
