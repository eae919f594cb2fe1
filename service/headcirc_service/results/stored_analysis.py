"""What is kept of an analysis: the answer, the mask and the 8-bit frame; no file and no name."""

import json
import logging
import math
import struct
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from headcirc.caption import ResultFacts, add_caption
from headcirc.geometry import Ellipse
from headcirc.overlay import Picture, draw_overlay, to_mask_picture, to_png
from headcirc.pipeline import Analysis
from headcirc.readers import decode_frame
from headcirc_service.http.answers import to_links
from headcirc_service.http.schemas import AnalysisBody

logger = logging.getLogger("headcirc.store")
MAGIC = b"HCR2"
HEADER = struct.Struct(">4sIII")
"""Before a result that is written down: a mark, and the lengths of its answer, frame and mask."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_SIDES = 10
"""An ellipse may reach beyond its picture, but not so many times the picture's sides."""
BODY_BYTES = 2_000
"""Roughly, of an answer in memory beside its pictures."""
MOST_BODY_BYTES = 8_000
"""Of an answer that is written down; names and warnings of more would fill a caption, and time."""


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
        body = self.body.model_dump_json().encode()
        frame = to_png(self.pixels)
        mask = b"" if self.mask_bits is None else to_png(self.draw_mask())
        return HEADER.pack(MAGIC, len(body), len(frame), len(mask)) + body + frame + mask


def to_stored(body: AnalysisBody, analysis: Analysis) -> StoredAnalysis:
    """Keep of an analysis what later requests need."""
    head = analysis.head
    bits = None if head is None else np.packbits(head.mask.pixels)
    return StoredAnalysis(body, analysis.frame.pixels, bits)


def read_stored(content: bytes, analysis_id: str, *, maximum_pixels: int) -> StoredAnalysis | None:
    """Read what `to_bytes` wrote of the result of that id.

    The content is not believed: another version may have written it, or anybody who reaches the
    store. Nothing in it is inflated beyond the size of the picture that its answer states, which is
    bounded by `maximum_pixels`.

    Returns
    -------
    StoredAnalysis or None
        None if it is damaged in any way, or another result.
    """
    try:
        return _read_parts(content, analysis_id, maximum_pixels)
    except Exception as error:
        logger.warning("a kept result cannot be read: %s", type(error).__name__)
        return None


def _read_parts(content: bytes, analysis_id: str, maximum_pixels: int) -> StoredAnalysis:
    magic, *lengths = HEADER.unpack_from(content)
    if magic != MAGIC or HEADER.size + sum(lengths) != len(content):
        raise ValueError("It is no kept result, or is cut.")
    if lengths[0] > MOST_BODY_BYTES:
        raise ValueError("Its answer is longer than any of ours.")
    ends = list(accumulate(lengths, initial=HEADER.size))
    told, frame, mask = (content[begin:end] for begin, end in pairwise(ends))
    body = AnalysisBody.model_validate_json(told)
    require_own(body, analysis_id)
    image = body.image
    shape, pixels = (image.height_px, image.width_px), image.height_px * image.width_px
    most_pixels = min(maximum_pixels, pixels)
    bits = None
    if body.head is not None:
        bits = np.packbits(_read_png(mask, shape, most_pixels) > 0)
    return StoredAnalysis(body, _read_png(frame, shape, most_pixels), bits)


def _read_png(content: bytes, shape: tuple[int, int], most_pixels: int) -> NDArray[np.uint8]:
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError("A kept picture is no PNG.")
    pixels = decode_frame(content, maximum_pixels=most_pixels).pixels
    if pixels.shape != shape:
        raise ValueError("A kept picture has another size than its answer says.")
    return pixels


def require_own(body: AnalysisBody, analysis_id: str) -> None:
    """Refuse an answer of another id, or one that cannot be drawn or sent.

    Raises
    ------
    ValueError
    """
    links = to_links(analysis_id, has_saliency=body.links.saliency is not None)
    if body.id != analysis_id or body.links != links:
        raise ValueError("It is another result's.")
    json.dumps(body.model_dump(), allow_nan=False)
    image = body.image
    sizes_mm = (image.pixel_size_x_mm, image.pixel_size_y_mm)
    if any(size_mm is not None and size_mm <= 0 for size_mm in sizes_mm):
        raise ValueError("Its pixels have no size.")
    if body.head is not None:
        ellipse = body.head.ellipse
        most_px = MOST_SIDES * (image.width_px + image.height_px)
        if not 0 < ellipse.semi_minor_px <= ellipse.semi_major_px <= most_px or any(
            abs(each) > most_px for each in (ellipse.center_x_px, ellipse.center_y_px)
        ):
            raise ValueError("Its ellipse is far from its picture.")


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
