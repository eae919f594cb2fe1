"""Turn an ellipse into millimetres.

The ellipse is mapped from pixels to millimetres as a whole: where pixels are not square, the axes
of a rotated ellipse must not be scaled one by one. The pixel size is never guessed. If no
calibrated region contains the head, there are no values in millimetres.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from headcirc.geometry import (
    CalibratedRegion,
    Ellipse,
    PixelSpacing,
    to_axes,
    to_ellipse_perimeter,
)
from headcirc.model.site import SiteFacts


@dataclass(frozen=True)
class HeadMeasurement:
    """The head in millimetres.

    Attributes
    ----------
    head_circumference_mm : float
        Perimeter of the ellipse on the outer edge of the skull, corrected where there is a site
        file.
    head_circumference_raw_mm : float
        The same perimeter without a site's correction.
    biparietal_diameter_mm, occipitofrontal_diameter_mm : float
        Minor and major axis of that ellipse, outer edge to outer edge. Some charts use the
        outer-to-inner diameter instead.
    cephalic_index : float
        Biparietal over occipitofrontal diameter, in (0, 1].
    area_mm2 : float
        Area of the ellipse.
    """

    head_circumference_mm: float
    head_circumference_raw_mm: float
    biparietal_diameter_mm: float
    occipitofrontal_diameter_mm: float
    cephalic_index: float
    area_mm2: float

    def correct(self, site: SiteFacts) -> "HeadMeasurement":
        """Apply a site's correction to the circumference; axes, index and area stay."""
        corrected_mm = site.correct(self.head_circumference_raw_mm)
        return replace(self, head_circumference_mm=corrected_mm)


def measure_head(ellipse: Ellipse, spacing: PixelSpacing) -> HeadMeasurement:
    """Map the ellipse to millimetres and compute its measurements.

    Parameters
    ----------
    ellipse : Ellipse
        In frame pixels.
    spacing : PixelSpacing
        Pixel spacing of the region that contains the ellipse.

    Returns
    -------
    HeadMeasurement
        The circumference is `geometry.to_ellipse_perimeter`, Ramanujan's second approximation.
    """
    to_mm = np.diag([spacing.column_mm, spacing.row_mm])
    semi_major_mm, semi_minor_mm, _ = to_axes(to_mm @ ellipse.to_shape_matrix())
    circumference_mm = to_ellipse_perimeter(semi_major_mm, semi_minor_mm)
    return HeadMeasurement(
        head_circumference_mm=circumference_mm,
        head_circumference_raw_mm=circumference_mm,
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
