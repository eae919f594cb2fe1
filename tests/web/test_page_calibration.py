"""The pixel size from the picture: two points and a length, or the depth scale that was found."""

import re

import pytest
from playwright.sync_api import expect

from headcirc.geometry import Ellipse
from tests.support.depth_scale import COLUMNS, ROWS, draw_scale
from tests.support.synthetic import draw_head, to_file
from tests.web.steps import choose, give, wait_for

HEAD = Ellipse(500.0, 320.0, 220.0, 170.0, 0.5)
PICTURE = draw_head(HEAD, rows=ROWS, columns=COLUMNS)
PLAIN = ("plain.png", to_file(PICTURE))
SCALED = ("scaled.png", to_file(draw_scale(40.0, pixels=PICTURE, long_every=10)))
UNSURE = ("unsure.png", to_file(draw_scale(40.0, pixels=PICTURE)))


def to_screen(page, x: float, y: float) -> tuple[float, float]:
    """Return where a point of the frame is on the screen."""
    point = page.evaluate(
        "([x, y]) => { const p = new DOMPoint(x, y).matrixTransform("
        "document.getElementById('canvas').getScreenCTM()); return [p.x, p.y]; }",
        [x, y],
    )
    return point[0], point[1]


def click_frame(page, x: float, y: float) -> None:
    page.mouse.click(*to_screen(page, x, y))


def begin(page) -> None:
    """Open the tool on a picture without a pixel size."""
    give(page, PLAIN)
    wait_for(page, 1)
    page.locator("#pixel-measure").click()
    expect(page.locator("#calibrate-form")).to_be_visible()


def test_two_clicks_and_a_length_give_the_pixel_size(open_page, serve_synthetic):
    """The size stands in the field as measured on the picture, and is used only then."""
    page = open_page(serve_synthetic())
    begin(page)
    click_frame(page, 200, 100)
    expect(page.locator("#calibrate-step")).to_contain_text("second mark")
    click_frame(page, 200, 500)
    expect(page.locator("#calibrate-length")).to_be_focused()
    page.locator("#calibrate-length").fill("50")
    expect(page.locator("#calibrate-size")).to_contain_text("mm per pixel")
    measured = float(page.locator("#calibrate-size").inner_text().split()[0])
    assert measured == pytest.approx(0.125, rel=0.01)
    page.locator("#calibrate-length").press("Enter")
    expect(page.locator("#calibrate-form")).to_be_hidden()
    expect(page.locator("#pixel-x")).to_have_value(str(measured))
    expect(page.locator("#pixel-origin")).to_have_text("Measured on the picture.")
    expect(page.locator("#worklist-rows .state")).to_have_text("No pixel size")
    page.locator("#pixel-x").press("Enter")
    expect(page.locator("#worklist-rows .size")).to_have_text(
        f"{measured} mm, measured on the picture"
    )
    expect(page.locator("#hc")).to_have_text(re.compile(r"^\d+\.\d$"))


def test_size_that_is_typed_over_is_stated(open_page, serve_synthetic):
    """A change by hand is no measurement any more."""
    page = open_page(serve_synthetic())
    begin(page)
    click_frame(page, 200, 100)
    click_frame(page, 200, 500)
    page.locator("#calibrate-length").fill("50")
    page.locator("#calibrate-use").click()
    page.locator("#pixel-x").fill("0.2")
    expect(page.locator("#pixel-origin")).to_be_hidden()
    page.locator("#pixel-x").press("Enter")
    expect(page.locator("#worklist-rows .size")).to_have_text("0.2 mm, stated")


def test_keys_alone_place_both_points(open_page, serve_synthetic):
    """Arrow keys move by 1, 10 and 0.1 px; Enter sets a point; Escape gives the focus back."""
    page = open_page(serve_synthetic())
    give(page, PLAIN)
    wait_for(page, 1)
    page.locator("#pixel-measure").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Alt+ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#calibrate-distance")).to_have_text("39.1 px apart")
    expect(page.locator("#calibrate-length")).to_be_focused()
    page.locator("#stage").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#calibrate-form")).to_be_hidden()
    expect(page.locator("#pixel-measure")).to_be_focused()
    assert page.locator("#draw-tool *").count() == 0


def test_points_can_be_dragged_under_the_loupe(open_page, serve_synthetic):
    """Dragging an end moves it alone; the loupe follows and goes with the tool."""
    page = open_page(serve_synthetic())
    begin(page)
    click_frame(page, 200, 100)
    click_frame(page, 200, 400)
    page.mouse.move(*to_screen(page, 200, 400))
    page.mouse.down()
    page.mouse.move(*to_screen(page, 200, 450), steps=4)
    expect(page.locator("#loupe")).to_be_visible()
    page.mouse.up()
    distance = float(page.locator("#calibrate-distance").inner_text().split()[0])
    assert distance == pytest.approx(350, abs=4)
    page.locator("#calibrate-cancel").click()
    expect(page.locator("#loupe")).to_be_hidden()
    expect(page.locator("#pixel-x")).to_have_value("")


