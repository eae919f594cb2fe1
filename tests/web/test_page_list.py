"""The worklist: remove, undo, clear, search, filter, sort; and five hundred images."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from headcirc.geometry import Ellipse
from tests.support.synthetic import draw_head, to_file
from tests.web.steps import choose, clear, give, wait_for

CONTENT = to_file(draw_head())
DARK = to_file(draw_head() * 0)
MANY = 500
MOST_ROWS = 60
SCROLL = """async () => {
  const scroller = document.querySelector("#worklist-scroller");
  scroller.scrollIntoView();
  const rows = () => document.querySelectorAll("#worklist-rows li").length;
  const frame = () => new Promise(requestAnimationFrame);
  const [counts, blanks] = [[], []];
  for (let top = 0; top < scroller.scrollHeight - scroller.clientHeight; top += 200) {
    scroller.scrollTop = top;
    await frame();
    await frame();
    counts.push(rows());
    const { left, top: y, height } = scroller.getBoundingClientRect();
    for (const share of [0.02, 0.5, 0.98]) {
      blanks.push(!document.elementFromPoint(left + 20, y + height * share).closest("li"));
    }
  }
  return { most: Math.max(...counts), steps: counts.length, blank: blanks.filter(Boolean).length };
}"""


def names(page) -> list[str]:
    return page.locator("#worklist-rows .file").all_inner_texts()


def fill(page) -> None:
    """Add four images of every kind, one after another, measured."""
    large = to_file(draw_head(Ellipse(400.0, 270.0, 250.0, 220.0, 0.3)))
    for name, content, size in (
        ("scan10.png", large, "0.1"), ("dark.png", DARK, "0.1"),
        ("Scan9.png", CONTENT, "0.1"), ("notes.txt", b"x", None),
    ):  # fmt: skip
        give(page, (name, content), pixel_size_mm=size)
    wait_for(page, 4)


def test_removing_and_undoing(open_page, serve_synthetic):
    """The next image is selected; undo brings it back where it was, with its number."""
    page = open_page(serve_synthetic())
    fill(page)
    page.get_by_role("button", name="scan10.png").click()
    number = page.locator("#hc").inner_text()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator("#undo-text")).to_have_text("scan10.png was removed.")
    assert names(page) == ["dark.png", "Scan9.png", "notes.txt"]
    expect(page.locator("#result-name")).to_have_text("dark.png")
    page.get_by_role("button", name="dark.png").press("Delete")
    expect(page.locator("#worklist-rows [aria-pressed=true]")).to_be_focused()
    assert names(page) == ["Scan9.png", "notes.txt"]
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="Undo").click()
    assert names(page) == ["scan10.png", "dark.png", "Scan9.png", "notes.txt"]
    expect(page.locator("#undo")).to_be_hidden()
    expect(page.locator("#result-name")).to_have_text("scan10.png")
    assert page.locator("#hc").inner_text() == number


def test_clear_asks_first_and_can_be_undone(open_page, serve_synthetic):
    """Nothing goes on No or Escape; after Yes, one press brings all of it back."""
    page = open_page(serve_synthetic())
    fill(page)
    for refuse in (lambda: page.keyboard.press("Escape"), lambda: page.keyboard.press("Enter")):
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#ask-question")).to_have_text("Remove all 4 images from the list?")
        expect(page.locator("#ask [value=no]")).to_be_focused()
        refuse()
        expect(page.locator("#ask")).to_be_hidden()
        assert len(names(page)) == 4
    clear(page)
    expect(page.locator("#worklist")).to_be_hidden()
    expect(page.locator("#files")).to_be_focused()
    give(page, ("dark.png", DARK))
    wait_for(page, 1)
    page.get_by_role("button", name="Undo").click()
    wait_for(page, 5)
    assert sorted(names(page)) == [
        "Scan9.png",
        "dark.png",
        "dark.png (2)",
        "notes.txt",
        "scan10.png",
    ]


def test_image_removed_while_it_is_measured(open_page, serve_synthetic):
    """Its late answer is dropped; undo measures it again."""
    page = open_page(serve_synthetic())
    waiting = []
    page.route("**/v1/analyses", lambda route: waiting.append(route))  # noqa: PLW0108 - wrapped
    give(page, ("a.png", CONTENT))
    expect(page.locator("#worklist-rows .state")).to_have_text("Measuring")
    page.locator("#remove").click()
    expect(page.locator("#undo-button")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)
    for route in waiting:
        route.continue_()
    wait_for(page, 1)


def test_search_filter_and_order(open_page, serve_synthetic):
    """They change what is shown, never what is in the list; the arrow keys follow what is shown."""
    page = open_page(serve_synthetic())
    give(page, ("alone.png", CONTENT))
    expect(page.locator("#list-tools")).to_be_hidden()
    clear(page)
    fill(page)
    expect(page.locator("#review-count")).to_have_text("2")
    page.get_by_label("Needs review").check()
    assert names(page) == ["dark.png", "notes.txt"]
    expect(page.locator("#worklist-count")).to_have_text("4 of 4 done")
    page.get_by_role("button", name="dark.png").press("ArrowDown")
    expect(page.locator("#result-name")).to_have_text("notes.txt")
    page.get_by_label("Needs review").uncheck()
    page.get_by_label("Search names").fill("SCAN")
    assert names(page) == ["scan10.png", "Scan9.png"]
    page.get_by_label("Order").select_option("By name")
    assert names(page) == ["Scan9.png", "scan10.png"]
    page.get_by_label("Search names").fill("nothing")
    expect(page.locator("#list-empty")).to_have_text("No image fits the search or the filter.")
    page.get_by_label("Search names").fill("")
    page.get_by_label("Order").select_option("By circumference")
    assert names(page)[:2] == ["Scan9.png", "scan10.png"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 5
    page.reload()
    expect(page.get_by_label("Order")).to_have_value("circumference")
    expect(page.locator("#worklist-rows .file").first).to_have_text("Scan9.png")


def test_contradicted_pixel_size_leaves_the_image_waiting(open_page, serve_synthetic):
    """The service's reason is shown, and the question for the size stands again."""
    page = open_page(serve_synthetic())
    refusals = iter([True])

    def refuse(route):
        if next(refusals, None) is None:
            route.continue_()
            return
        problem = {
            "code": "pixel-size-conflict",
            "detail": "The file states 0.2 mm.",
            "status": 422,
        }
        route.fulfill(status=422, json=problem)

    page.route("**/v1/analyses", refuse)
    choose(page, ("a.png", CONTENT))
    expect(page.locator("#worklist-rows .state")).to_have_text("Pixel size?")
    expect(page.locator("#failure")).to_have_text("The file states 0.2 mm.")
    expect(page.locator("#batch-count")).to_have_text("1 image waits")
    page.get_by_role("button", name="None", exact=True).click()
    wait_for(page, 1)
    expect(page.locator("#failure")).to_be_hidden()


