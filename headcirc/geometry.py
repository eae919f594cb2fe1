"""Define the types that all stages share: points, ellipses, pixel spacings, frames and masks.

Coordinates: pixel *centres* lie at integers, x to the right, y down, and (0, 0) is the centre of
the top-left pixel; its outer corner is (-0.5, -0.5). Arrays are (rows, columns), points (x, y).
This module does not know images, files or networks.
"""

import cmath
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headcirc.dicom_source import DicomSource

FloatArray = NDArray[np.float64]
FROM_REQUEST, FROM_SCALE_BAR, FROM_DICOM = "request", "scale-bar", "dicom"
"""Where a pixel size comes from: its caller, the depth scale in the picture, or a DICOM file."""


@dataclass(frozen=True)
class PixelSpacing:
    """Distance between the centres of neighbouring pixels (DICOM order: row, then column).

    Attributes
    ----------
    row_mm : float
        From one row to the next, down the image: the pixel's height.
    column_mm : float
        From one column to the next, along a row: the pixel's width.
    """

    row_mm: float
    column_mm: float


@dataclass(frozen=True)
class ScaleMarks:
    """States that the pixel size is to be taken from the depth scale in the picture.

    Attributes
    ----------
    mark_mm : float
        Distance between neighbouring marks of the scale, which a person has read or knows.
    """

    mark_mm: float


StatedScale = PixelSpacing | ScaleMarks
"""What a caller can state about the scale of a picture."""


@dataclass(frozen=True)
class CalibratedRegion:
    """A rectangle of the frame whose pixel spacing is known.

    Attributes
    ----------
    left_px, top_px, right_px, bottom_px : float
        Its outermost pixel centres, inclusive.
    spacing : PixelSpacing
    source : str
        Where the pixel spacing comes from: `FROM_REQUEST`, `FROM_SCALE_BAR` or `FROM_DICOM`.
    is_from_pixel_spacing : bool
        It is DICOM's Pixel Spacing and not that of an ultrasound region, so it is less certain.
    confidence : float or None
        How sure a depth scale was found, in [0, 1]; None for other sources.
    """

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    spacing: PixelSpacing
    source: str
    is_from_pixel_spacing: bool = False
    confidence: float | None = None


@dataclass(frozen=True)
class Frame:
    """A decoded, upright picture and what is known of its scale.

    Attributes
    ----------
    pixels : (rows, columns) uint8
        Grey values.
    calibrations : tuple of CalibratedRegion
        Empty where no pixel size is known.
    has_narrow_range : bool
        The file stores 16 bits per sample and uses at most a sixteenth of that range, so `pixels`
        may show other black and white levels than intended.
    orientation : int
        EXIF orientation, 1 to 8, that was applied to the stored picture; 1 leaves it unchanged.
    has_unusable_calibration : bool
        The file states pixel sizes that cannot be true, or none that is a length.
    source : DicomSource or None
        The DICOM object that the picture was read from; None for other files.
    """

    pixels: NDArray[np.uint8]
    calibrations: tuple[CalibratedRegion, ...] = ()
    has_narrow_range: bool = False
    orientation: int = 1
    has_unusable_calibration: bool = False
    source: DicomSource | None = None

    @property
    def pixel_aspect(self) -> float:
        """Return a pixel's width over its height; 1 where no pixel size is known."""
        if not self.calibrations:
            return 1.0
        spacing = self.calibrations[0].spacing
        return spacing.column_mm / spacing.row_mm


@dataclass(frozen=True)
class Ellipse:
    """An ellipse on a pixel grid.

    Attributes
    ----------
    center_x_px, center_y_px : float
        Centre; the module docstring defines the origin.
    semi_axis_major_px, semi_axis_minor_px : float
        Half axes, `semi_axis_major_px >= semi_axis_minor_px > 0`.
    angle_rad : float
        Direction of the major axis in [0, pi), from +x towards +y.
    """

    center_x_px: float
    center_y_px: float
    semi_axis_major_px: float
    semi_axis_minor_px: float
    angle_rad: float

    def to_shape_matrix(self) -> FloatArray:
        """Return the (2, 2) matrix that maps the unit circle to this ellipse around (0, 0)."""
        cosine, sine = math.cos(self.angle_rad), math.sin(self.angle_rad)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        axes_px = np.array([self.semi_axis_major_px, self.semi_axis_minor_px])
        return np.asarray(rotation * axes_px)


@dataclass(frozen=True)
class GridMapping:
    """Where a frame lies on the network's grid.

    Attributes
    ----------
    frame_rows, frame_columns : int
        Size of the frame.
    content_rows, content_columns : int
        Size of the resized frame on the network's grid.
    top, left : int
        Network row and column of the content's first pixel; around it is padding.
    """

    frame_rows: int
    frame_columns: int
    content_rows: int
    content_columns: int
    top: int
    left: int

    def to_network_affine(self) -> FloatArray:
        """Return the (2, 3) affine map from frame to network coordinates (pixel centres)."""
        scale_x = self.content_columns / self.frame_columns
        scale_y = self.content_rows / self.frame_rows
        return np.array(
            [
                [scale_x, 0.0, 0.5 * scale_x - 0.5 + self.left],
                [0.0, scale_y, 0.5 * scale_y - 0.5 + self.top],
            ]
        )

    def to_content(self, points: FloatArray) -> FloatArray:
        """Map (2, ...) x and y from the frame to the network's grid without padding."""
        scales = np.array(
            [self.content_columns / self.frame_columns, self.content_rows / self.frame_rows]
        )
        scales = scales.reshape(2, *[1] * (points.ndim - 1))
        content: FloatArray = (points + 0.5) * scales - 0.5
        return content

    def crop(self, grid: NDArray[Any]) -> NDArray[Any]:
        """Return the part of (..., height, width) on the network's grid that shows the frame."""
        return grid[
            ...,
            self.top : self.top + self.content_rows,
            self.left : self.left + self.content_columns,
        ]


