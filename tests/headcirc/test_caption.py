"""The caption below a picture of a result: what it says, and that it can be read."""

from dataclasses import replace

import numpy as np
import pytest

from headcirc.caption import (
    GROUND_RGB,
    RESEARCH_ONLY,
    UNRELIABLE_RGB,
    ResultFacts,
    add_caption,
    to_details,
    to_headline,
)

GOOD = ResultFacts(
    acceptable=True,
    warnings=(),
    model="attention-resunet-16 2.1.0",
    pixel_size_mm=(0.1277, 0.1277),
    head_circumference_px=1443.2,
    head_circumference_mm=184.3,
    interval=(0.9, 180.11, 188.52),
)
BAD = replace(GOOD, acceptable=False, warnings=("implausible-size", "low-contrast"))
SHAPES = {"narrow": (150, 200), "hc18": (540, 800), "large": (2000, 3000)}


def make_picture(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (rows, columns, 3), np.uint8)


def find_text_rows(strip: np.ndarray) -> list[np.ndarray]:
    """Return the strip's lines of text: runs of rows that hold anything but the ground."""
    has_text = (strip != GROUND_RGB).any(axis=(1, 2))
    edges = np.flatnonzero(np.diff(np.concatenate(([0], has_text.astype(int), [0]))))
    return [strip[top:bottom] for top, bottom in edges.reshape(-1, 2)]


def test_number_comes_with_its_interval():
    """An acceptable result: HC and the interval, to a tenth of a millimetre."""
    assert to_headline(GOOD) == "HC 184.3 mm (90 % interval: 180.1 to 188.5 mm)."
    assert to_headline(replace(GOOD, interval=None)) == "HC 184.3 mm."


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (BAD, "Do not rely on this result: HC 184.3 mm is unreliable."),
        (
            replace(BAD, head_circumference_mm=None, interval=None),
            "Do not rely on this result: HC 1443.2 px is unreliable. "
            "Not in mm: the pixel size is unknown.",
        ),
        (replace(BAD, head_circumference_px=None), "No head was found."),
    ],
)
def test_warning_precedes_an_unreliable_number(facts, expected):
    """The warning comes first, then the number, without an interval."""
    assert to_headline(facts) == expected


def test_number_without_a_pixel_size_is_not_in_mm():
    """Pixels, and why, once; also beside a number that is unreliable."""
    facts = replace(GOOD, head_circumference_mm=None, interval=None, pixel_size_mm=None)
    assert to_headline(facts) == "HC 1443.2 px. Not in mm: the pixel size is unknown."
    assert "ixel size" not in to_details(facts)
    headline = to_headline(replace(facts, acceptable=False))
    assert headline.endswith("px is unreliable. Not in mm: the pixel size is unknown.")


def test_details_name_pixel_size_model_warnings_and_use():
    """One number for square pixels, two for others; codes as words."""
    expected = f"Pixel size 0.1277 mm. Model attention-resunet-16 2.1.0. {RESEARCH_ONLY}"
    assert to_details(GOOD) == expected
    assert to_details(BAD).startswith("Warnings: implausible size, low contrast. Pixel size ")
    assert "Pixel size 0.2 x 0.1 mm." in to_details(replace(GOOD, pixel_size_mm=(0.2, 0.1)))


@pytest.mark.parametrize("facts", [GOOD, BAD], ids=["good", "bad"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_caption_is_added_below_the_unchanged_picture(shape, facts):
    """(0, 0), width and every pixel of the picture stay; the height grows."""
    picture = make_picture(*shape)
    captioned = add_caption(picture, facts)
    assert captioned.shape[1:] == picture.shape[1:]
    assert (captioned[: shape[0]] == picture).all()
    assert captioned.shape[0] > shape[0]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_caption_is_readable_at_every_size(shape):
    """Letters are tall enough, no line is cut at a side, and what is beside them is the ground."""
    rows, columns = shape
    strip = add_caption(make_picture(*shape), BAD)[rows:]
    lines = find_text_rows(strip)
    assert min(len(line) for line in lines) >= max(8, columns / 100)
    assert len(lines) >= 3 if columns == 200 else len(lines) <= 5
    ground = np.array(GROUND_RGB)
    assert (strip[:, 0] == ground).all()
    assert (strip[:, -1] == ground).all()
    assert (strip[-1] == ground).all()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_unreliable_headline_has_another_colour(shape):
    """The headline of an unreliable result has it; that of an acceptable one does not."""
    picture = make_picture(*shape)
    strips = [add_caption(picture, facts)[shape[0] :] for facts in (BAD, GOOD)]
    counts = [(strip == UNRELIABLE_RGB).all(axis=2).sum() for strip in strips]
    assert counts[0] > 10
    assert counts[1] == 0


def test_long_words_are_broken_not_cut():
    """A model's name wider than the picture takes several lines."""
    short, long = (replace(GOOD, model=name) for name in ("m", "m" * 200))
    picture = make_picture(150, 200)
    counts = [len(find_text_rows(add_caption(picture, facts)[150:])) for facts in (short, long)]
    assert counts[1] >= counts[0] + 10


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 900), (900, 16), (20, 30_000)])
def test_narrow_and_wide_pictures_get_a_caption(shape):
    """The width does not change, and the caption stays short."""
    captioned = add_caption(make_picture(*shape), BAD)
    assert captioned.shape[1] == shape[1]
    assert shape[0] < captioned.shape[0] < shape[0] + 5000


def test_title_is_part_of_the_caption():
    """A map's caption has a title."""
    picture = make_picture(150, 200)
    assert len(add_caption(picture, GOOD, "Grad-CAM at layer bottleneck.")) > len(
        add_caption(picture, GOOD)
    )
