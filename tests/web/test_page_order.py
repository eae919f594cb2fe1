"""Each number stays with its image: equal names, late answers, changed requests."""

import csv
import re

from playwright.sync_api import expect

from headcirc.geometry import Ellipse
from tests.support.synthetic import draw_head, to_file
from tests.web.steps import answer_busy, ask, clear, give, state_pixel_size, wait_for

CONTENT = to_file(draw_head())


def test_files_of_one_name_are_told_apart(open_page, serve_synthetic, tmp_path):
    """Files with equal names get different names on the page and when saved."""
    url = serve_synthetic()
    page = open_page(url)
    other = to_file(draw_head(Ellipse(400.0, 270.0, 150.0, 140.0, 0.3)))
    give(page, ("1.png", CONTENT), pixel_size_mm="0.1")
    give(page, ("1.png", other), ("2.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 3)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    download.value.save_as(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    measured_mm = {row["image"]: float(row["head_circumference_mm"]) for row in rows}
    expected = [ask(url, each, pixel_size_mm=0.1)["head"] for each in (CONTENT, other)]
    first, second = (each["head_circumference_mm"] for each in expected)
    assert measured_mm == {"1.png": first, "1.png (2)": second, "2.png": first}
    page.get_by_role("button", name="1.png (2)").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Result JSON").click()
    assert download.value.suggested_filename == "1 (2).json"
    clear(page)
    give(page, ("1.png", CONTENT))
    expect(page.locator("#result-name")).to_have_text("1.png")


def test_number_that_nobody_should_rely_on_is_told_in_the_list(open_page, serve_synthetic):
    """The list says it in words, so it does not depend on colour."""
    page = open_page(serve_synthetic())
    give(page, ("head.png", CONTENT), pixel_size_mm="2")
    expect(page.locator("#worklist-rows .state")).to_have_text(
        re.compile(r"^Unreliable: \d+\.\d mm$")
    )


def test_another_s_picture_does_not_stand_beside_a_number(open_page, serve_synthetic):
    """No other picture is shown until the image can be drawn."""
    page = open_page(serve_synthetic())
    give(page, ("a.png", CONTENT), ("b.png", to_file(draw_head())))
    wait_for(page, 2)
    expect(page.locator("#draw-ellipse ellipse")).to_be_attached()
    page.evaluate("void (createImageBitmap = () => new Promise(() => {}))")
    page.get_by_role("button", name="b.png").click()
    expect(page.locator("#result-name")).to_have_text("b.png")
    expect(page.locator("#draw-ellipse ellipse")).not_to_be_attached()
    expect(page.locator("#draw-base image")).not_to_be_attached()
    expect(page.locator("#canvas")).to_have_attribute("aria-label", "b.png")


def test_marked_text_stays_while_others_are_measured(open_page, serve_synthetic):
    """Selected text is not drawn again when another image gets an answer."""
    page = open_page(serve_synthetic())
    waiting = {}

    def hold(route):
        is_shown = b'filename="a.png"' in route.request.post_data_buffer
        waiting["a.png" if is_shown else "b.png"] = route

    page.route("**/v1/analyses", hold)
    give(page, ("a.png", CONTENT), ("b.png", CONTENT))
    expect(page.locator("#worklist-rows .state")).to_have_text(["Measuring", "Measuring"])
    while len(waiting) < 2:
        page.wait_for_timeout(20)
    waiting["a.png"].continue_()
    expect(page.locator("#worklist-count")).to_have_text("1 of 2 done")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#rows'))")
    marked = page.evaluate("String(getSelection())")
    assert "px" in marked
    waiting["b.png"].continue_()
    wait_for(page, 2)
    assert page.evaluate("String(getSelection())") == marked


def test_question_that_nobody_has_any_more_is_not_asked_again(open_page, serve_synthetic):
    """A size entered while the service is busy is sent once, and its answer stays."""
    page = open_page(serve_synthetic())
    posts = []

    def refuse_but_the_second(route):
        posts.append(route)
        if len(posts) == 2:
            route.continue_()
            return
        answer_busy(route, retry_after_s=0.7)

    page.route("**/v1/analyses", refuse_but_the_second)
    give(page, ("head.png", CONTENT))
    expect(page.locator("#worklist-rows .state")).to_have_text("Service is busy; waiting")
    state_pixel_size(page, "0.1")
    page.locator("#pixel-x").press("Enter")
    wait_for(page, 1)
    page.wait_for_timeout(1000)  # longer than the old question waits
    expect(page.locator("#worklist-rows .state")).to_contain_text(" mm")
    assert len(posts) == 2
