import pytest

from headcirc.errors import InvalidPixelSizeError
from headcirc.geometry import PixelSpacing
from headcirc.readers.pixel_size import to_stated_spacing


def test_nothing_stated_is_no_spacing():
    """No pixel size is None, never a default."""
    assert to_stated_spacing() is None


def test_stated_sizes_keep_their_axes():
    """X is the distance between columns and y the distance between rows."""
    assert to_stated_spacing(pixel_size_x_mm=0.1, pixel_size_y_mm=0.2) == PixelSpacing(
        row_mm=0.2, column_mm=0.1
    )


@pytest.mark.parametrize("value_mm", [0, -0.1, float("nan"), float("inf"), 1e9, 0.0049, 2.01])
def test_implausible_pixel_size_is_refused(value_mm):
    """Only finite sizes from 0.005 to 2 mm are lengths of an ultrasound pixel."""
    with pytest.raises(InvalidPixelSizeError, match=r"from 0\.005 to 2 mm"):
        to_stated_spacing(value_mm)


@pytest.mark.parametrize(
    "sizes",
    [
        {"pixel_size_mm": 0.1, "pixel_size_x_mm": 0.1},
        {"pixel_size_x_mm": 0.1},
        {"pixel_size_y_mm": 0.1},
    ],
)
def test_contradictory_or_half_stated_sizes_are_refused(sizes):
    """Both kinds at once, or one of x and y alone, is no pixel size."""
    with pytest.raises(InvalidPixelSizeError, match="state"):
        to_stated_spacing(sizes.pop("pixel_size_mm", None), **sizes)
