"""Turn the pixel size that a caller states into a pixel spacing, or refuse it.

Nothing is guessed: without a stated size there is no spacing.
"""

import math

from headcirc.errors import InvalidPixelSizeError
from headcirc.geometry import PixelSpacing, ScaleMarks

MINIMUM_PIXEL_SIZE_MM = 0.005
MAXIMUM_PIXEL_SIZE_MM = 2.0
MINIMUM_MARK_MM, MAXIMUM_MARK_MM = 0.5, 100.0
"""Distance between the marks of a depth scale."""


def read_decimal(text: str) -> float:
    """Return the number that a person wrote, with a decimal point or, as in Europe, a comma.

    Raises
    ------
    ValueError
        It is none, or has both, so that one of them may part thousands.
    """
    if "_" in text:  # which Python takes, as in 1_000
        raise ValueError(f"{text!r} is no number")
    return float(text if "." in text else text.replace(",", ".", 1))


def to_stated_spacing(
    pixel_size_mm: float | None = None,
    *,
    pixel_size_x_mm: float | None = None,
    pixel_size_y_mm: float | None = None,
) -> PixelSpacing | None:
    """Return the pixel spacing that a caller states, or None if nothing is stated.

    Parameters
    ----------
    pixel_size_mm : float, optional
        Side of square pixels; instead of the other two.
    pixel_size_x_mm, pixel_size_y_mm : float, optional
        Width and height of a pixel; both or neither.

    Raises
    ------
    InvalidPixelSizeError
        Stated twice, only one side stated, not finite, or outside 0.005 to 2 mm.
    """
    if pixel_size_mm is not None:
        if pixel_size_x_mm is not None or pixel_size_y_mm is not None:
            raise InvalidPixelSizeError(
                "Both pixel_size_mm and pixel_size_x_mm or pixel_size_y_mm were given; state "
                "either pixel_size_mm (square pixels) or both of the others."
            )
        pixel_size_x_mm = pixel_size_y_mm = pixel_size_mm
    if pixel_size_x_mm is None and pixel_size_y_mm is None:
        return None
    if pixel_size_x_mm is None or pixel_size_y_mm is None:
        raise InvalidPixelSizeError(
            "Only one of pixel_size_x_mm and pixel_size_y_mm was given; state both, or "
            "pixel_size_mm for square pixels."
        )
    for value_mm in (pixel_size_x_mm, pixel_size_y_mm):
        if not (
            math.isfinite(value_mm) and MINIMUM_PIXEL_SIZE_MM <= value_mm <= MAXIMUM_PIXEL_SIZE_MM
        ):
            raise InvalidPixelSizeError(
                f"The pixel size {value_mm} mm was given; it must be a number from "
                f"{MINIMUM_PIXEL_SIZE_MM} to {MAXIMUM_PIXEL_SIZE_MM:g} mm."
            )
    return PixelSpacing(row_mm=pixel_size_y_mm, column_mm=pixel_size_x_mm)


def to_scale_marks(mark_mm: float) -> ScaleMarks:
    """Return the stated distance between the marks of a depth scale, or refuse it.

    Raises
    ------
    InvalidPixelSizeError
        It is not finite, or outside 0.5 to 100 mm.
    """
    if not (math.isfinite(mark_mm) and MINIMUM_MARK_MM <= mark_mm <= MAXIMUM_MARK_MM):
        raise InvalidPixelSizeError(
            f"The marks of the depth scale were said to be {mark_mm} mm apart; the distance must "
            f"be a number from {MINIMUM_MARK_MM} to {MAXIMUM_MARK_MM:g} mm, mostly 5 or 10."
        )
    return ScaleMarks(mark_mm)
