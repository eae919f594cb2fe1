"""Read what a DICOM file states about the size of its pixels, and where on the screen it holds.

An ultrasound screen has regions (DICOM PS3.3, C.8.5.5): pictures, each with a scale of its own, and
traces beside them. Which region counts is known only when the head is found, so all are returned.
A file may have been scaled down or cut since its device wrote it, with these attributes left as
they were. So one attribute that cannot be true makes all of them unusable: a wrong millimetre is
worse than none. Imager Pixel Spacing is never used, because it refers to an X-ray detector.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from headcirc.errors import InputError
from headcirc.geometry import PixelSpacing
from headcirc.readers.dicom.file import (
    DICOM_DAMAGE,
    MAXIMUM_GROUPS_BYTES,
    read_number,
    read_value,
)
from headcirc.readers.dicom.pixels import Layout
from headcirc.readers.pixel_size import to_stated_spacing

REGIONS = "SequenceOfUltrasoundRegions"
PIXEL_SPACING = "PixelSpacing"
OF_EACH_FRAME = "PerFrameFunctionalGroupsSequence"
TWO_DIMENSIONAL = 1
"""Spatial format of a picture; others are M-mode, spectra, curves and graphics."""
CENTIMETRES = 3
"""Code of the only physical unit that is a length."""
MM_PER_CM = 10
MAXIMUM_REGIONS = 64


@dataclass(frozen=True)
class ScreenRegion:
    """A rectangle of the stored picture, by its outermost pixels, inclusive.

    Attributes
    ----------
    left_px, top_px, right_px, bottom_px : int
    is_picture : bool
        It shows a two-dimensional picture, and not a trace or a text.
    spacing : PixelSpacing or None
        None where the file states no length for both axes.
    """

    left_px: int
    top_px: int
    right_px: int
    bottom_px: int
    is_picture: bool
    spacing: PixelSpacing | None


@dataclass(frozen=True)
class DicomCalibration:
    """What a file states about the scale of one frame.

    Attributes
    ----------
    regions : tuple of ScreenRegion
    pixel_spacing : PixelSpacing or None
        The attribute Pixel Spacing, which ultrasound devices seldom fill; for the whole picture.
    is_unusable : bool
        Something is stated that cannot be true; then nothing else is given.
    """

    regions: tuple[ScreenRegion, ...] = ()
    pixel_spacing: PixelSpacing | None = None
    is_unusable: bool = False

    @property
    def pictures(self) -> tuple[ScreenRegion, ...]:
        """Return the regions that show a picture."""
        return tuple(region for region in self.regions if region.is_picture)


UNUSABLE = DicomCalibration(is_unusable=True)


def read_calibration(header: Dataset, layout: Layout, frame_index: int) -> DicomCalibration:
    """Read the regions and the pixel spacing of one frame.

    Parameters
    ----------
    header : Dataset
    layout : Layout
        The size of the stored picture.
    frame_index : int
        An object may state other values for each frame (functional groups).
    """
    try:
        places = list(_list_places(header, frame_index))
        regions = _read_regions(places, layout)
        spacing = _read_pixel_spacing(places)
    except (InputError, *DICOM_DAMAGE):
        return UNUSABLE
    pictures = [region for region in regions if region.is_picture]
    if pictures and spacing is None and all(region.spacing is None for region in pictures):
        return DicomCalibration(regions, is_unusable=True)
    return DicomCalibration(regions, spacing)


def _list_places(header: Dataset, frame_index: int) -> Iterator[Dataset]:
    """Yield where attributes of a frame may stand, the most specific place first."""
    for keyword, index in (
        (OF_EACH_FRAME, frame_index),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        groups = read_value(header, keyword, maximum_bytes=MAXIMUM_GROUPS_BYTES)
        if groups:
            yield groups[index]
            yield from (read_value(groups[index], "PixelMeasuresSequence") or [])[:1]
    yield header


def _find_place(places: list[Dataset], keyword: str) -> Dataset | None:
    return next((place for place in places if read_value(place, keyword)), None)


def _read_regions(places: list[Dataset], layout: Layout) -> tuple[ScreenRegion, ...]:
    """Return the regions.

    Raises
    ------
    ValueError
        One is incomplete or leaves the picture.
    """
    place = _find_place(places, REGIONS)
    items = [] if place is None else read_value(place, REGIONS)
    if len(items) > MAXIMUM_REGIONS:
        raise ValueError("There are more regions than any screen has.")
    return tuple(_to_region(item, layout) for item in items)


def _to_region(item: Dataset, layout: Layout) -> ScreenRegion:
    left, top, right, bottom = (
        int(_require_number(item, f"RegionLocation{corner}"))
        for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")
    )
    # Some writers state the pixel after the last one. A picture that was scaled is off by more.
    is_inside = 0 <= left < right <= layout.columns and 0 <= top < bottom <= layout.rows
    if not is_inside:
        raise ValueError("A region leaves the picture.")
    is_picture = _require_number(item, "RegionSpatialFormat") == TWO_DIMENSIONAL
    return ScreenRegion(
        left,
        top,
        min(right, layout.columns - 1),
        min(bottom, layout.rows - 1),
        is_picture,
        _read_region_spacing(item) if is_picture else None,
    )


def _read_region_spacing(item: Dataset) -> PixelSpacing | None:
    """Return the pixel spacing of a picture's region; None where its units are no lengths.

    A negative delta says that values fall to the right or downwards.
    """
    units = [_require_number(item, f"PhysicalUnits{axis}Direction") for axis in "XY"]
    if units != [CENTIMETRES, CENTIMETRES]:
        return None
    column_mm, row_mm = (
        MM_PER_CM * abs(_require_number(item, f"PhysicalDelta{axis}")) for axis in "XY"
    )
    return to_stated_spacing(pixel_size_x_mm=column_mm, pixel_size_y_mm=row_mm)


def _require_number(item: Dataset, keyword: str) -> float:
    number = read_number(item, keyword)
    if number is None:
        raise ValueError("An attribute of a region is missing.")
    return number


def _read_pixel_spacing(places: list[Dataset]) -> PixelSpacing | None:
    place = _find_place(places, PIXEL_SPACING)
    if place is None:
        return None
    row_mm, column_mm = (float(each) for each in read_value(place, PIXEL_SPACING))
    return to_stated_spacing(pixel_size_x_mm=column_mm, pixel_size_y_mm=row_mm)
