"""Ellipse fits to compare with the shipped fit; all have the same signature."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.ellipse import fit_head_ellipse
from headcirc.geometry import Ellipse, HeadMask, to_ellipse

Probabilities = NDArray[np.float32]
Points = NDArray[np.float32]
Fit = Callable[[Probabilities, HeadMask, float], Ellipse | None]
MINIMUM_EDGE_POINTS = 16
TRIM_ROUNDS = 5
TRIM_DEVIATIONS = 2.5


def to_edge_points(mask: NDArray[np.bool_]) -> Points:
    """Return the midpoints between neighbouring pixels inside and outside the mask.

    Returns
    -------
    (n, 2) float32
        x and y. No point lies on the frame's border, because pixels there have no neighbour.
    """
    rows, columns = np.nonzero(mask[:, 1:] != mask[:, :-1])
    along_rows = np.column_stack((columns + 0.5, rows))
    rows, columns = np.nonzero(mask[1:] != mask[:-1])
    along_columns = np.column_stack((columns, rows + 0.5))
    return np.concatenate((along_rows, along_columns)).astype(np.float32)


def fit_least_squares(_: Probabilities, head_mask: HeadMask, threshold: float) -> Ellipse | None:
    """Fit the mask's edge by algebraic least squares (Fitzgibbon, Fisher 1995)."""
    del threshold
    return _fit_points(to_edge_points(head_mask.pixels), cv2.fitEllipse)


def fit_approximate_mean_square(
    _: Probabilities, head_mask: HeadMask, threshold: float
) -> Ellipse | None:
    """Fit the mask's edge by the approximate mean square distance (Taubin 1991)."""
    del threshold
    return _fit_points(to_edge_points(head_mask.pixels), cv2.fitEllipseAMS)


def fit_trimmed(_: Probabilities, head_mask: HeadMask, threshold: float) -> Ellipse | None:
    """Fit by least squares several times; drop the outlying points before each new fit."""
    del threshold
    points = to_edge_points(head_mask.pixels)
    kept = points
    for _round in range(TRIM_ROUNDS):
        ellipse = _fit_points(kept, cv2.fitEllipse)
        if ellipse is None:
            return None
        distances = _to_radial_distances(ellipse, points)
        kept = points[np.abs(distances) <= TRIM_DEVIATIONS * distances.std()]
    return ellipse


def fit_weighted_moments(
    probabilities: Probabilities, head_mask: HeadMask, threshold: float
) -> Ellipse | None:
    """Return the ellipse with the second moments of the probabilities in and around the mask."""
    del threshold
    surroundings = cv2.dilate(head_mask.pixels.astype(np.uint8), np.ones((15, 15), np.uint8))
    moments = cv2.moments(probabilities * surroundings)
    mass = moments["m00"]
    covariance = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])
    variances, directions = np.linalg.eigh(covariance / mass)
    minor_px, major_px = np.sqrt(mass / math.pi * np.sqrt(variances / variances[::-1]))
    angle_rad = math.atan2(directions[1, 1], directions[0, 1]) % math.pi
    return Ellipse(moments["m10"] / mass, moments["m01"] / mass, major_px, minor_px, angle_rad)


FITS: dict[str, Fit] = {
    "soft edge": fit_head_ellipse,
    "least squares": fit_least_squares,
    "approximate mean square": fit_approximate_mean_square,
    "trimmed least squares": fit_trimmed,
    "weighted moments": fit_weighted_moments,
}


def _fit_points(
    points: Points, fit: Callable[[Points], tuple[tuple[float, float], tuple[float, float], float]]
) -> Ellipse | None:
    if len(points) < MINIMUM_EDGE_POINTS:
        return None
    origin = points.mean(axis=0)  # the fits are best conditioned about the centre of the points
    center, axes, angle_deg = fit(points - origin)
    values = (*center, *axes, angle_deg)
    if not all(map(math.isfinite, values)) or min(axes) <= 0:
        return None
    return to_ellipse((center[0] + origin[0], center[1] + origin[1]), axes, angle_deg)


def _to_radial_distances(ellipse: Ellipse, points: Points) -> NDArray[np.float64]:
    """Return the distances in pixels from the ellipse, along the rays from its centre."""
    offsets = points - np.array([ellipse.center_x_px, ellipse.center_y_px])
    on_circle = np.linalg.solve(ellipse.to_shape_matrix(), offsets.T)
    radii = np.linalg.norm(on_circle, axis=0)
    return np.asarray(np.linalg.norm(offsets, axis=1) * (1 - 1 / np.maximum(radii, 1e-9)))
