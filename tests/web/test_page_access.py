import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

from tests.service.http.test_saliency import explain_facts  # noqa: F401 - a fixture
from tests.support.synthetic import BrightnessBackend, draw_head, to_file, to_synthetic_pipeline
from tests.web.steps import choose, give, state_pixel_size, take_phantom, wait_for, wait_until_kept

CONTENT = to_file(draw_head())
SEVERE = ("serious", "critical")
SIZES = {"wide": {"width": 1280, "height": 800}, "narrow": {"width": 390, "height": 844}}
LOOKS = [
    ("light", "wide"),
    ("dark", "narrow"),
    pytest.param("light", "narrow", marks=pytest.mark.slow),
    pytest.param("dark", "wide", marks=pytest.mark.slow),
]
"""Colour scheme and size."""
SCREENSHOT_SIZE = {"width": 1280, "height": 760}
MOST_BYTES = 300_000


@pytest.fixture
def explain_url(explain_facts, serve_synthetic):  # noqa: F811 - the fixture
    """Return the address of a service whose model can explain its result."""
    plain = to_synthetic_pipeline()
    manifest = replace(plain.manifest, explain=explain_facts)
    backend = BrightnessBackend(name="onnxruntime")
    return serve_synthetic(replace(plain, manifest=manifest, backend=backend))


