"""Mask edge to ellipse.

The edge of a mask lies between pixels. Its points here are the midpoints between each pixel inside
and its neighbour outside, along rows and along columns: on a smooth outline the true edge is as
often on one side of them as on the other, so the fit has no half-pixel bias (contours of pixel
centres are half a pixel small on every side, near 0.4 mm of circumference at 0.13 mm a pixel).
Where the head is cut off by the frame's border there is no neighbour, hence no point, hence no
false edge. This room does not know millimetres.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, to_ellipse

MINIMUM_EDGE_POINTS = 16
MAXIMUM_AXIS_RATIO = 4.0
"""No head is four times as long as wide; a fit that is has failed."""


def fit_head_ellipse(mask: NDArray[np.bool_]) -> Ellipse | None:
    """Fit one ellipse to the outer edge of the head.

    Parameters
    ----------
    mask : (rows, columns) bool, frame grid
        True inside the head; one component without holes.

    Returns
    -------
    Ellipse or None
        In frame pixels. None if the edge has too few points or no head-like ellipse fits it.

    References
    ----------
    Fitzgibbon, Fisher 1995, "A buyer's guide to conic fitting" (algebraic least squares).

    Notes
    -----
    OpenCV 5's direct fit (`fitEllipseDirect`) is up to 0.3 % small on exact masks whose edge is
    symmetrical: a circle about a pixel centre, or an ellipse cut off on three sides.
    """
    points = to_edge_points(mask)
    if len(points) < MINIMUM_EDGE_POINTS:
        return None
    # The fit's numbers are best conditioned about the centre of the points.
    origin = points.mean(axis=0)
    (x, y), axes, angle_deg = cv2.fitEllipse(points - origin)
    finite = all(map(math.isfinite, (x, y, *axes, angle_deg)))
    if not finite or min(axes) * MAXIMUM_AXIS_RATIO < max(axes):
        return None
    return to_ellipse((x + origin[0], y + origin[1]), axes, angle_deg)


def to_edge_points(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the midpoints between neighbouring pixels inside and outside.

    Parameters
    ----------
    mask : (rows, columns) bool, frame grid

    Returns
    -------
    (n, 2) float32
        x and y in frame pixels; none on the frame's border.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    left, top, right, bottom = max(left - 1, 0), max(top - 1, 0), left + width + 1, top + height + 1
    box = mask[top:bottom, left:right]  # the head and, inside the frame, a pixel around it
    rows, columns = np.divmod(np.flatnonzero(box[:, 1:] != box[:, :-1]), box.shape[1] - 1)
    along_rows = np.column_stack((columns + (left + 0.5), rows + top))
    rows, columns = np.divmod(np.flatnonzero(box[1:] != box[:-1]), box.shape[1])
    along_columns = np.column_stack((columns + left, rows + (top + 0.5)))
    return np.concatenate((along_rows, along_columns)).astype(np.float32)
