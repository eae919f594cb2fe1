"""The first state, and that picture and number are seen together on every screen."""

import pytest
from playwright.sync_api import expect

from tests.support.synthetic import draw_head, to_file
from tests.web.steps import choose, clear, give, take_phantom, wait_for

CONTENT = to_file(draw_head())
SCREENS = {
    "phone": {"width": 390, "height": 844},
    "small laptop": {"width": 1024, "height": 768},
    "laptop": {"width": 1280, "height": 720},
}
IN_SIGHT = """each => {
  const { top, bottom, left, right, height } = each.getBoundingClientRect();
  return height > 0 && top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
}"""
USELESS_WITHOUT_IMAGE = (
    ".zoom", "#marks", "#explain", "#worklist", "#pixel-form", "#age-form", "#downloads",
    "#keeping",
    "#undo", "#copy-number",
)  # fmt: skip
TITLES = ("Mid-size head, 184 mm", "Small head, 70 mm", "Pixels not square, 160 mm")


def expect_in_sight(page, *selectors: str) -> None:
    """Expect elements to be completely in sight, without scrolling."""
    for selector in selectors:
        expect(page.locator(selector)).to_be_visible()
        for _ in range(40):
            if page.locator(selector).evaluate(IN_SIGHT):
                break
            page.wait_for_timeout(50)
        else:
            box = page.locator(selector).bounding_box()
            pytest.fail(f"{selector} is not in sight: {box}")


def test_first_state_has_three_steps_and_an_example(open_page, serve_synthetic):
    """One press shows a result; what acts on nothing is not there."""
    page = open_page(serve_synthetic())
    expect(page.locator("#welcome li")).to_have_count(3)
    for selector in USELESS_WITHOUT_IMAGE:
        expect(page.locator(selector)).to_be_hidden()
    page.get_by_role("button", name="Try an example").press("Enter")
    wait_for(page, 1)
    expect(page.locator("#result-name")).to_have_text("Phantom, mid-size head.png")
    expect(page.locator("#worklist-rows button")).to_be_focused()
    expect(page.locator("#welcome")).to_be_hidden()
    clear(page)
    expect(page.locator("#welcome")).to_be_visible()


def test_phantoms_are_folded_away_after_the_first_image(open_page, serve_synthetic):
    """They can be opened again and stay open; each is named by what it is and how large."""
    page = open_page(serve_synthetic())
    buttons = page.locator("#example-list button")
    expect(buttons).to_contain_text([*TITLES, "Large head, faint sides, 288 mm"])
    give(page, ("a.png", CONTENT))
    expect(buttons.first).to_be_hidden()
    take_phantom(page, "Small head")
    expect(buttons.first).to_be_visible()
    clear(page)
    expect(buttons.first).to_be_visible()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("size", ["0.1", "2"], ids=["reliable", "unreliable"])
def test_picture_and_number_are_seen_together(open_page, shipped_url, screen, size):
    """After an image is given nothing has to be scrolled for either."""
    page = open_page(shipped_url, viewport=SCREENS[screen])
    page.get_by_role("button", name="Try an example").click()
    wait_for(page, 1)
    expect_in_sight(page, "#stage", "#hc")
    page.evaluate("void scrollTo(0, 0)")
    page.locator("#pixel-x").fill(size)
    page.locator("#pixel-x").press("Enter")
    expect(page.locator("#rows")).to_contain_text(f"{size} mm, stated")
    page.locator("#worklist-rows button").click()
    expect_in_sight(page, "#stage", "#hc")
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]


def test_actions_stay_in_sight_in_a_long_list(open_page, serve_synthetic):
    """The buttons of the list stick to its end while the column is scrolled."""
    page = open_page(serve_synthetic(), viewport={"width": 1280, "height": 640})
    choose(page, *((f"{i:02d}.png", CONTENT) for i in range(30)))
    page.locator("#batch-none").click()
    wait_for(page, 30)
    expect_in_sight(page, "#remove", "#clear", "#save-csv", "#print-all")
