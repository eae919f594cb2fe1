"""The answer about a cine: a start, a line for each frame, and a summary.

The service sends these types as lines of JSON, and the client reads them back. At run time this
module needs the standard library only, as `headcirc.answers` does.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from headcirc.answers import (
    Head,
    Image,
    Interval,
    Model,
    Quality,
    Site,
    to_head,
    to_image,
    to_model,
    to_site,
)

if TYPE_CHECKING:
    from headcirc.cine.track import TrackedFrame
    from headcirc.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class CineStart:
    """The first line: how many frames the file states, and what measures them.

    `frames` is None where the file states no number; a file that was cut off has fewer.
    """

    type: Literal["start"] = "start"
    created: str
    frames: int | None
    model: Model
    site: Site | None


@dataclass(frozen=True)
class FrameFault:
    """Why one frame cannot be read; the others go on."""

    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class CineFrame:
    """One frame, measured as a picture of its own.

    `frame` counts from 0. `time_ms` is from the first frame on, and None where the file does not
    say. A frame that cannot be read has an `error`, and neither image nor quality.
    """

    type: Literal["frame"] = "frame"
    frame: int
    time_ms: float | None
    image: Image | None
    head: Head | None
    head_plane_probability: float | None
    quality: Quality | None
    error: FrameFault | None

    @property
    def is_acceptable(self) -> bool:
        """Return whether a head was found that a person may rely on."""
        return self.head is not None and self.quality is not None and self.quality.acceptable

    @property
    def head_circumference_mm(self) -> float | None:
        """Return the circumference; None without a head or a pixel size."""
        return None if self.head is None else self.head.head_circumference_mm

    @property
    def interval(self) -> Interval | None:
        """Return the frame's own interval."""
        return None if self.head is None else self.head.head_circumference_interval_mm


@dataclass(frozen=True, kw_only=True)
class BestFrame:
    """The frame to look at and to freeze; `reason` is a code, `detail` says it in words."""

    frame: int
    time_ms: float | None
    head_circumference_mm: float | None
    head_circumference_interval_mm: Interval | None
    acceptable: bool
    agrees: bool
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class CineSummary:
    """What the frames say together; `docs/cine.md` says how it is found and what it means.

    `frames_measured` are the acceptable frames with a circumference in millimetres; of them
    `frames_agreeing` hold the summary's circumference in their own intervals. Without a number
    `code` says why. `frame_spread_mm` is the half-width that the spread between frames alone
    would give.
    """

    type: Literal["summary"] = "summary"
    frames: int
    frames_unreadable: int
    frames_with_head: int
    frames_measured: int
    frames_agreeing: int
    head_circumference_mm: float | None
    head_circumference_interval_mm: Interval | None
    frame_spread_mm: float | None
    code: str | None
    warnings: tuple[str, ...] = ()
    best: BestFrame | None
    duration_ms: float


@dataclass(frozen=True, kw_only=True)
class CineFault:
    """The last line of a cine that could not be measured to its end; fields as of a problem."""

    type: Literal["error"] = "error"
    code: str
    detail: str
    status: int
    request_id: str = field(default="")


CineLine = CineStart | CineFrame | CineSummary
"""What a caller gets for each line; a fault is raised instead."""


def to_cine_start(pipeline: "Pipeline", *, frames: int | None, created: str) -> CineStart:
    """Return the first line."""
    return CineStart(
        created=created, frames=frames, model=to_model(pipeline), site=to_site(pipeline.site)
    )


def to_cine_frame(tracked: "TrackedFrame") -> CineFrame:
    """Return the line of one frame, without its pixels."""
    analysis, error = tracked.analysis, tracked.error
    if analysis is None:
        assert error is not None, "a frame has an analysis or an error"
        return CineFrame(
            frame=tracked.index,
            time_ms=tracked.time_ms,
            image=None,
            head=None,
            head_plane_probability=None,
            quality=None,
            error=FrameFault(error.code, str(error)),
        )
    return CineFrame(
        frame=tracked.index,
        time_ms=tracked.time_ms,
        image=to_image(analysis),
        head=None if analysis.head is None else to_head(analysis.head),
        head_plane_probability=analysis.head_plane_probability,
        quality=Quality(analysis.quality.acceptable, analysis.quality.warnings),
        error=None,
    )
