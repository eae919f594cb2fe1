"""Turn an ellipse into millimetres.

The whole ellipse is mapped from pixels to millimetres: with unequal pixel sizes, the axes of a
rotated ellipse must not be scaled one by one. Without a calibrated region that holds the head there
are no millimetres; nothing is guessed.
"""

import math
from dataclasses import dataclass

import numpy as np

from headcirc.geometry import (
    CalibratedRegion,
    Ellipse,
    PixelSpacing,
    to_axes,
    to_ellipse_perimeter,
)


@dataclass(frozen=True)
class HeadMeasurement:
    """The head in millimetres.

    Attributes
    ----------
    head_circumference_mm : float
        Perimeter of the ellipse on the outer edge of the skull.
    biparietal_diameter_mm, occipitofrontal_diameter_mm : float
        Minor and major axis of that ellipse: outer to outer, not the outer-to-inner diameter of
        some charts.
    cephalic_index : float
        Their ratio, in (0, 1].
    area_mm2 : float
        Inside the ellipse.
    """

    head_circumference_mm: float
    biparietal_diameter_mm: float
    occipitofrontal_diameter_mm: float
    cephalic_index: float
    area_mm2: float


def measure_head(ellipse: Ellipse, spacing: PixelSpacing) -> HeadMeasurement:
    """Map the ellipse to millimetres and take its figures.

    Parameters
    ----------
    ellipse : Ellipse
        In frame pixels.
    spacing : PixelSpacing
        Of the region that holds it.
    """
    to_mm = np.diag([spacing.column_mm, spacing.row_mm])
    semi_major_mm, semi_minor_mm, _ = to_axes(to_mm @ ellipse.to_shape_matrix())
    return HeadMeasurement(
        head_circumference_mm=to_ellipse_perimeter(semi_major_mm, semi_minor_mm),
        biparietal_diameter_mm=2 * semi_minor_mm,
        occipitofrontal_diameter_mm=2 * semi_major_mm,
        cephalic_index=semi_minor_mm / semi_major_mm,
        area_mm2=math.pi * semi_major_mm * semi_minor_mm,
    )


def find_region(
    calibrations: tuple[CalibratedRegion, ...], ellipse: Ellipse
) -> CalibratedRegion | None:
    """Return the calibrated region that the centre of the ellipse lies in, or None."""
    for region in calibrations:
        inside_x = region.left_px - 0.5 <= ellipse.center_x_px <= region.right_px + 0.5
        inside_y = region.top_px - 0.5 <= ellipse.center_y_px <= region.bottom_px + 0.5
        if inside_x and inside_y:
            return region
    return None
