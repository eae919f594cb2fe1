"""A kept analysis: the answer, the mask and the 8-bit frame, without the file or its name.

What a person corrected is written apart from the rest, because it alone changes.

The identifiers of study, series and instance of a DICOM file are kept for FHIR. They name nobody
and are part of no JSON answer, URL or log.
"""

import json
import logging
import math
import struct
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from headcirc.answers import Head, to_counted
from headcirc.caption import add_caption
from headcirc.corrections import DrawnEllipse, require_drawn, to_drawn
from headcirc.geometry import Ellipse
from headcirc.overlay import Picture, draw_overlay, to_mask_picture, to_png
from headcirc.pipeline import Analysis
from headcirc.readers import decode_frame
from headcirc.readers.pixel_size import MAXIMUM_PIXEL_SIZE_MM, MINIMUM_PIXEL_SIZE_MM
from headcirc.reports.fhir_elements import ImagingSource
from headcirc.reports.fhir_imaging import read_imaging_source
from headcirc.reports.result_facts import to_result_facts
from headcirc_service.answers import has_chart, to_links, to_version
from headcirc_service.schemas import AnalysisBody

logger = logging.getLogger("headcirc.store")
ANSWERS = TypeAdapter(AnalysisBody)
MAGIC = b"HCR4"
HEADER = struct.Struct(">4sdIIII")
"""Header of a written result: mark, pixel aspect, and the bytes of its answer, frame, mask and
identifiers."""
MAXIMUM_PIXEL_ASPECT = 1.001 * MAXIMUM_PIXEL_SIZE_MM / MINIMUM_PIXEL_SIZE_MM
"""Between the pixel sizes that a request may state, with a margin for rounding."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_SIDES = 10
"""Largest ellipse in a kept result, in multiples of the sum of the picture's sides."""
BODY_BYTES = 2_000
"""Rough size of an answer in memory without its pictures."""
MAXIMUM_BODY_BYTES = 8_000
"""Largest written answer; names and warnings of more would fill a caption, and take time."""


MAXIMUM_CHANGE_BYTES = 8_000
"""Largest written change; the note and the name alone may take 6 bytes a character."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is written of the last change by a person.

    Attributes
    ----------
    revision : str
        Differs from that of every other change.
    expires : str or None
        A change restarts the result's time.
    drawn : DrawnEllipse or None
        None where the person went back to the automatic ellipse.
    """

    revision: str
    expires: str | None
    drawn: DrawnEllipse | None


CHANGES = TypeAdapter(Change)


