"""What a report is about: the picture, the answer about it, and the model that gave it."""

import math
from dataclasses import dataclass, replace

import numpy as np

from headcirc.answers import AUTOMATIC, AnalysisFacts, Head, to_counted
from headcirc.dicom_source import DicomSource
from headcirc.errors import NoHeadFoundError, PixelSizeMissingError
from headcirc.geometry import Ellipse, FloatArray
from headcirc.growth import describe_age_source, to_age_text
from headcirc.reports.result_facts import describe_correction

RESEARCH_ONLY = "Automatic and not verified. Research use only, not a medical device."
RESEARCH_ONLY_CORRECTED = "Not verified. Research use only, not a medical device."
OUTLINE_POINTS = 65
"""Points of the drawn outline; the last is the first again. At 65 points a polygon lies at most
0.12 % of the radius inside the ellipse."""
CORNER_TO_CENTER_PX = 0.5
"""DICOM counts from the first pixel's corner (PS3.3 C.18.6.1.1), `geometry` from its centre."""
DECIMALS = 2
"""How exactly millimetres, per cent and pixels are written; far more than can be measured."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A picture and the answer about it.

    Attributes
    ----------
    source : DicomSource
        The object that was measured.
    answer : AnalysisFacts
        Its model's `sha256` is not empty.
    """

    source: DicomSource
    answer: AnalysisFacts

    @property
    def counted(self) -> AnalysisFacts:
        """Return the answer with the figures of the version that counts."""
        return to_counted(self.answer)

    @property
    def is_corrected(self) -> bool:
        """Return whether a person drew the ellipse that counts."""
        return self.answer.correction is not None

    @property
    def research_only(self) -> str:
        """Return the sentence that every report has."""
        return RESEARCH_ONLY_CORRECTED if self.is_corrected else RESEARCH_ONLY

    @property
    def automatic(self) -> "Finding":
        """Return the same finding as it was before a person corrected it."""
        return replace(self, answer=replace(self.answer, method=AUTOMATIC, correction=None))

    @property
    def model_sha256(self) -> str:
        """Return the SHA-256 of the graph that measured, 64 hexadecimal digits."""
        return self.answer.model.sha256

    def require_head(self) -> Head:
        """Return the head of the version that counts.

        Raises
        ------
        NoHeadFoundError, PixelSizeMissingError
        """
        head = self.counted.head
        if head is None:
            raise NoHeadFoundError("No head was found, so there is nothing to report.")
        if head.head_circumference_mm is None:
            raise PixelSizeMissingError(
                "A head was found, but the file states no usable pixel size, and a report needs "
                "millimetres; state pixel_size_mm."
            )
        return head

    def to_ellipse(self) -> Ellipse:
        """Return the ellipse in the stored picture; pixel centres lie at integers.

        Raises
        ------
        NoHeadFoundError, PixelSizeMissingError
        """
        ellipse = self.require_head().ellipse
        return Ellipse(
            ellipse.center_x_px + self.source.left_px,
            ellipse.center_y_px + self.source.top_px,
            ellipse.semi_major_px,
            ellipse.semi_minor_px,
            math.radians(ellipse.angle_deg),
        )

    def to_comment(self) -> str:
        """Return what a person must know beside the figures, as sentences."""
        quality, correction = self.answer.quality, self.answer.correction
        head, growth = self.counted.head, self.counted.growth
        sentences = []
        if correction is not None:
            note = [f"Note: {correction.note}"] if correction.note else []
            sentences += [describe_correction(self.answer), *note]
        elif not quality.acceptable:
            sentences.append("Do not rely on this result.")
        if quality.warnings:
            kind = "Warnings" if correction is None else "Warnings of the automatic measurement"
            sentences.append(f"{kind}: {', '.join(quality.warnings)}.")
        interval = None if head is None else _find_interval(head)
        if interval is not None:
            level, low_mm, high_mm = interval
            sentences.append(
                f"{level * 100:.0f} % interval of the head circumference: {low_mm:.1f} to "
                f"{high_mm:.1f} mm."
            )
        if growth is not None and growth.head_circumference is not None:
            figure = growth.head_circumference
            sentences.append(
                f"At the gestational age of {to_age_text(growth.gestational_age_days)}, "
                f"{describe_age_source(growth.gestational_age_source)}: "
                f"z-score {figure.z_score:.2f}, centile {figure.centile:.1f} "
                f"({growth.standard})."
            )
        return " ".join([*sentences, self.research_only])


def _find_interval(head: Head) -> tuple[float, float, float] | None:
    interval = head.head_circumference_interval_mm
    return None if interval is None else (interval.level, interval.low, interval.high)


def to_outline(ellipse: Ellipse, rows: int, columns: int) -> FloatArray:
    """Return a closed polygon of the part of an ellipse that is in the picture.

    Parameters
    ----------
    ellipse : Ellipse
        In the stored picture.
    rows, columns : int
        Size of the stored picture.

    Returns
    -------
    (OUTLINE_POINTS, 2) float64
        Points (x, y) as DICOM counts them; outside the picture they are moved to its border, as
        DICOM requires.
    """
    turns = np.linspace(0, 2 * math.pi, OUTLINE_POINTS)
    turns[-1] = 0  # so that the last point is exactly the first
    circle = np.stack((np.cos(turns), np.sin(turns)))
    return _to_corner_points((ellipse.to_shape_matrix() @ circle).T, ellipse).clip(
        (0, 0), (columns, rows)
    )


def to_axis_ends(ellipse: Ellipse) -> FloatArray:
    """Return both ends of the major axis, then of the minor axis, (4, 2), as DICOM counts them."""
    major, minor = ellipse.to_shape_matrix().T
    return _to_corner_points(np.stack((-major, major, -minor, minor)), ellipse)


def _to_corner_points(offsets: FloatArray, ellipse: Ellipse) -> FloatArray:
    center = np.array([ellipse.center_x_px, ellipse.center_y_px])
    return np.round(center + offsets + CORNER_TO_CENTER_PX, DECIMALS)


def is_inside(points: FloatArray, rows: int, columns: int) -> bool:
    """Return whether all points, as DICOM counts them, are in the picture, as DICOM requires."""
    return bool((points >= 0).all() and (points <= (columns, rows)).all())