def find_severe(page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {node['html']}"
        for fault in found
        if fault["impact"] in SEVERE
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_axe_finds_no_severe_fault(open_page, explain_url, scheme, size):
    """No state of the page has a serious or critical accessibility fault."""
    page = open_page(explain_url, color_scheme=scheme, viewport=SIZES[size])
    expect(page.locator("#examples")).to_be_visible()
    assert find_severe(page) == []
    files = [("head.png", CONTENT), ("dark.png", to_file(draw_head() * 0)), ("notes.txt", b"x")]
    choose(page, *files)
    expect(page.locator("#batch-form")).to_be_visible()
    assert find_severe(page) == []
    page.locator("#batch-x").fill("0.1")
    page.locator("#batch-x").press("Enter")
    wait_for(page, 3)
    for name in ("head.png", "dark.png", "notes.txt"):
        page.get_by_role("button", name=name).click()
        expect(page.locator("#result-name")).to_have_text(name)
        assert find_severe(page) == []
    page.get_by_role("button", name="head.png").click()
    page.locator("#origin summary").click()
    page.get_by_label("Grad-CAM").check()
    expect(page.locator("#draw-map image")).to_be_attached()
    state_pixel_size(page, "much")
    page.locator("#pixel-x").press("Enter")
    expect(page.locator("#pixel-fault")).to_be_visible()
    expect(page.locator("#pixel-pending")).to_be_visible()
    assert find_severe(page) == []
    give(page, ("unreliable.png", CONTENT), pixel_size_mm="2")
    expect(page.locator("#viewer")).to_have_class(re.compile("unreliable"))
    assert find_severe(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_severe_fault_in_the_list(open_page, explain_url, scheme):
    """Nor with a question open, an undo offered, nothing found, an image missing, on paper."""
    page = open_page(explain_url, color_scheme=scheme)
    page.evaluate("window.print = () => {}")
    give(page, ("head.png", CONTENT), ("dark.png", to_file(draw_head() * 0)), pixel_size_mm="0.1")
    wait_for(page, 2)
    page.get_by_role("button", name="Clear").click()
    assert find_severe(page) == []
    page.keyboard.press("Escape")
    page.locator("#worklist-rows li:nth-child(2) button").press("Delete")
    expect(page.locator("#undo")).to_be_visible()
    page.locator("#keeping summary").click()
    page.locator("#examples summary").click()
    assert find_severe(page) == []
    page.get_by_role("button", name="Undo", exact=True).click()
    page.get_by_label("Search names").fill("nothing")
    expect(page.locator("#list-empty")).to_be_visible()
    assert find_severe(page) == []
    page.get_by_label("Search names").fill("")
    page.get_by_role("button", name="Report").click()
    expect(page.locator("#report .case")).to_have_count(2)
    page.emulate_media(media="print")
    assert find_severe(page) == []
    page.emulate_media(media="screen")
    choose(page, ("waits.png", CONTENT), ("waits too.png", CONTENT))
    expect(page.locator("#batch-form")).to_be_visible()
    wait_until_kept(page, 4, 0)
    page.reload()
    expect(page.locator("#worklist-rows .state").last).to_have_text("Choose it again")
    page.locator("#worklist-rows button").last.click()
    assert find_severe(page) == []


def test_touch_is_enough(open_page, explain_url):
    """Every control is large enough for a finger, and no step needs a mouse or keys."""
    page = open_page(explain_url, has_touch=True, is_mobile=True, viewport=SIZES["narrow"])
    page.get_by_role("button", name="Try an example").tap()
    wait_for(page, 1)
    page.get_by_label("Grad-CAM").tap()
    expect(page.locator("#draw-map image")).to_be_attached()
    small = page.locator("button, select, input, summary, .button").evaluate_all(
        """all => all.filter(each => each.checkVisibility() && !each.matches(".sight-off"))
          .map(each => [each, (each.closest("label") ?? each).getBoundingClientRect()])
          .filter(([each, box]) => Math.min(box.width, box.height) < 24)
          .map(([each]) => each.outerHTML)"""
    )
    assert small == []
    page.get_by_role("button", name="Remove", exact=True).tap()
    expect(page.locator("#worklist")).to_be_hidden()
    page.get_by_role("button", name="Undo", exact=True).tap()
    expect(page.locator("#worklist-rows li")).to_have_count(1)
    page.get_by_role("button", name="Clear").tap()
    page.get_by_role("button", name="Remove all").tap()
    expect(page.locator("#welcome")).to_be_visible()


def test_nothing_moves_for_readers_who_want_that(open_page, explain_url):
    """With reduced motion no element has a transition or an animation."""
    page = open_page(explain_url, reduced_motion="reduce")
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter(each => {
          const { transitionDuration, animationName } = getComputedStyle(each);
          return transitionDuration !== "0s" || animationName !== "none";
        }).map(each => each.outerHTML.slice(0, 80))"""
    )
    assert moving == []


def test_list_and_report_by_keyboard(open_page, explain_url):
    """Search, order, filter, remove, undo, copy, print, keep and clear without a pointer."""
    page = open_page(explain_url)
    page.evaluate("window.print = () => { window.printed = true; }")
    give(page, ("a.png", CONTENT), ("b.png", CONTENT), ("c.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 3)
    press_until_focused(page, "Shift+Tab", "#list-search")
    page.keyboard.type("b")
    expect(page.locator("#worklist-rows li")).to_have_count(1)
    page.keyboard.press("Backspace")
    press_until_focused(page, "Tab", "#list-sort")
    page.keyboard.press("ArrowDown")
    press_until_focused(page, "Tab", "#list-review")
    press_until_focused(page, "Tab", "#worklist-rows button")
    page.keyboard.press("End")
    expect(page.locator("#result-name")).to_have_text("c.png")
    page.keyboard.press("Delete")
    expect(page.locator("#worklist-rows li")).to_have_count(2)
    page.keyboard.press("Control+z")
    expect(page.locator("#worklist-rows li")).to_have_count(3)
    press_until_focused(page, "Tab", "#print-all")
    page.keyboard.press("Enter")
    expect(page.locator("#report .case")).to_have_count(3)
    press_until_focused(page, "Tab", "#clear")
    page.keyboard.press("Enter")
    expect(page.locator("#ask [value=no]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#clear")).to_be_focused()
    press_until_focused(page, "Tab", "#keeping summary")
    page.keyboard.press("Enter")
    press_until_focused(page, "Tab", "#keep-images")
    page.keyboard.press("Space")
    expect(page.locator("#keep-images")).to_be_checked()
    press_until_focused(page, "Tab", "#copy-number")
    press_until_focused(page, "Tab", "#print-one")
    press_until_focused(page, "Tab", "#copy-text")


def test_nothing_is_cut_off_on_the_narrowest_phone(open_page, explain_url):
    """At 320 px the page does not scroll sideways, and all view names are complete."""
    page = open_page(explain_url, viewport={"width": 320, "height": 640})
    give(page, ("head.png", CONTENT))
    expect(page.locator("#views")).to_be_visible()
    for selector in ("html", "#views"):
        widths = page.locator(selector).evaluate("each => [each.scrollWidth, each.clientWidth]")
        assert widths[0] <= widths[1]


def test_long_names_are_told_apart(open_page, serve_synthetic):
    """Names that differ at the end are complete in the list, also on a narrow phone."""
    page = open_page(serve_synthetic(), viewport={"width": 320, "height": 640})
    names = [f"a_very_long_name_of_an_examination_{end}.png" for end in ("left", "right")]
    give(page, *((name, CONTENT) for name in names), pixel_size_mm="2")
    wait_for(page, 2)
    shown = page.locator("#worklist-rows .file")
    assert shown.all_inner_texts() == names
    cut = "all => all.map(each => each.scrollWidth - each.clientWidth)"
    assert max(shown.evaluate_all(cut)) <= 0
    assert page.locator("#worklist-rows .state").first.bounding_box()["width"] > 0


def test_what_is_chosen_is_seen_in_a_reader_s_own_colours(open_page, explain_url):
    """With forced system colours, the selected view and image still look different."""
    page = open_page(explain_url, forced_colors="active")
    give(page, ("a.png", CONTENT), ("b.png", CONTENT))
    wait_for(page, 2)
    highlights = set()
    for chosen, other in (
        ("[name=view]:checked + span", "[name=view]:not(:checked) + span"),
        ("#worklist-rows [aria-pressed=true]", "#worklist-rows [aria-pressed=false]"),
    ):
        grounds = [find_ground(page.locator(each).first.screenshot()) for each in (chosen, other)]
        assert grounds[0] != grounds[1]
        highlights.add(grounds[0])
    assert len(highlights) == 1, "both are the system's own, which its text is seen on"


def find_ground(screenshot: bytes) -> tuple[int, int, int]:
    """Return the most frequent colour of a picture."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    return max(picture.getcolors(picture.width * picture.height))[1]


def press_until_focused(page, key: str, selector: str) -> None:
    """Press a key until an element has the focus; every focused element must be visible."""
    for _ in range(40):
        page.keyboard.press(key)
        stop = page.locator(":focus")
        if stop.count() == 0:
            continue
        shown = stop.evaluate(
            """stop => {
              const around = [stop, stop.parentElement, stop.closest(".drop")?.firstElementChild];
              const fieldset = stop.closest(".segments");
              return [...around, fieldset].some(each => each
                && getComputedStyle(each).outlineStyle !== "none"
                && parseFloat(getComputedStyle(each).outlineWidth) >= 2);
            }"""
        )
        assert shown, f"the focus is not seen on {stop.evaluate('stop => stop.outerHTML')}"
        if stop.evaluate("(stop, selector) => stop.matches(selector)", selector):
            return
    pytest.fail(f"{key} does not lead to {selector}")


def test_everything_by_keyboard(open_page, explain_url):
    """Measure, read, browse, zoom, pan and explain without a pointer."""
    page = open_page(explain_url)
    expect(page.locator("#examples")).to_be_visible()
    press_until_focused(page, "Tab", ".skip")
    press_until_focused(page, "Tab", "#files")
    press_until_focused(page, "Tab", "#example-list button")
    page.keyboard.press("Enter")
    wait_for(page, 1)
    expect(page.locator("#worklist-rows button")).to_be_focused()
    press_until_focused(page, "Tab", "#examples summary")
    page.keyboard.press("Enter")
    press_until_focused(page, "Tab", "#example-list li:nth-child(2) button")
    page.keyboard.press("Space")
    wait_for(page, 2)
    expect(page.locator("#live")).to_contain_text("Phantom, small head.png")
    expect(page.locator("#worklist-rows li:last-child button")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#result-name")).to_have_text("Phantom, mid-size head.png")
    press_until_focused(page, "Tab", "#stage")
    before = page.locator("#canvas").get_attribute("viewBox")
    page.keyboard.press("+")
    expect(page.locator("#zoom-level")).to_have_text("125 %")
    zoomed = page.locator("#canvas").get_attribute("viewBox")
    page.keyboard.press("ArrowRight")
    moved = page.locator("#canvas").get_attribute("viewBox")
    assert float(moved.split()[0]) > float(zoomed.split()[0])
    page.keyboard.press("0")
    assert page.locator("#canvas").get_attribute("viewBox") == before
    press_until_focused(page, "Tab", "[name=view]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#draw-map image")).to_be_attached()
    press_until_focused(page, "Tab", "#blend")
    page.keyboard.press("End")
    expect(page.locator("#draw-map")).to_have_attribute("opacity", "1")
    press_until_focused(page, "Tab", "[data-save=json]")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_result_is_announced(open_page, serve_synthetic):
    """The live region has the file, the number and the warnings, or the refusal."""
    page = open_page(serve_synthetic())
    give(page, ("head.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 1)
    number = page.locator("#hc").inner_text()
    expect(page.locator("#live")).to_contain_text(f"head.png: head circumference {number} mm")
    give(page, ("notes.txt", b"x"))
    expect(page.locator("#live")).to_contain_text("notes.txt: not measured. The content")


def test_explanations_are_what_the_model_lists(open_page, explain_url):
    """Layers and levels are those of `/v1/models`; the slider blends the fetched map."""
    page = open_page(explain_url)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    page.get_by_label("Grad-CAM").check()
    expect(page.locator("#draw-map image")).to_be_attached()
    values = "all => all.map(each => each.value)"
    assert page.locator("#layer option").evaluate_all(values) == ["bottleneck", "decoder-64"]
    page.get_by_label("Blend").fill("30")
    expect(page.locator("#draw-map")).to_have_attribute("opacity", "0.3")
    page.get_by_label("Level", exact=True).select_option("decoder-64")
    expect(page.locator("#draw-map image")).to_be_attached()
    page.get_by_label("Level", exact=True).select_option("bottleneck")
    expect(page.locator("#draw-map image")).to_be_attached()
    layers = [re.search("saliency.layer=([^&]+)", url)[1] for url in asked if "saliency?" in url]
    assert layers == ["bottleneck", "decoder-64"]
    page.get_by_label("Attention").check()
    assert page.locator("#layer option").evaluate_all(values) == ["64"]
    expect(page.locator("#draw-map image")).to_be_attached()
    assert any(url.endswith("/attention?level=64") for url in asked)


def test_what_the_model_cannot_explain_is_hidden(open_page, serve_synthetic):
    """The views are hidden, not disabled."""
    page = open_page(serve_synthetic())
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    expect(page.locator("#model")).to_be_visible()
    expect(page.locator("#views")).to_be_hidden()
    expect(page.locator("#explain-controls")).to_be_hidden()


def test_no_request_leaves_the_host(open_page, explain_url):
    """The page in full use and the API documentation load nothing from other hosts."""
    page = open_page(explain_url)
    asked = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.reload()
    take_phantom(page, "Small head")
    page.get_by_label("Grad-CAM").check()
    expect(page.locator("#draw-map image")).to_be_attached()
    page.goto(explain_url + "/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    page.locator(".opblock-summary-control").first.click()
    expect(page.locator(".opblock-body").first).to_be_visible()
    assert len(asked) > 20
    elsewhere = [url for url in asked if not url.startswith((explain_url, "blob:", "data:"))]
    assert elsewhere == []


@pytest.mark.parametrize(("scheme", "title"), [("light", "Mid-size head"), ("dark", "Small head")])
def test_screenshots_for_the_readme(open_page, shipped_url, tmp_path, scheme, title):
    """`make screenshots` keeps the pictures in `docs/`; other runs only make them."""
    folder = Path(os.environ.get("PAGE_SCREENSHOT_DIR", tmp_path))  # noqa: TID251 - no service
    page = open_page(shipped_url, color_scheme=scheme, viewport=SCREENSHOT_SIZE)
    for each in ("Small head", "Pixels not square", "Mid-size head"):
        take_phantom(page, each)
    page.locator("#worklist-rows button").nth(0 if title == "Small head" else 2).click()
    expect(page.locator("#draw-edge path")).to_be_attached()
    if scheme == "dark" and page.get_by_label("Grad-CAM").is_visible():
        page.get_by_label("Grad-CAM").check()
        expect(page.locator("#draw-map image")).to_be_attached()
    page.mouse.move(0, 0)
    page.locator("#intake-title").scroll_into_view_if_needed()
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256)
    path = folder / f"page_{scheme}.png"
    shot.save(path, optimize=True)
    assert path.stat().st_size < MOST_BYTES
