"""How the page looks, against kept pictures: `APPEARANCE=keep` writes new ones.

Pictures of pages differ between machines by their fonts. So every letter is the same box here, and
two pictures are compared coarsely: the mean of squares of 8 pixels, with a tolerance.
"""

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.synthetic import draw_head, to_file
from tests.web.box_font import make_box_font
from tests.web.steps import choose, give, wait_for
from tests.web.test_page_access import explain_facts, explain_url  # noqa: F401 - fixtures

KEPT = Path(__file__).parent / "appearance"
SQUARE_PX = 8
MOST_DIFFERENCE = 12
"""In a square's mean level, 0 to 255: antialiasing of a line makes less."""
MOST_SQUARES = 0.002
"""Share of the squares that may differ by more."""
STILL = """
  * { font-family: Box !important; font-variant-numeric: normal !important;
      letter-spacing: 0 !important; transition: none !important; animation: none !important; }
  ::-webkit-scrollbar { display: none; }
"""
SHOTS = {
    "first light": ("light", 1280, 800, 0),
    "measured light": ("light", 1280, 800, 3),
    "measured dark": ("dark", 1280, 800, 3),
    "measured 1024": ("light", 1024, 768, 3),
    "measured 390": ("light", 390, 844, 3),
}


def use_boxes(page) -> None:
    """Write all text in the box font."""
    source = base64.b64encode(make_box_font()).decode()
    face = f"@font-face {{ font-family: Box; src: url(data:font/ttf;base64,{source}); }}"
    page.add_style_tag(content=face + STILL)
    page.evaluate("document.fonts.load('16px Box').then(() => document.fonts.ready).then(() => 1)")


def take(page) -> Image.Image:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")
    page.wait_for_timeout(300)  # until it is painted
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def to_squares(picture: Image.Image) -> np.ndarray:
    """Return the mean of each square, (rows, columns, 3)."""
    pixels = np.asarray(picture).astype(float)
    rows, columns = (length // SQUARE_PX for length in pixels.shape[:2])
    cut = pixels[: rows * SQUARE_PX, : columns * SQUARE_PX]
    return cut.reshape(rows, SQUARE_PX, columns, SQUARE_PX, 3).mean(axis=(1, 3))


def compare(picture: Image.Image, name: str, tmp_path: Path) -> None:
    """Compare with the kept picture of squares; `APPEARANCE=keep` keeps it."""
    if os.environ.get("APPEARANCE") == "keep":  # noqa: TID251 - no service
        KEPT.mkdir(exist_ok=True)
        squares = to_squares(picture).round().astype(np.uint8)
        Image.fromarray(squares).save(to_path(name), optimize=True)
    share = find_share_that_differs(picture, name)
    picture.save(tmp_path / "seen.png")
    assert share <= MOST_SQUARES, f"{share:.1%} of {name} differs; see {tmp_path / 'seen.png'}"


def to_path(name: str) -> Path:
    return KEPT / f"{name.replace(' ', '_')}.png"


def find_share_that_differs(picture: Image.Image, name: str) -> float:
    """Return the share of squares that differ from the kept picture."""
    squares = to_squares(picture)
    kept = np.asarray(Image.open(to_path(name))).astype(float)
    assert kept.shape == squares.shape
    return float((np.abs(kept - squares).max(axis=2) > MOST_DIFFERENCE).mean())


@pytest.mark.parametrize("name", SHOTS)
def test_page_looks_as_before(open_page, explain_url, tmp_path, name):  # noqa: F811 - the fixture
    """Columns, list, picture, number and colours are where they were."""
    scheme, width, height, images = SHOTS[name]
    page = open_page(
        explain_url,
        color_scheme=scheme,
        viewport={"width": width, "height": height},
        bypass_csp=True,  # for the font
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
    )
    expect(page.locator("#example-list img")).to_have_count(4)
    if images:
        content = to_file(draw_head())
        choose(page, ("a.png", content), ("b.png", to_file(draw_head() * 0)), ("c.png", content))
        page.locator("#batch-x").fill("0.1")
        page.locator("#batch-x").press("Enter")
        wait_for(page, 3)
        expect(page.locator("#draw-edge path")).to_be_attached()
    use_boxes(page)
    page.evaluate("""() => {
      for (const id of ["kept", "origin-rows"]) document.getElementById(id).textContent = "";
    }""")
    if width < 500 and images:
        page.locator("#viewer").evaluate("each => each.scrollIntoView()")
    compare(take(page), name, tmp_path)


def test_change_of_the_page_would_be_noticed(open_page, explain_url):  # noqa: F811
    """A button of another colour is beyond the tolerance; the test is worth something."""
    page = open_page(explain_url, viewport={"width": 1280, "height": 800}, bypass_csp=True)
    expect(page.locator("#example-list img")).to_have_count(4)
    use_boxes(page)
    page.add_style_tag(content=".primary { background: #b00 !important; }")
    assert find_share_that_differs(take(page), "first light") > MOST_SQUARES


def test_report_looks_as_before(open_page, explain_url, tmp_path):  # noqa: F811 - the fixture
    """The printed case: picture, caption, figures."""
    page = open_page(explain_url, viewport={"width": 700, "height": 990}, bypass_csp=True)
    page.evaluate("window.print = () => {}")
    give(page, ("a.png", to_file(draw_head())), pixel_size_mm="0.1")
    wait_for(page, 1)
    page.get_by_role("button", name="Print or PDF").click()
    expect(page.locator("#report .case")).to_have_count(1)
    use_boxes(page)
    page.evaluate("""() => {
      document.querySelector("#report header p").textContent = "Research use only.";
      document.querySelector("#report dl div:last-child").remove();
    }""")
    page.emulate_media(media="print", color_scheme="light")
    compare(take(page), "print", tmp_path)
