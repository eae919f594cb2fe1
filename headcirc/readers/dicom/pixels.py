"""Read the pixels of one frame as 8-bit grey values.

Colours become luma, palettes and windows are applied, and 12 or 16 bits are scaled to 8, as a
viewer would show the frame.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from headcirc.errors import UnsupportedMediaTypeError
from headcirc.readers.dicom.file import DicomFile, read_number, read_value
from headcirc.readers.grey import EIGHT_BITS, MAXIMUM_BITS, to_luma

MONOCHROME, INVERTED, PALETTE, RGB = "MONOCHROME2", "MONOCHROME1", "PALETTE COLOR", "RGB"
LUMA_FIRST = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
"""Colours whose first sample is luma."""
SAMPLES = {MONOCHROME: 1, INVERTED: 1, PALETTE: 1, RGB: 3} | dict.fromkeys(LUMA_FIRST, 3)
COLOUR_SAMPLES = 3
READ_ALLOCATIONS = (8, 16)
SMALLEST_WINDOW = 1e-6
BYTE_VALUES = 256


@dataclass(frozen=True)
class Layout:
    """How the samples of a frame are stored (DICOM PS3.3, C.7.6.3).

    Attributes
    ----------
    rows, columns : int
    photometric : str
        What the samples mean, such as `MONOCHROME2`.
    samples : int
        Samples of a pixel: 1 or 3.
    bits_allocated, bits_stored : int
        Bits that a sample takes, and those of them that it uses, from the lowest.
    is_signed : bool
    is_planar : bool
        All red samples come first, then all green, then all blue.
    frames : int
    """

    rows: int
    columns: int
    photometric: str
    samples: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    is_planar: bool
    frames: int


def read_layout(file: DicomFile) -> Layout:
    """Read how the samples are stored, and refuse what would be a guess.

    Raises
    ------
    UnsupportedMediaTypeError
        The samples are of a kind that is not read here.
    ValueError, TypeError
        The header contradicts itself.
    """
    header = file.header
    photometric = str(read_value(header, "PhotometricInterpretation") or "").strip()
    samples = _read_integer(header, "SamplesPerPixel", 1)
    allocated = _read_integer(header, "BitsAllocated", 0)
    stored = _read_integer(header, "BitsStored", allocated)
    layout = Layout(
        rows=_read_integer(header, "Rows", 0),
        columns=_read_integer(header, "Columns", 0),
        photometric=photometric,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        is_signed=_read_integer(header, "PixelRepresentation", 0) == 1,
        is_planar=_read_integer(header, "PlanarConfiguration", 0) == 1,
        frames=max(1, _read_integer(header, "NumberOfFrames", 1)),
    )
    if layout.rows < 1 or layout.columns < 1:
        raise ValueError("The picture has no size.")
    is_read = (
        SAMPLES.get(photometric) == samples
        and allocated in READ_ALLOCATIONS
        and 0 < stored <= allocated
        and _read_integer(header, "HighBit", stored - 1) == stored - 1
        and (samples == 1 or stored == allocated == 8)  # noqa: PLR2004
    )
    if not is_read:
        raise UnsupportedMediaTypeError(
            "The DICOM file's samples are of a kind that is not read here; MONOCHROME1, "
            "MONOCHROME2 and PALETTE COLOR of 8 to 16 bits, and RGB and YBR of 8 bits are. Export "
            "the frame as PNG."
        )
    return layout


def _read_integer(header: Dataset, keyword: str, missing: int) -> int:
    value = read_number(header, keyword)
    return missing if value is None else int(value)


class GreyScale:
    """Turns samples of a file into the grey values that a viewer shows; it makes its tables once.

    Parameters
    ----------
    layout : Layout
    header : Dataset
        With the palette, or the window and its tables.
    """

    def __init__(self, layout: Layout, header: Dataset) -> None:
        self._layout = layout
        self._header = header

    @cached_property
    def _palette(self) -> tuple[NDArray[np.uint8], int]:
        return _to_palette(self._header)

    @cached_property
    def _window(self) -> NDArray[np.uint8]:
        return _to_window(self._layout, self._header)

    @cached_property
    def _is_window_identity(self) -> bool:
        """Return whether stored bytes are the grey values, as most devices store them."""
        return bool(np.array_equal(self._window, np.arange(BYTE_VALUES)))

    def to_grey(self, samples: NDArray[np.generic], photometric: str) -> NDArray[np.uint8]:
        """Return the grey values of one frame.

        Parameters
        ----------
        samples : (rows, columns) or (rows, columns, 3), integer
            As the layout describes them.
        photometric : str
            What the decoded samples mean; a decoder may have made RGB of the file's YBR.

        Returns
        -------
        (rows, columns) uint8
        """
        if photometric == RGB:
            return to_luma(samples.astype(np.uint8, copy=False))
        if photometric in LUMA_FIRST:
            return np.ascontiguousarray(samples[..., 0], np.uint8)
        if photometric == PALETTE:
            table, first = self._palette
            places = np.clip(samples.astype(np.int32) - first, 0, len(table) - 1)
            return np.asarray(table[places])
        if samples.dtype == np.uint8 and len(self._window) == BYTE_VALUES:
            if self._is_window_identity:
                return np.asarray(samples, np.uint8)
            return np.asarray(cv2.LUT(samples, self._window), np.uint8)  # the same, much faster
        return np.asarray(
            self._window[samples.astype(np.int32) & (2**self._layout.bits_stored - 1)]
        )


def has_window(header: Dataset) -> bool:
    """Return whether the header says which samples are black and white."""
    keywords = ("WindowWidth", "VOILUTSequence", "ModalityLUTSequence")
    return any(read_value(header, keyword) for keyword in keywords)


def _to_palette(header: Dataset) -> tuple[NDArray[np.uint8], int]:
    """Return the grey values of the palette's colours, and the sample that means the first one.

    Raises
    ------
    UnsupportedMediaTypeError
        The palette is segmented: a compressed form, which a few bytes can blow up.
    """
    if "RedPaletteColorLookupTableData" not in header:
        raise UnsupportedMediaTypeError(
            "The DICOM file's palette is missing or segmented, which is not read here. Export the "
            "frame as PNG."
        )
    entries, first, bits = header["RedPaletteColorLookupTableDescriptor"].value
    ramp = np.arange(first, first + (entries or 2**MAXIMUM_BITS))
    colours = apply_color_lut(ramp, header)[:, :COLOUR_SAMPLES]
    # Some writers put 0 to 255 into entries of 16 bits, as in TIFF.
    if bits > READ_ALLOCATIONS[0] and colours.max() > EIGHT_BITS:
        colours = colours >> (bits - READ_ALLOCATIONS[0])
    return to_luma(colours.astype(np.uint8)[None])[0], int(first)


def _to_window(layout: Layout, header: Dataset) -> NDArray[np.uint8]:
    """Return the grey value of each sample: (2 ** bits stored,) uint8, by the sample's bits.

    Raises
    ------
    ValueError
        The window or a table cannot be used.
    """
    ramp = np.arange(2**layout.bits_stored)
    if layout.is_signed:
        half = 2 ** (layout.bits_stored - 1)
        ramp = (ramp ^ half) - half
    shares = _to_shares(apply_modality_lut(ramp, header), header)
    if layout.photometric == INVERTED:
        shares = 1 - shares
    if not np.isfinite(shares).all():
        raise ValueError("The window is damaged.")
    return np.rint(EIGHT_BITS * shares).astype(np.uint8)


def _to_shares(values: NDArray[Any], header: Dataset) -> NDArray[np.float64]:
    """Return how bright each value is shown, from 0 to 1 (DICOM PS3.3, C.11.2)."""
    if read_value(header, "VOILUTSequence"):
        bits = int(header.VOILUTSequence[0]["LUTDescriptor"].value[2])
        return np.asarray(np.clip(apply_voi(values, header) / (2**bits - 1), 0, 1))
    width, center = read_number(header, "WindowWidth"), read_number(header, "WindowCenter")
    if width is None or center is None:
        darkest, brightest = float(values.min()), float(values.max())
        return np.asarray((values - darkest) / max(brightest - darkest, 1.0))
    function = read_value(header, "VOILUTFunction") or "LINEAR"
    if function == "LINEAR":  # the standard's half values: width 1 is a threshold
        center, width = center - 0.5, max(width - 1, SMALLEST_WINDOW)
    if width <= 0:
        raise ValueError("The window has no width.")
    offsets = (values - center) / width
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * offsets)))
    return np.asarray(np.clip(offsets + 0.5, 0, 1))
