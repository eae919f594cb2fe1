"""Look up content items of a structured report."""

from collections.abc import Iterator

from pydicom.dataset import Dataset


def walk(item: Dataset) -> Iterator[Dataset]:
    """Yield every content item below one, depth first."""
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def find(item: Dataset, code: str, value_type: str | None = None) -> list[Dataset]:
    """Return the items below one whose concept name has this code."""
    return [
        each
        for each in walk(item)
        if each.ConceptNameCodeSequence[0].CodeValue == code
        and value_type in (None, each.ValueType)
    ]


def read_number(item: Dataset) -> tuple[float, str]:
    """Return the value and the unit of a number."""
    (measured,) = item.MeasuredValueSequence
    return float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue
