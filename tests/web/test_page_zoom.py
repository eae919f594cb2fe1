import pytest
from playwright.sync_api import expect

from tests.support.synthetic import draw_head, to_file
from tests.web.steps import give, wait_for

CONTENT = to_file(draw_head())
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


class Fingers:
    """Touch events of a screen, sent through Chromium's DevTools protocol."""

    def __init__(self, page) -> None:
        self._session = page.context.new_cdp_session(page)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """Send the position of each finger; `kind` is `touchStart`, `touchMove` or `touchEnd`."""
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


def read_frame_point(page, x: float, y: float) -> list[float]:
    return page.evaluate(
        """([x, y]) => {
          const frame = document.getElementById("canvas").getScreenCTM().inverse();
          const point = new DOMPoint(x, y).matrixTransform(frame);
          return [point.x, point.y];
        }""",
        [x, y],
    )


def test_zoom_keeps_the_point_under_the_pointer(open_page, serve_synthetic):
    """The wheel zooms about the pointer; dragging moves the picture."""
    page = open_page(serve_synthetic(), viewport={"width": 1440, "height": 900})
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    page.mouse.move(700, 400)
    before = read_frame_point(page, 700, 400)
    page.mouse.wheel(0, -100)
    expect(page.locator("#zoom-level")).to_have_text("125 %")
    assert read_frame_point(page, 700, 400) == pytest.approx(before, abs=0.01)
    for _ in range(6):
        page.get_by_role("button", name="Zoom in").click()
    start = read_frame_point(page, 700, 400)
    page.mouse.move(650, 380)
    page.mouse.down()
    page.mouse.move(700, 400, steps=4)
    page.mouse.up()
    assert read_frame_point(page, 700, 400)[0] < start[0]


def open_on_phone(open_page, serve_synthetic):
    """Return a page with one measured head, and the middle of its picture."""
    page = open_page(serve_synthetic(), **PHONE)
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    x, y = box["x"] + box["width"] / 2 - 20, box["y"] + box["height"] / 2
    return page, x, y


def test_two_fingers_zoom_and_one_moves(open_page, serve_synthetic):
    """The point between the fingers stays; spreading enlarges, pinching makes smaller again."""
    page, x, y = open_on_phone(open_page, serve_synthetic)
    scrolled = page.evaluate("window.scrollY")
    before = read_frame_point(page, x, y)
    fingers = Fingers(page)
    fingers.touch("touchStart", (x - 20, y), (x + 20, y))
    for apart in range(25, 65, 5):
        fingers.touch("touchMove", (x - apart, y), (x + apart, y))
    expect(page.locator("#zoom-level")).to_have_text("300 %")
    assert read_frame_point(page, x, y) == pytest.approx(before, abs=2.0)
    fingers.touch("touchEnd")
    fingers.touch("touchStart", (x, y))
    for moved in range(5, 45, 5):
        fingers.touch("touchMove", (x + moved, y))
    fingers.touch("touchEnd")
    assert read_frame_point(page, x + 40, y) == pytest.approx(before, abs=2.0)
    expect(page.locator("#zoom-level")).to_have_text("300 %")
    fingers.touch("touchStart", (x - 80, y), (x + 80, y))
    for apart in range(75, 15, -5):
        fingers.touch("touchMove", (x - apart, y), (x + apart, y))
    fingers.touch("touchEnd")
    expect(page.locator("#zoom-level")).to_have_text("100 %")
    assert page.evaluate("window.scrollY") == scrolled


def test_second_finger_may_land_after_the_first_has_moved(open_page, serve_synthetic):
    """The first finger may move a little before the second lands; then they zoom."""
    page, x, y = open_on_phone(open_page, serve_synthetic)
    fingers = Fingers(page)
    fingers.touch("touchStart", (x - 22, y))
    fingers.touch("touchMove", (x - 20, y))
    fingers.touch("touchStart", (x - 20, y), (x + 20, y))
    before = read_frame_point(page, x, y)
    for apart in range(25, 65, 5):
        fingers.touch("touchMove", (x - apart, y), (x + apart, y))
    expect(page.locator("#zoom-level")).to_have_text("300 %")
    assert read_frame_point(page, x, y) == pytest.approx(before, abs=2.0)
    fingers.touch("touchEnd")


def test_only_the_mouse_s_main_button_moves_the_picture(open_page, serve_synthetic):
    """The right button opens a menu that hides its release; the picture does not move."""
    page = open_page(serve_synthetic(), viewport={"width": 1440, "height": 900})
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    for _ in range(4):
        page.get_by_role("button", name="Zoom in").click()
    before = read_frame_point(page, 700, 400)
    page.mouse.move(650, 380)
    page.mouse.down(button="right")
    page.mouse.move(700, 400, steps=4)
    page.mouse.up(button="right")
    assert read_frame_point(page, 700, 400) == before


def test_one_finger_scrolls_the_page_over_a_picture_that_fits(open_page, serve_synthetic):
    """A picture that fits does not stop the page from scrolling."""
    page = open_page(serve_synthetic(), **PHONE)
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    page.locator("#stage").scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] - 30
    scrolled = page.evaluate("window.scrollY")
    fingers = Fingers(page)
    fingers.touch("touchStart", (x, y))
    for moved in range(10, 210, 10):
        fingers.touch("touchMove", (x, y - moved))
    fingers.touch("touchEnd")
    page.wait_for_function("before => window.scrollY > before", arg=scrolled)
    expect(page.locator("#zoom-level")).to_have_text("100 %")


def test_picture_comes_into_sight_on_a_phone(open_page, serve_synthetic):
    """A touch scrolls to the picture; with the keyboard the page stays at the focus."""
    page = open_page(serve_synthetic(), **PHONE)
    is_seen = """() => {
      const { top, bottom } = document.getElementById("stage").getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    }"""
    expect(page.locator("#examples")).to_be_visible()
    page.wait_for_function(f"!({is_seen})()")
    give(page, ("one.png", CONTENT), ("two.png", CONTENT))
    wait_for(page, 2)
    page.wait_for_function(is_seen)
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="two.png").tap()
    page.wait_for_function(is_seen)
    page.evaluate("scrollTo(0, 0)")
    row = page.get_by_role("button", name="one.png")
    row.focus()
    before = page.evaluate("scrollY")
    row.press("Enter")
    expect(page.locator("#result-name")).to_have_text("one.png")
    assert page.evaluate("scrollY") == before