@dataclass(frozen=True)
class HeadMask:
    """The head's mask in the frame, and two measures of how certain it is.

    Attributes
    ----------
    pixels : (rows, columns) bool, frame grid
        True inside the head; one component without holes.
    largest_rejected_share : float
        Area of the largest other component over the head's area; 0 without another component.
    mean_probability : float
        Mean of the network's probabilities over the head's pixels.
    """

    pixels: NDArray[np.bool_]
    largest_rejected_share: float
    mean_probability: float


def to_axes(shape_matrix: FloatArray) -> tuple[float, float, float]:
    """Return the axes and the angle of the ellipse that a linear map makes of the unit circle.

    Parameters
    ----------
    shape_matrix : (2, 2) float64
        Any linear map of the plane, in any unit.

    Returns
    -------
    semi_major, semi_minor, angle_rad : float
        Axes in the unit of the matrix; the angle in [0, pi), from +x towards +y.

    References
    ----------
    Blinn 1996, "Consider the lowly 2x2 matrix", doi:10.1109/38.486688: the map is the sum of a
    rotation with scaling and a reflection with scaling. The axes are the sum and the difference of
    the two scales.
    """
    (a, b), (c, d) = shape_matrix.tolist()
    rotated, reflected = complex(a + d, c - b) / 2, complex(a - d, c + b) / 2
    larger, smaller = abs(rotated) + abs(reflected), abs(abs(rotated) - abs(reflected))
    return larger, smaller, _to_half_turn((cmath.phase(rotated) + cmath.phase(reflected)) / 2)


def to_ellipse(center: tuple[float, float], axes: tuple[float, float], angle_deg: float) -> Ellipse:
    """Convert the result of an OpenCV ellipse fit.

    Parameters
    ----------
    center : (x, y)
        In pixels.
    axes : (first, second)
        Full axes in pixels; OpenCV gives the smaller first.
    angle_deg : float
        Direction of the first axis, from +x towards +y.
    """
    first_axis, second_axis = axes
    if first_axis < second_axis:
        first_axis, second_axis, angle_deg = second_axis, first_axis, angle_deg + 90
    return Ellipse(
        center_x_px=float(center[0]),
        center_y_px=float(center[1]),
        semi_axis_major_px=first_axis / 2,
        semi_axis_minor_px=second_axis / 2,
        angle_rad=_to_half_turn(math.radians(angle_deg)),
    )


def _to_half_turn(angle_rad: float) -> float:
    """Return the same direction of an axis in [0, pi)."""
    remainder = angle_rad % math.pi
    return remainder if remainder < math.pi else 0.0  # -1e-16 % pi rounds to pi


def to_affine_image(ellipse: Ellipse, affine: FloatArray) -> Ellipse:
    """Apply an affine map of the plane to an ellipse.

    Parameters
    ----------
    ellipse : Ellipse
        In the coordinates that the map takes as input.
    affine : (2, 3) float64
        Linear part and translation: `[x', y'] = affine @ [x, y, 1]`.

    Returns
    -------
    Ellipse
        In the coordinates that the map returns.
    """
    center = affine @ np.array([ellipse.center_x_px, ellipse.center_y_px, 1.0])
    semi_major, semi_minor, angle_rad = to_axes(affine[:, :2] @ ellipse.to_shape_matrix())
    return Ellipse(float(center[0]), float(center[1]), semi_major, semi_minor, angle_rad)


def to_ellipse_perimeter(semi_axis_major: float, semi_axis_minor: float) -> float:
    """Return the perimeter of an ellipse, in the unit of its semi-axes.

    References
    ----------
    Ramanujan 1914, "Modular equations and approximations to pi", second approximation; its error
    is below 1e-4 mm for a head of any size down to an axis ratio of 0.6.
    """
    total = semi_axis_major + semi_axis_minor
    h = ((semi_axis_major - semi_axis_minor) / total) ** 2
    return math.pi * total * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def to_half_extents(ellipse: Ellipse) -> tuple[float, float]:
    """Return how far an ellipse reaches from its centre along x and along y, in pixels."""
    major_px, minor_px = ellipse.semi_axis_major_px, ellipse.semi_axis_minor_px
    cosine, sine = math.cos(ellipse.angle_rad), math.sin(ellipse.angle_rad)
    half_x_px = math.hypot(major_px * cosine, minor_px * sine)
    half_y_px = math.hypot(major_px * sine, minor_px * cosine)
    return half_x_px, half_y_px
