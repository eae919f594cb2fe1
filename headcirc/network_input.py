"""Resize, pad and normalise a frame for the network, and map the result back to the frame.

The frame is resized by area averaging and centred on a black canvas. A network pixel always covers
the same shape in millimetres (`pixel_aspect` in the manifest), so a head keeps its shape for the
network, whatever the proportions of the frame and of its pixels. This stage reads no files and runs
no network.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import GridMapping
from headcirc.model.manifest import InputFacts


def to_grid_mapping(
    frame_rows: int, frame_columns: int, facts: InputFacts, *, frame_pixel_aspect: float = 1.0
) -> GridMapping:
    """Choose the largest content size that fits the network's grid at its pixel aspect.

    Parameters
    ----------
    frame_rows, frame_columns : int
        Size of the frame, at least one pixel each.
    facts : InputFacts
        Size and pixel aspect of the network's grid.
    frame_pixel_aspect : float
        Width over height of the frame's pixels.

    Returns
    -------
    GridMapping
        Content centred on the grid, at least one network pixel high and wide.
    """
    aspect = facts.pixel_aspect / frame_pixel_aspect  # in the frame's pixels
    step_rows = max(frame_rows / facts.height_px, frame_columns / (facts.width_px * aspect))
    content_rows = max(1, min(facts.height_px, round(frame_rows / step_rows)))
    content_columns = max(1, min(facts.width_px, round(frame_columns / (step_rows * aspect))))
    return GridMapping(
        frame_rows=frame_rows,
        frame_columns=frame_columns,
        content_rows=content_rows,
        content_columns=content_columns,
        top=(facts.height_px - content_rows) // 2,
        left=(facts.width_px - content_columns) // 2,
    )


def normalise(pixels: NDArray[np.uint8], facts: InputFacts) -> NDArray[np.float32]:
    """Normalise grey values for the network: (value / 255 - mean) / standard deviation.

    Parameters
    ----------
    pixels : (...) uint8
        Grey values from 0 to 255.
    facts : InputFacts
        Mean and standard deviation of the training frames, on a scale from 0 to 1.

    Returns
    -------
    (...) float32
    """
    scale = 1.0 / (255.0 * facts.standard_deviation)
    shift = -facts.mean / facts.standard_deviation
    return pixels.astype(np.float32) * np.float32(scale) + np.float32(shift)


def to_greys(network_input: NDArray[np.float32], facts: InputFacts) -> NDArray[np.uint8]:
    """Undo `normalise`: (...) float32 to grey values from 0 to 255, uint8."""
    scale = 255.0 * facts.standard_deviation
    greys = cv2.convertScaleAbs(network_input, alpha=scale, beta=255.0 * facts.mean)
    return np.asarray(greys, np.uint8)


def to_network_input(
    pixels: NDArray[np.uint8], facts: InputFacts, *, frame_pixel_aspect: float = 1.0
) -> tuple[NDArray[np.float32], GridMapping]:
    """Resize, pad and normalise a frame.

    Parameters
    ----------
    pixels : (rows, columns) uint8, frame grid
        Grey values of the upright image.
    facts : InputFacts
        What the network expects, from its manifest.
    frame_pixel_aspect : float
        Width over height of the frame's pixels; see `Frame.pixel_aspect`.

    Returns
    -------
    network_input : (1, 1, height_px, width_px) float32, network grid
        Normalised grey values; padding is black.
    mapping : GridMapping
        Maps the network's grid back to the frame.
    """
    rows, columns = pixels.shape
    mapping = to_grid_mapping(rows, columns, facts, frame_pixel_aspect=frame_pixel_aspect)
    size = (mapping.content_columns, mapping.content_rows)
    canvas = np.zeros((facts.height_px, facts.width_px), np.uint8)
    content = canvas[mapping.top :, mapping.left :][
        : mapping.content_rows, : mapping.content_columns
    ]
    content[:] = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return normalise(canvas, facts)[None, None], mapping
