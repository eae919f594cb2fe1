"""Rasterise ellipses: find the pixels inside, and the share of each pixel that is covered.

Pixel centres lie at integer coordinates, as in `geometry`. This module measures nothing.
"""

import math

import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import Ellipse, FloatArray, to_half_extents


def to_filled_ellipse(
    ellipse: Ellipse, rows: int, columns: int
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the pixels whose centres lie inside an ellipse, within its bounding box.

    Parameters
    ----------
    ellipse : Ellipse
        In grid pixels.
    rows, columns : int
        Size of the grid.

    Returns
    -------
    box : (slice, slice)
        Rows and columns of the ellipse's bounding box, cut at the grid's border.
    inside : (box rows, box columns) bool
    """
    half_x, half_y = to_half_extents(ellipse)
    first_row = min(max(math.ceil(ellipse.center_y_px - half_y), 0), rows)
    first_column = min(max(math.ceil(ellipse.center_x_px - half_x), 0), columns)
    end_row = min(max(math.floor(ellipse.center_y_px + half_y) + 1, first_row), rows)
    end_column = min(max(math.floor(ellipse.center_x_px + half_x) + 1, first_column), columns)
    # Each row enters and leaves the ellipse at the same distance from the ellipse's middle there.
    # The middles lie on the line through the centre and the ellipse's highest point.
    major_px, minor_px = ellipse.semi_axis_major_px, ellipse.semi_axis_minor_px
    y = ((np.arange(first_row, end_row) - ellipse.center_y_px) / half_y)[:, None]
    turn = math.sin(2 * ellipse.angle_rad) / 2
    middle = ellipse.center_x_px + turn * (major_px**2 - minor_px**2) / half_y * y
    reach = major_px * minor_px / half_y * np.sqrt(np.maximum(1 - y * y, 0))
    # 16 bits: no side of a grid is longer (`readers.limits.MAXIMUM_SIDE_PX`).
    entry = np.clip(np.ceil(middle - reach), first_column, end_column).astype(np.int16)
    last = np.clip(np.floor(middle + reach), first_column - 1, end_column - 1).astype(np.int16)
    x = np.arange(first_column, end_column, dtype=np.int16)
    inside = x >= entry
    inside &= x <= last
    return (slice(first_row, end_row), slice(first_column, end_column)), inside


def to_edge_distance_px(ellipse: Ellipse, rows: int, columns: int) -> FloatArray:
    """Return each pixel's distance from the ellipse's edge, in grid pixels, negative inside.

    It is a first-order approximation: exact at the edge, too small or too large far from it.
    """
    inverse = np.linalg.inv(ellipse.to_shape_matrix())
    x = np.arange(columns) - ellipse.center_x_px
    y = (np.arange(rows) - ellipse.center_y_px)[:, None]
    u = inverse[0, 0] * x + inverse[0, 1] * y
    v = inverse[1, 0] * x + inverse[1, 1] * y
    radius = np.maximum(np.sqrt(u * u + v * v), 1e-6)  # the very centre has no gradient
    gradient = np.hypot(
        inverse[0, 0] * u + inverse[1, 0] * v, inverse[0, 1] * u + inverse[1, 1] * v
    )
    return np.asarray((radius - 1) * radius / np.maximum(gradient, 1e-9))


def to_ellipse_coverage(ellipse: Ellipse, rows: int, columns: int) -> NDArray[np.float32]:
    """Draw a filled ellipse with soft edges.

    Parameters
    ----------
    ellipse : Ellipse
        In grid pixels.
    rows, columns : int
        Size of the grid.

    Returns
    -------
    (rows, columns) float32 in [0, 1]
        Share of each pixel that the ellipse covers: 1 inside, 0 outside, and a linear ramp one
        pixel wide between them, from `to_edge_distance_px`.
    """
    distance_px = to_edge_distance_px(ellipse, rows, columns)
    return np.asarray(np.clip(0.5 - distance_px, 0, 1), np.float32)
