"""What the growth chart and a cine's track share: sizes, colours, axes and the text below."""

import math
from collections.abc import Iterable, Iterator
from functools import partial

from headcirc.caption import wrap_text
from headcirc.reports.drawing import Color, Line, Text, measure_text_px

WIDTH_PX = 900
LEFT_PX = 76
"""Left side of the plot; the other sides are the chart's own."""
MARGIN_PX = 24
TITLE_SIZE_PX, HEADLINE_SIZE_PX, LABEL_SIZE_PX, NOTE_SIZE_PX = 22, 18, 14, 13
LINE_HEIGHT = 1.4
TEXT_WIDTH_PX = 710
"""A viewer of the SVG may have a font that is a fifth wider than the one that measured the text."""
NOTES_GAP_PX = 64
"""From the bottom of the plot to the text below it."""

GROUND: Color = (255, 255, 255)
TEXT: Color = (24, 30, 36)
QUIET: Color = (84, 94, 104)
GRID: Color = (206, 214, 222)
BAND: Color = (209, 225, 240)
MIDDLE: Color = (44, 92, 148)
UNRELIABLE: Color = (196, 16, 104)

Note = tuple[str, int, Color]
"""A paragraph below the plot, its size in pixels, and its colour."""


def draw_level(y: float, label: str, right_px: float) -> Iterator[Line | Text]:
    """Yield a horizontal line of the grid with its label."""
    yield Line([(LEFT_PX, y), (right_px, y)], GRID)
    yield Text((LEFT_PX - 8, y + LABEL_SIZE_PX / 3), label, LABEL_SIZE_PX, QUIET, "end")


def draw_names(
    title: str, *, x_name: str, unit: str, top_px: float, right_px: float, bottom_px: float
) -> Iterator[Text]:
    """Yield the title, the name of the horizontal axis and the unit of the vertical one."""
    middle_x = (LEFT_PX + right_px) / 2
    yield Text((middle_x, bottom_px + 42), x_name, LABEL_SIZE_PX, QUIET, "middle")
    yield Text((LEFT_PX - 8, top_px - 12), unit, LABEL_SIZE_PX, QUIET, "end")
    yield Text((MARGIN_PX, 34), title, TITLE_SIZE_PX, TEXT)


def lay_out(notes: Iterable[Note], bottom_px: float) -> Iterator[Text]:
    """Yield the notes line by line, wrapped to the width, below a plot that ends at `bottom_px`."""
    y = bottom_px + NOTES_GAP_PX
    for text, size_px, color in notes:
        measure_px = partial(measure_text_px, size_px=size_px)
        for line in wrap_text(text, TEXT_WIDTH_PX, measure_px):
            y += math.ceil(LINE_HEIGHT * size_px)
            yield Text((MARGIN_PX, y), line, size_px, color)