def test_table_may_be_dropped_with_its_images(open_page, serve_synthetic):
    """A CSV among the chosen files is the table of their pixel sizes, and no image."""
    page = open_page(serve_synthetic())
    table = b"filename,pixel_size_mm\na.png,0.1\nb.png,0.2\n"
    page.locator("#files").set_input_files([
        {"name": name, "mimeType": "", "buffer": content}
        for name, content in (("a.png", CONTENT), ("sizes.csv", table), ("b.png", CONTENT))
    ])  # fmt: skip
    wait_for(page, 2)
    sizes = page.locator("#worklist-rows .size").all_inner_texts()
    assert sizes == ["0.1 mm, from the table", "0.2 mm, from the table"]


@pytest.mark.slow  # twenty seconds
def test_five_hundred_images(open_page, serve_synthetic):
    """A part of the rows is in the document, none in sight is blank, and any row is reached."""
    page = open_page(serve_synthetic())
    answer = {}

    def answer_at_once(route):
        if not answer:
            answer.update(route.fetch().json())
        route.fulfill(status=201, body=json.dumps(answer), content_type="application/json")

    page.route("**/v1/analyses", answer_at_once)
    choose(page, *((f"exam {i:03d}.png", CONTENT) for i in range(MANY)))
    expect(page.locator("#batch-count")).to_have_text(f"{MANY} images wait")
    page.locator("#batch-none").click()
    expect(page.locator("#worklist-count")).to_have_text(f"{MANY} of {MANY} done", timeout=120_000)
    found = page.evaluate(SCROLL)
    assert found["steps"] > 100
    assert found["blank"] == 0
    assert found["most"] < MOST_ROWS
    page.get_by_label("Search names").fill("exam 250")
    page.get_by_role("button", name="exam 250.png").click()
    page.get_by_label("Search names").fill("")
    page.locator("#worklist-rows [aria-pressed=true]").press("ArrowDown")
    expect(page.locator("#result-name")).to_have_text("exam 251.png")
    row = page.locator("#worklist-rows [aria-pressed=true]")
    expect(row).to_be_focused()
    expect(row).to_be_in_viewport()
    assert row.locator("xpath=..").get_attribute("aria-posinset") == "252"
    assert row.locator("xpath=..").get_attribute("aria-setsize") == str(MANY)
    page.keyboard.press("End")
    expect(page.locator("#result-name")).to_have_text(re.compile("exam 499"))
    page.keyboard.press("Home")
    expect(page.locator("#worklist-rows [aria-pressed=true]")).to_be_in_viewport()
