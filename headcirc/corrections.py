"""An ellipse that a person drew in place of the automatic one, and the figures that follow from it.

The figures are computed as those of the automatic ellipse are, with the same pixel size. There is
no interval: the model's intervals say how far its own ellipses are from annotated ones, and nobody
has measured that of people. A site's recalibration corrects the model, so it is not applied.
"""

import math
from dataclasses import astuple, dataclass, replace
from typing import TypeVar

from headcirc.answers import (
    CORRECTED,
    AnalysisFacts,
    Correction,
    Head,
    HeadEllipse,
    Image,
    to_gestational_age,
    to_growth,
    to_known_age,
)
from headcirc.errors import InputError, InvalidEllipseError
from headcirc.geometry import Ellipse, PixelSpacing, to_ellipse_perimeter
from headcirc.measurement import measure_head

Facts = TypeVar("Facts", bound=AnalysisFacts)
MINIMUM_SEMI_MINOR_PX = 5.0
"""Nobody can see a head of fewer pixels."""
MINIMUM_AXIS_RATIO = 0.25
"""BPD over OFD; fetal heads are seldom below 0.65, and what is drawn may be squeezed by pixels that
are not square."""
MOST_NAME_CHARACTERS, MOST_NOTE_CHARACTERS = 63, 500
"""DICOM limits a person's name to 64 characters, and the mark behind it is one (`to_person`)."""
NAME_MARKS = "\\^="
"""Characters that separate the parts of a name in DICOM."""


@dataclass(frozen=True, kw_only=True)
class DrawnEllipse:
    """What a person stated: an ellipse in the upright picture, and who drew it.

    Attributes
    ----------
    ellipse : HeadEllipse
    by : str
        A name or initials, as the person gave them.
    at : str
        When the service received it, as `created` is written.
    note : str or None
    """

    ellipse: HeadEllipse
    by: str
    at: str
    note: str | None = None


def require_drawn(drawn: DrawnEllipse, image: Image) -> DrawnEllipse:
    """Return what a person drew, with the angle in [0, 180) and without spaces around the texts.

    Raises
    ------
    InvalidEllipseError
        The ellipse cannot be a head in this picture.
    InputError
        The name or the note cannot be used.
    """
    return replace(
        drawn,
        ellipse=_require_ellipse(drawn.ellipse, image),
        by=_require_name(drawn.by),
        note=_require_note(drawn.note),
    )


def _require_ellipse(ellipse: HeadEllipse, image: Image) -> HeadEllipse:
    if not all(math.isfinite(each) for each in astuple(ellipse)):
        raise InvalidEllipseError("The ellipse has a value that is not a finite number.")
    major_px, minor_px = ellipse.semi_major_px, ellipse.semi_minor_px
    if minor_px > major_px:
        raise InvalidEllipseError(
            "semi_minor_px is larger than semi_major_px; exchange them and turn angle_deg by 90."
        )
    if minor_px < MINIMUM_SEMI_MINOR_PX or minor_px < MINIMUM_AXIS_RATIO * major_px:
        raise InvalidEllipseError(
            f"semi_minor_px is {minor_px:.1f}; it must be at least {MINIMUM_SEMI_MINOR_PX:g}, and "
            f"at least {MINIMUM_AXIS_RATIO:g} times semi_major_px."
        )
    diagonal_px = math.hypot(image.width_px, image.height_px)
    if major_px > diagonal_px:
        raise InvalidEllipseError(
            f"semi_major_px is {major_px:.1f}; at most the picture's diagonal of "
            f"{diagonal_px:.1f} pixels is accepted."
        )
    x_px, y_px = ellipse.center_x_px, ellipse.center_y_px
    # Pixel centres lie at integers, so the picture begins half a pixel before 0.
    if not (0 <= x_px + 0.5 <= image.width_px and 0 <= y_px + 0.5 <= image.height_px):
        raise InvalidEllipseError(
            f"The centre ({x_px:.1f}, {y_px:.1f}) is outside the picture of {image.width_px} x "
            f"{image.height_px} pixels; the ellipse is in pixels of the upright picture."
        )
    return replace(ellipse, angle_deg=ellipse.angle_deg % 180 % 180)  # -1e-16 % 180 is 180


