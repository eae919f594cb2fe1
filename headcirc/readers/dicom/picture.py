"""Cut the picture out of the screen that a DICOM file stores.

Only the regions with a picture go on: not the texts, curves and spectra beside them. They would
disturb the network, and the texts may name the patient.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headcirc.readers.dicom.calibration import ScreenRegion

SMALLEST_SIDE_PX = 32
BRIGHT = 24
"""Grey value that the dark surroundings of a picture seldom have."""
CUT_SHARE = 0.1
"""Smallest share of bright pixels, on both sides, of a border that cuts through a picture."""
CUT_CORRELATION = 0.6
"""Neighbouring lines of speckle resemble one another; a picture and what is beside it do not.

On 162 pictures of HC18 on a black screen, these limits notice 92 % to 100 % of those scaled by 0.8
to 2, and none of the others."""


@dataclass(frozen=True)
class Box:
    """A rectangle of the stored picture, by its outermost pixels, inclusive."""

    left_px: int
    top_px: int
    right_px: int
    bottom_px: int

    def cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the pixels of the rectangle."""
        return pixels[self.top_px : self.bottom_px + 1, self.left_px : self.right_px + 1]


def to_whole(pixels: NDArray[np.uint8]) -> Box:
    """Return the rectangle of the whole stored picture."""
    rows, columns = pixels.shape
    return Box(0, 0, columns - 1, rows - 1)


def find_box(pictures: tuple[ScreenRegion, ...], pixels: NDArray[np.uint8]) -> Box:
    """Return the smallest rectangle around the regions with a picture; the whole without any."""
    if not pictures:
        return to_whole(pixels)
    return Box(
        min(each.left_px for each in pictures),
        min(each.top_px for each in pictures),
        max(each.right_px for each in pictures),
        max(each.bottom_px for each in pictures),
    )


def fits_picture(box: Box, pixels: NDArray[np.uint8]) -> bool:
    """Return False if the rectangle is too small, or if its border cuts through a picture.

    A border in the middle of speckle shows that the stored picture was scaled up or moved since
    its regions were written.

    Parameters
    ----------
    box : Box
    pixels : (rows, columns) uint8
        The stored picture.
    """
    rows, columns = pixels.shape
    height, width = box.bottom_px - box.top_px + 1, box.right_px - box.left_px + 1
    if min(height, width) < min(SMALLEST_SIDE_PX, rows, columns):
        return False
    inside, lines = box.cut(pixels), []
    if box.left_px > 0:
        lines.append((inside[:, 0], pixels[box.top_px : box.bottom_px + 1, box.left_px - 1]))
    if box.right_px < columns - 1:
        lines.append((inside[:, -1], pixels[box.top_px : box.bottom_px + 1, box.right_px + 1]))
    if box.top_px > 0:
        lines.append((inside[0], pixels[box.top_px - 1, box.left_px : box.right_px + 1]))
    if box.bottom_px < rows - 1:
        lines.append((inside[-1], pixels[box.bottom_px + 1, box.left_px : box.right_px + 1]))
    return not any(_is_cut(*pair) for pair in lines)


def _is_cut(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
    """Return whether two neighbouring lines, (n,) each, belong to the same picture."""
    both = (first > BRIGHT) & (second > BRIGHT)
    if both.mean() < CUT_SHARE:
        return False
    one, other = first[both].astype(np.float64), second[both].astype(np.float64)
    one -= one.mean()
    other -= other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return size > 0 and float(one @ other) / size > CUT_CORRELATION


def blank_between(
    pixels: NDArray[np.uint8], box: Box, pictures: tuple[ScreenRegion, ...]
) -> NDArray[np.uint8]:
    """Return the rectangle's pixels, black where no region with a picture is."""
    cut = box.cut(pixels)
    if len(pictures) < 2:  # noqa: PLR2004 - one region fills its own rectangle
        return np.ascontiguousarray(cut)
    kept = np.zeros_like(cut)
    for each in pictures:
        rows = slice(each.top_px - box.top_px, each.bottom_px - box.top_px + 1)
        columns = slice(each.left_px - box.left_px, each.right_px - box.left_px + 1)
        kept[rows, columns] = cut[rows, columns]
    return kept