def test_fingers_place_the_points(open_page, serve_synthetic):
    """Two taps do what two clicks do."""
    page = open_page(
        serve_synthetic(), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    begin(page)
    page.locator("#stage").scroll_into_view_if_needed()
    for y in (100, 500):
        page.touchscreen.tap(*to_screen(page, 300, y))
    expect(page.locator("#calibrate-distance")).to_contain_text("px apart")
    distance = float(page.locator("#calibrate-distance").inner_text().split()[0])
    assert distance == pytest.approx(400, abs=8)


def test_enlarged_picture_can_still_be_moved(open_page, serve_synthetic):
    """Dragging beside the points moves the picture and sets no point."""
    page = open_page(serve_synthetic())
    begin(page)
    for _ in range(4):
        page.locator("#zoom-in").click()
    before = page.locator("#canvas").get_attribute("viewBox")
    page.mouse.move(*to_screen(page, 460, 320))
    page.mouse.down()
    page.mouse.move(*to_screen(page, 420, 300), steps=4)
    page.mouse.up()
    assert page.locator("#canvas").get_attribute("viewBox") != before
    expect(page.locator("#calibrate-step")).to_contain_text("first mark")


def test_size_measured_for_a_batch_is_one_image_s_own(open_page, serve_synthetic):
    """The image it was measured on says so; others that wait inherit it."""
    page = open_page(serve_synthetic())
    choose(page, PLAIN, ("other.png", PLAIN[1]))
    page.locator("#batch-measure").click()
    click_frame(page, 200, 100)
    click_frame(page, 200, 500)
    page.locator("#calibrate-length").fill("50")
    page.locator("#calibrate-length").press("Enter")
    expect(page.locator("#batch-origin")).to_have_text("Measured on the picture.")
    page.locator("#batch-same").click()
    wait_for(page, 2)
    sizes = page.locator("#worklist-rows .size").all_inner_texts()
    assert sizes[0].endswith("measured on the picture")
    assert sizes[1].endswith("inherited")


def test_depth_scale_is_drawn_and_waits_for_a_person(open_page, serve_synthetic):
    """Its marks are drawn; nothing is in millimetres until its distance is confirmed."""
    page = open_page(serve_synthetic())
    give(page, SCALED)
    expect(page.locator("#scale-form")).to_be_visible()
    expect(page.locator("#scale-found")).to_contain_text("40.0 px apart")
    assert page.locator("#draw-marks path").count() >= 14
    expect(page.locator("#worklist-rows .state")).to_have_text("No pixel size")
    expect(page.get_by_label("5 mm", exact=True)).to_be_checked()
    page.locator("#scale-use").click()
    expect(page.locator("#worklist-rows .size")).to_have_text(
        re.compile(r"^0\.12[45]\d* mm, from the depth scale$")
    )
    expect(page.locator("#hc")).to_have_text(re.compile(r"^\d+\.\d$"))
    expect(page.locator("#scale-form")).to_be_hidden()
    assert page.locator("#draw-marks path").count() == 0


def test_distance_of_the_marks_is_asked_where_nothing_suggests_it(open_page, serve_synthetic):
    """No choice is made beforehand; another distance can be typed."""
    page = open_page(serve_synthetic())
    give(page, UNSURE)
    expect(page.locator("#scale-form")).to_be_visible()
    assert page.locator("#scale-form [name=mark]:checked").count() == 0
    page.locator("#scale-use").click()
    expect(page.locator("#scale-fault")).to_contain_text("State how many millimetres")
    page.get_by_label("other").check()
    page.locator("#scale-other").fill("8")
    with page.expect_response("**/v1/analyses") as answer:
        page.locator("#scale-use").click()
    assert answer.value.json()["image"]["pixel_size_source"] == "scale-bar"
    expect(page.locator("#worklist-rows .size")).to_have_text(
        re.compile(r"^0\.(2|200\d|199\d) mm, from the depth scale$")
    )


def test_distance_against_the_long_marks_is_the_person_s_own(open_page, serve_synthetic):
    """The service would refuse it; the person has seen the picture, so it is sent as a size."""
    page = open_page(serve_synthetic())
    give(page, SCALED)
    page.get_by_label("10 mm").check()
    with page.expect_response("**/v1/analyses") as answer:
        page.locator("#scale-use").click()
    image = answer.value.json()["image"]
    assert image["pixel_size_source"] == "request"
    assert image["pixel_size_x_mm"] == pytest.approx(0.25, rel=3e-3)
    expect(page.locator("#hc")).to_have_text(re.compile(r"^\d+\.\d$"))


def test_scale_can_be_dismissed_and_is_not_asked_for_again(open_page, serve_synthetic):
    """A picture without a scale, or with a size, gets no proposal."""
    page = open_page(serve_synthetic())
    give(page, SCALED)
    expect(page.locator("#scale-form")).to_be_visible()
    page.locator("#scale-dismiss").click()
    expect(page.locator("#scale-form")).to_be_hidden()
    with page.expect_response("**/v1/scale-bar") as answer:
        give(page, PLAIN)
    assert answer.value.json()["depth_scale"] is None
    expect(page.locator("#scale-form")).to_be_hidden()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#pixel-x").fill("0.1")
    page.locator("#pixel-x").press("Enter")
    wait_for(page, 2)
    page.get_by_role("button", name="scaled.png").click()
    expect(page.locator("#pixel-of")).to_have_text("scaled.png")
    assert not any("scale-bar" in url for url in asked)