def _require_name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > MOST_NAME_CHARACTERS:
        raise InputError(
            f"by has {len(name)} characters; it must say who corrected, with 1 to "
            f"{MOST_NAME_CHARACTERS} characters."
        )
    if not name.isprintable() or any(mark in name for mark in NAME_MARKS):
        raise InputError(
            "by has a control character, a backslash, ^ or =, which separate the parts of a name "
            "in DICOM; leave it out."
        )
    return name


def _require_note(text: str | None) -> str | None:
    note = (text or "").strip()
    if len(note) > MOST_NOTE_CHARACTERS:
        raise InputError(
            f"note has {len(note)} characters; at most {MOST_NOTE_CHARACTERS} are accepted."
        )
    if not note.isprintable():
        raise InputError("note has a line break or another control character; leave it out.")
    return note or None


def to_corrected(answer: Facts, drawn: DrawnEllipse) -> Facts:
    """Return an answer with the ellipse that a person drew beside the automatic one.

    Parameters
    ----------
    answer : AnalysisFacts
        Its automatic part stays as it is; an earlier correction is replaced.
    drawn : DrawnEllipse
        From `require_drawn`.
    """
    head = _to_head(drawn.ellipse, answer.image)
    difference_mm, exceeds = _compare(head, answer.head)
    correction = Correction(
        by=drawn.by,
        at=drawn.at,
        note=drawn.note,
        head=head,
        gestational_age=to_gestational_age(head),
        growth=to_growth(head, to_known_age(answer.growth)),
        difference_mm=difference_mm,
        exceeds_half_width=exceeds,
    )
    return replace(answer, method=CORRECTED, correction=correction)


def to_drawn(correction: Correction) -> DrawnEllipse:
    """Return what a person stated, from the correction that was made of it."""
    return DrawnEllipse(
        ellipse=correction.head.ellipse, by=correction.by, at=correction.at, note=correction.note
    )


def _to_head(ellipse: HeadEllipse, image: Image) -> Head:
    shape = Ellipse(
        ellipse.center_x_px,
        ellipse.center_y_px,
        ellipse.semi_major_px,
        ellipse.semi_minor_px,
        math.radians(ellipse.angle_deg),
    )
    width_mm, height_mm = image.pixel_size_x_mm, image.pixel_size_y_mm
    measured = None
    if width_mm is not None and height_mm is not None:
        measured = measure_head(shape, PixelSpacing(row_mm=height_mm, column_mm=width_mm))
    return Head(
        ellipse=ellipse,
        head_circumference_px=to_ellipse_perimeter(ellipse.semi_major_px, ellipse.semi_minor_px),
        head_circumference_mm=None if measured is None else measured.head_circumference_mm,
        head_circumference_raw_mm=(
            None if measured is None else measured.head_circumference_raw_mm
        ),
        head_circumference_interval_mm=None,
        biparietal_diameter_mm=None if measured is None else measured.biparietal_diameter_mm,
        occipitofrontal_diameter_mm=(
            None if measured is None else measured.occipitofrontal_diameter_mm
        ),
        cephalic_index=None if measured is None else measured.cephalic_index,
        area_mm2=None if measured is None else measured.area_mm2,
    )


def _compare(drawn: Head, found: Head | None) -> tuple[float | None, bool | None]:
    """Return by how many mm HC differs, and whether that is beyond the interval's half width."""
    if found is None or None in (drawn.head_circumference_mm, found.head_circumference_mm):
        return None, None
    assert drawn.head_circumference_mm is not None
    assert found.head_circumference_mm is not None
    difference_mm = drawn.head_circumference_mm - found.head_circumference_mm
    interval = found.head_circumference_interval_mm
    if interval is None:
        return difference_mm, None
    return difference_mm, abs(difference_mm) > (interval.high - interval.low) / 2
