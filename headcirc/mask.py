"""Turn a probability map into the mask of the head.

Among several components, the head is the one with the largest product of area, probability and
ellipticity: in early pregnancy the body beside the head can be larger. Holes are filled. This stage
fits no ellipse and knows no millimetres.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from headcirc.geometry import GridMapping, HeadMask
from headcirc.model.manifest import MaskFacts


def to_frame_grid(
    probability_map: NDArray[np.float32], mapping: GridMapping
) -> NDArray[np.float32]:
    """Crop the padding and resize a probability map to the frame.

    Parameters
    ----------
    probability_map : (height_px, width_px) float32, network grid
    mapping : GridMapping
        Where the frame lies on the network's grid.

    Returns
    -------
    (rows, columns) float32, frame grid
    """
    size = (mapping.frame_columns, mapping.frame_rows)
    content = mapping.crop(probability_map)
    return np.asarray(cv2.resize(content, size, interpolation=cv2.INTER_LINEAR))


def to_head_mask(probabilities: NDArray[np.float32], facts: MaskFacts) -> HeadMask | None:
    """Threshold the probabilities, select the head's component and fill its holes.

    Parameters
    ----------
    probabilities : (rows, columns) float32, frame grid
    facts : MaskFacts
        Threshold, smallest area and weight of the shape, from the manifest.

    Returns
    -------
    HeadMask or None
        None if no component is large enough, or if the mean probability of the selected component
        is below `minimum_mean_probability`. Noise and photographs can pass the threshold, but only
        with low probabilities.
    """
    binary = (probabilities > facts.threshold).view(np.uint8)
    outlines, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    smallest_area_px = facts.minimum_head_share * binary.size
    areas_px = [cv2.contourArea(outline) for outline in outlines]
    candidates = [i for i, area_px in enumerate(areas_px) if area_px >= smallest_area_px]
    if not candidates:
        return None
    head = candidates[0]
    if len(candidates) > 1:
        head = max(candidates, key=lambda i: _to_head_score(outlines[i], probabilities, facts))
    others = [area_px for i, area_px in enumerate(areas_px) if i != head]
    box, inside = _to_filled(outlines[head])
    # The two factors are multiplied and summed in one pass; `cv2.mean` takes twice as long.
    total = float(np.einsum("ij,ij->", probabilities[box], inside.astype(np.float32)))
    mean_probability = total / cv2.countNonZero(inside)
    if mean_probability < facts.minimum_mean_probability:
        return None
    pixels = np.zeros(binary.shape, np.bool_)
    pixels[box] = inside
    rejected_share = max(others, default=0.0) / areas_px[head]
    return HeadMask(pixels, rejected_share, mean_probability)


def _to_filled(outline: NDArray[np.int32]) -> tuple[tuple[slice, slice], NDArray[np.uint8]]:
    """Return an outline's bounding box (rows, columns) and its filled area there, as 0 and 1."""
    x, y, width, height = cv2.boundingRect(outline)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [outline], 0, 1, cv2.FILLED, offset=(-x, -y))
    return (slice(y, y + height), slice(x, x + width)), inside


def _to_head_score(
    outline: NDArray[np.int32], probabilities: NDArray[np.float32], facts: MaskFacts
) -> float:
    """Return the outline's summed probability times a power of its ellipticity.

    Ellipticity is the outline's area divided by the area of the ellipse with the same second
    moments. It is 1 for an ellipse and smaller for every other shape.
    """
    moments = cv2.moments(outline)
    box, inside = _to_filled(outline)
    weight = float(probabilities[box][inside > 0].sum())
    determinant = moments["mu20"] * moments["mu02"] - moments["mu11"] ** 2
    if determinant <= 0:
        return 0.0
    ellipticity = moments["m00"] ** 2 / (4 * math.pi * math.sqrt(determinant))
    return float(weight * min(ellipticity, 1.0) ** facts.ellipticity_power)
