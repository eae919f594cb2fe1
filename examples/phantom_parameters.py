"""Define a phantom's parameters and its ground truth: circumference, ellipse and pixel spacing."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.phantom_anatomy import HeadShape
from headcirc.geometry import Ellipse, PixelSpacing, to_affine_image, to_ellipse_perimeter

PARAMETERS_PATH = Path(__file__).with_name("phantoms.json")


@dataclass(frozen=True)
class PhantomParameters:
    """Parameters of one phantom. Names end with the unit; `_grey` is from 0 to 255.

    Diameters are outer to outer. `angle_deg` is the direction of the occipitofrontal axis in
    millimetre space, from +x towards +y. The probe is curved. The middle of its surface is at
    (`probe_x_px`, `probe_y_px`), which lies outside the frame in zoomed pictures. The wedge is a
    shadow below the near skull, `wedge_deg` from the central beam; strength 0 means no wedge.
    """

    seed: int
    rows: int
    columns: int
    pixel_size_x_mm: float
    pixel_size_y_mm: float
    center_x_px: float
    center_y_px: float
    occipitofrontal_diameter_mm: float
    biparietal_diameter_mm: float
    angle_deg: float
    skull_thickness_mm: float
    probe_x_px: float
    probe_y_px: float
    probe_radius_mm: float = 55.0
    sector_half_angle_deg: float = 34.0
    skull_grey: float = 225.0
    side_wall_share: float = 0.3
    brain_grey: float = 38.0
    midline_grey: float = 120.0
    choroid_grey: float = 105.0
    tissue_grey: float = 62.0
    fluid_grey: float = 12.0
    fluid_mm: float = 4.0
    speckle: float = 1.0
    axial_resolution_mm: float = 0.3
    lateral_resolution_deg: float = 0.28
    attenuation_per_mm: float = 0.003
    skull_absorption_per_mm: float = 0.035
    wedge_deg: float = 0.0
    wedge_half_width_deg: float = 4.0
    wedge_strength: float = 0.0
    grey_bar: bool = False

    @property
    def spacing(self) -> PixelSpacing:
        """Return the pixel spacing in DICOM order."""
        return PixelSpacing(self.pixel_size_y_mm, self.pixel_size_x_mm)

    @property
    def head(self) -> HeadShape:
        """Return the skull's outer edge in frame millimetres."""
        return HeadShape(
            self.center_x_px * self.pixel_size_x_mm,
            self.center_y_px * self.pixel_size_y_mm,
            self.occipitofrontal_diameter_mm / 2,
            self.biparietal_diameter_mm / 2,
            math.radians(self.angle_deg),
            self.skull_thickness_mm,
        )


def load_parameters(path: Path = PARAMETERS_PATH) -> list[PhantomParameters]:
    """Read the committed parameter sets, in order."""
    return [PhantomParameters(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def true_head_circumference_mm(parameters: PhantomParameters) -> float:
    """Return the perimeter of the skull's outer edge in mm."""
    head = parameters.head
    return to_ellipse_perimeter(head.semi_axis_major_mm, head.semi_axis_minor_mm)


def true_ellipse(parameters: PhantomParameters) -> Ellipse:
    """Return the skull's outer edge in frame pixels."""
    head = parameters.head
    in_mm = Ellipse(
        head.center_x_mm,
        head.center_y_mm,
        head.semi_axis_major_mm,
        head.semi_axis_minor_mm,
        head.angle_rad % math.pi,
    )
    x_per_mm, y_per_mm = 1 / parameters.pixel_size_x_mm, 1 / parameters.pixel_size_y_mm
    return to_affine_image(in_mm, np.array([[x_per_mm, 0.0, 0.0], [0.0, y_per_mm, 0.0]]))