@dataclass(frozen=True)
class StoredAnalysis:
    """An answer, and the data to draw it on its frame.

    Attributes
    ----------
    body : AnalysisBody
    pixels : (rows, columns) uint8, frame grid
    mask_bits : (bytes,) uint8, or None
        The mask, row by row, with eight pixels in a byte; None without a head.
    pixel_aspect : float
        Width over height of a pixel, as the network saw it; see `Analysis`.
    imaging : ImagingSource or None
        Identifiers of the DICOM object that was measured.
    revision : str
        Of the last change by a person; empty where there was none.
    """

    body: AnalysisBody
    pixels: NDArray[np.uint8]
    mask_bits: NDArray[np.uint8] | None
    pixel_aspect: float = 1.0
    imaging: ImagingSource | None = field(default=None, repr=False)
    revision: str = ""

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Return (rows, columns) bool, or None without a head."""
        if self.mask_bits is None:
            return None
        bits = np.unpackbits(self.mask_bits, count=self.pixels.size)
        return bits.reshape(self.pixels.shape).astype(np.bool_)

    def draw_mask(self) -> Picture:
        """Return (rows, columns) uint8: 255 inside the head, 0 elsewhere."""
        return to_mask_picture(self.mask, *self.pixels.shape)

    def draw_overlay(self, *, caption: bool = True) -> Picture:
        """Return (rows, columns, 3) uint8: the frame with what was found drawn over it.

        The caption stands below the frame and adds rows.
        """
        counted = to_ellipse(to_counted(self.body).head)
        picture = draw_overlay(
            self.pixels,
            self.mask,
            counted,
            acceptable=self.body.quality.acceptable,
            replaced=to_ellipse(self.body.head),
            is_corrected=self.body.correction is not None,
        )
        return add_caption(picture, to_result_facts(self.body)) if caption else picture

    def count_bytes(self) -> int:
        """Return roughly how much memory it holds."""
        mask_bytes = 0 if self.mask_bits is None else self.mask_bits.nbytes
        return self.pixels.nbytes + mask_bytes + BODY_BYTES

    def to_changed(self, change: Change) -> "StoredAnalysis":
        """Return it with a change by a person in place of the last one."""
        body = to_version(self.body, change.drawn, change.expires)
        return replace(self, body=body, revision=change.revision)

    def to_change_bytes(self) -> bytes:
        """Return the last change by a person as bytes."""
        correction = self.body.correction
        drawn = None if correction is None else to_drawn(correction)
        change = Change(revision=self.revision, expires=self.body.expires, drawn=drawn)
        return CHANGES.dump_json(change)

    def to_bytes(self) -> bytes:
        """Return it without what a person changed as bytes, compressed without loss."""
        body = ANSWERS.dump_json(to_version(self.body, None, self.body.expires))
        frame = to_png(self.pixels)
        mask = b"" if self.mask_bits is None else to_png(self.draw_mask())
        imaging = b"" if self.imaging is None else json.dumps(asdict(self.imaging)).encode()
        parts = (body, frame, mask, imaging)
        return HEADER.pack(MAGIC, self.pixel_aspect, *map(len, parts)) + b"".join(parts)


def to_stored(body: AnalysisBody, analysis: Analysis) -> StoredAnalysis:
    """Return the parts of an analysis that later requests need."""
    head = analysis.head
    bits = None if head is None else np.packbits(head.mask.pixels)
    imaging = read_imaging_source(analysis.frame.source)
    return StoredAnalysis(body, analysis.frame.pixels, bits, analysis.pixel_aspect, imaging)


def read_stored(
    content: bytes, analysis_id: str, *, maximum_pixels: int, change: bytes | None = None
) -> StoredAnalysis | None:
    """Read a result that `to_bytes` wrote, and the change that `to_change_bytes` wrote.

    The content is not trusted: another version may have written it, or anyone who can reach the
    store. Its pictures are not decompressed beyond the size that its answer states, which is at
    most `maximum_pixels`.

    Returns
    -------
    StoredAnalysis or None
        None if it is damaged in any way, or if it has another id.
    """
    try:
        stored = _read_parts(content, analysis_id, maximum_pixels)
        return stored if change is None else stored.to_changed(_read_change(change, stored.body))
    except Exception as error:
        logger.warning("a kept result cannot be read: %s", type(error).__name__)
        return None


def _read_parts(content: bytes, analysis_id: str, maximum_pixels: int) -> StoredAnalysis:
    magic, pixel_aspect, *lengths = HEADER.unpack_from(content)
    if magic != MAGIC or HEADER.size + sum(lengths) != len(content):
        raise ValueError("It is not a kept result, or it is cut off.")
    if not 1 / MAXIMUM_PIXEL_ASPECT <= pixel_aspect <= MAXIMUM_PIXEL_ASPECT:
        raise ValueError("Its pixels have a shape that no picture has.")
    if max(lengths[0], lengths[3]) > MAXIMUM_BODY_BYTES:
        raise ValueError("Its answer is longer than any that the service writes.")
    ends = list(accumulate(lengths, initial=HEADER.size))
    answer, frame, mask, imaging = (content[begin:end] for begin, end in pairwise(ends))
    body = ANSWERS.validate_json(answer)
    require_usable(body, analysis_id)
    image = body.image
    shape, pixels = (image.height_px, image.width_px), image.height_px * image.width_px
    most_pixels = min(maximum_pixels, pixels)
    bits = None
    if body.head is not None:
        bits = np.packbits(_read_png(mask, shape, most_pixels) > 0)
    source = ImagingSource(**json.loads(imaging)) if imaging else None
    return StoredAnalysis(body, _read_png(frame, shape, most_pixels), bits, pixel_aspect, source)


def _read_change(content: bytes, body: AnalysisBody) -> Change:
    change = CHANGES.validate_json(content)
    if change.drawn is None:
        return change
    return replace(change, drawn=require_drawn(change.drawn, body.image))


def _read_png(content: bytes, shape: tuple[int, int], most_pixels: int) -> NDArray[np.uint8]:
    if not content.startswith(PNG_SIGNATURE):
        raise ValueError("A kept picture is not a PNG.")
    pixels = decode_frame(content, maximum_pixels=most_pixels).pixels
    if pixels.shape != shape:
        raise ValueError("A kept picture has another size than its answer says.")
    return pixels


def require_usable(body: AnalysisBody, analysis_id: str) -> None:
    """Refuse an answer that has another id, or that cannot be drawn or sent.

    Raises
    ------
    ValueError
    """
    links = to_links(
        analysis_id, has_saliency=body.links.saliency is not None, has_chart=has_chart(body)
    )
    if body.id != analysis_id or body.links != links:
        raise ValueError("It belongs to another result.")
    json.dumps(ANSWERS.dump_python(body), allow_nan=False)
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


def to_ellipse(head: Head | None) -> Ellipse | None:
    """Return the ellipse of a head in frame pixels, or None without a head."""
    if head is None:
        return None
    ellipse = head.ellipse
    return Ellipse(
        ellipse.center_x_px,
        ellipse.center_y_px,
        ellipse.semi_major_px,
        ellipse.semi_minor_px,
        math.radians(ellipse.angle_deg),
    )
