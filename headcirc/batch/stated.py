"""Define what a caller states about one image of a folder."""

from dataclasses import dataclass

from headcirc.geometry import StatedScale


@dataclass(frozen=True)
class StatedFacts:
    """What a caller states about one image; None where nothing is stated.

    Attributes
    ----------
    scale : PixelSpacing or ScaleMarks, optional
    gestational_age_days : int, optional
    """

    scale: StatedScale | None = None
    gestational_age_days: int | None = None


NOTHING = StatedFacts()
