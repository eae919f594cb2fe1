"""What is kept of an analysis: the answer, the mask and the 8-bit frame; no file and no name."""

import io
import math
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from headcirc.caption import ResultFacts, add_caption
from headcirc.errors import InputError
from headcirc.geometry import Ellipse
from headcirc.overlay import Picture, draw_overlay, to_mask_picture, to_png
from headcirc.pipeline import Analysis
from headcirc.readers.decode import decode_frame
from headcirc_service.http.schemas import AnalysisBody

BODY, FRAME, MASK = "analysis.json", "frame.png", "mask.png"
BODY_BYTES = 2_000
"""Roughly, of an answer in memory beside its pictures."""


@dataclass(frozen=True)
class StoredAnalysis:
    """An answer and what is needed to draw on its frame.

    Attributes
    ----------
    body : AnalysisBody
    pixels : (rows, columns) uint8, frame grid
    mask_bits : (bytes,) uint8, or None
        The mask, eight pixels a byte, rows after one another; None without a head.
    """

    body: AnalysisBody
    pixels: NDArray[np.uint8]
    mask_bits: NDArray[np.uint8] | None

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Return (rows, columns) bool, or None without a head."""
        if self.mask_bits is None:
            return None
        bits = np.unpackbits(self.mask_bits, count=self.pixels.size)
        return bits.reshape(self.pixels.shape).astype(np.bool_)

    @property
    def pixel_aspect(self) -> float:
        """Return a pixel's width over its height, as when it was measured: `Frame.pixel_aspect`."""
        width_mm, height_mm = self.body.image.pixel_size_x_mm, self.body.image.pixel_size_y_mm
        return 1.0 if width_mm is None or height_mm is None else width_mm / height_mm

    def draw_mask(self) -> Picture:
        """Return (rows, columns) uint8: 255 inside the head, 0 elsewhere."""
        return to_mask_picture(self.mask, *self.pixels.shape)

    def draw_overlay(self, *, caption: bool = True) -> Picture:
        """Return (rows, columns, 3) uint8: the frame with what was found drawn over it.

        The caption stands below the frame and adds rows.
        """
        ellipse, acceptable = to_ellipse(self.body), self.body.quality.acceptable
        picture = draw_overlay(self.pixels, self.mask, ellipse, acceptable=acceptable)
        return add_caption(picture, to_result_facts(self.body)) if caption else picture

    def count_bytes(self) -> int:
        """Return roughly how much memory it holds."""
        mask_bytes = 0 if self.mask_bits is None else self.mask_bits.nbytes
        return self.pixels.nbytes + mask_bytes + BODY_BYTES

    def to_bytes(self) -> bytes:
        """Write it down compactly, without loss."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as parts:  # PNG is compressed already
            parts.writestr(BODY, self.body.model_dump_json())
            parts.writestr(FRAME, to_png(self.pixels))
            if self.mask_bits is not None:
                parts.writestr(MASK, to_png(self.draw_mask()))
        return buffer.getvalue()


def to_stored(body: AnalysisBody, analysis: Analysis) -> StoredAnalysis:
    """Keep of an analysis what later requests need."""
    head = analysis.head
    bits = None if head is None else np.packbits(head.mask.pixels)
    return StoredAnalysis(body, analysis.frame.pixels, bits)


def read_stored(content: bytes, *, maximum_pixels: int) -> StoredAnalysis | None:
    """Read what `to_bytes` wrote; None if another version of the service wrote it otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            body = AnalysisBody.model_validate_json(parts.read(BODY))
            pixels = decode_frame(parts.read(FRAME), maximum_pixels=maximum_pixels).pixels
            bits = None
            if body.head is not None:
                mask = decode_frame(parts.read(MASK), maximum_pixels=maximum_pixels).pixels
                bits = np.packbits(mask > 0)
    except (zipfile.BadZipFile, KeyError, ValidationError, InputError):
        return None
    return StoredAnalysis(body, pixels, bits)


def to_ellipse(body: AnalysisBody) -> Ellipse | None:
    """Return the ellipse of an answer, in frame pixels."""
    if body.head is None:
        return None
    told = body.head.ellipse
    return Ellipse(
        told.center_x_px,
        told.center_y_px,
        told.semi_major_px,
        told.semi_minor_px,
        math.radians(told.angle_deg),
    )


def to_result_facts(body: AnalysisBody) -> ResultFacts:
    """Return what a caption says of an answer."""
    head, image = body.head, body.image
    x_mm, y_mm = image.pixel_size_x_mm, image.pixel_size_y_mm
    interval = None if head is None else head.head_circumference_interval_mm
    return ResultFacts(
        acceptable=body.quality.acceptable,
        warnings=body.quality.warnings,
        model=f"{body.model.name} {body.model.version}",
        pixel_size_mm=None if x_mm is None or y_mm is None else (x_mm, y_mm),
        head_circumference_px=None if head is None else head.head_circumference_px,
        head_circumference_mm=None if head is None else head.head_circumference_mm,
        interval=None if interval is None else (interval.level, interval.low, interval.high),
    )
