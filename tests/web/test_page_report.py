"""What leaves the page: text, pictures as they are seen, and a report on paper or as PDF."""

import io
import re

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.synthetic import draw_head, to_file
from tests.web.steps import ask, give, state_pixel_size, wait_for
from tests.web.test_page_access import explain_facts, explain_url  # noqa: F401 - fixtures

CONTENT = to_file(draw_head())
STUB = "window.print = () => { window.printed = (window.printed ?? 0) + 1; }"
PAGE_OF_PDF = re.compile(rb"/Type /Page\b")


@pytest.fixture
def printing_page(open_page, serve_synthetic):
    """Return a page whose print command only counts; three images, one of them refused."""
    page = open_page(serve_synthetic())
    page.evaluate(STUB)
    give(page, ("left/a.png", CONTENT), ("notes.txt", b"x"), ("b.png", CONTENT))
    wait_for(page, 3)
    return page


def test_report_has_every_case_on_a_page_of_its_own(printing_page):
    """Picture, caption, figures, quality and model stand on paper; refused files at the end."""
    page = printing_page
    page.get_by_role("button", name="a.png").click()
    state_pixel_size(page, "0.1")
    page.locator("#pixel-x").press("Enter")
    wait_for(page, 3)
    number = page.locator("#hc").inner_text()
    page.get_by_role("button", name="Report").click()
    page.wait_for_function("() => window.printed === 1")
    page.emulate_media(media="print")
    cases = page.locator("#report .case")
    expect(cases).to_have_count(3)
    first = cases.first.inner_text()
    for text in (
        "a.png", f"{number} mm", "Biparietal diameter", "0.1 mm, stated", "Quality", "synthetic",
        "Research use only", "Result id",
    ):  # fmt: skip
        assert text in first
    picture = cases.first.locator("img")
    assert picture.evaluate("each => [each.naturalWidth, each.naturalHeight]") == [800, 540]
    assert "notes.txt: The content" in cases.last.inner_text()
    expect(page.locator("main")).to_be_hidden()
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")
    assert len(PAGE_OF_PDF.findall(pdf)) == 3
    page.emulate_media(media="screen")
    expect(page.locator("main")).to_be_visible()


def test_browser_s_own_print_command_reports_what_is_shown(printing_page):
    """Without the button there is one case, with the drawing of the stage."""
    page = printing_page
    page.get_by_role("button", name="b.png").click()
    expect(page.locator("#draw-edge path")).to_be_attached()
    page.evaluate("void dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#report .case")).to_have_count(1)
    expect(page.locator("#report h2")).to_have_text("b.png")
    expect(page.locator("#report svg ellipse")).to_be_attached()
    page.evaluate("void dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#report .case")).to_have_count(0)


def test_number_and_text_are_copied(open_page, serve_synthetic):
    """The number is what the page shows; the text names image, figures, model and use."""
    page = open_page(serve_synthetic(), permissions=["clipboard-read", "clipboard-write"])
    read = "() => navigator.clipboard.readText()"
    give(page, ("a.png", CONTENT))
    wait_for(page, 1)
    expect(page.locator("#copy-number")).to_be_hidden()
    state_pixel_size(page, "0.1")
    page.locator("#pixel-x").press("Enter")
    number = page.locator("#hc")
    expect(number).to_have_text(re.compile(r"\d"))
    page.locator("#copy-number").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate(read) == f"{number.inner_text()} mm"
    page.get_by_role("button", name="Copy as text").click()
    expect(page.locator("#live")).to_have_text("Copied.")
    lines = page.evaluate(read).splitlines()
    assert lines[0] == "a.png"
    assert lines[1].startswith(f"Head circumference (HC): {number.inner_text()} mm")
    assert lines[-1] == "Research use only. Not a medical device."


def test_text_is_copied_without_https(open_page, serve_synthetic):
    """Browsers offer the clipboard to secure pages only; the old way works everywhere."""
    page = open_page(serve_synthetic(), permissions=["clipboard-read", "clipboard-write"])
    give(page, ("a.png", CONTENT))
    wait_for(page, 1)
    page.evaluate("""() => {
      window.readText = navigator.clipboard.readText.bind(navigator.clipboard);
      Object.defineProperty(navigator, "clipboard", { value: undefined });
    }""")
    page.get_by_role("button", name="Copy as text").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("() => window.readText()").startswith("a.png\n")


def save(page, name: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    with open(download.value.path(), "rb") as file:
        return download.value.suggested_filename, file.read()


def to_pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_overlay_is_what_is_seen(open_page, explain_url):  # noqa: F811 - the fixture
    """With a map, or with less drawn, the stage is saved; otherwise the service's own picture."""
    page = open_page(explain_url)
    give(page, ("a.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 1)
    expect(page.locator("#draw-edge path")).to_be_attached()
    links = ask(explain_url, CONTENT, pixel_size_mm=0.1)["links"]
    expect(page.locator("#save-map")).to_be_hidden()
    assert save(page, "Overlay PNG") == (
        "a_overlay.png",
        httpx.get(explain_url + links["overlay"]).content,
    )
    for mark in ("Mask edge", "Ellipse", "Axes"):
        page.get_by_role("checkbox", name=mark).uncheck()
    name, content = save(page, "Overlay PNG")
    bare = to_pixels(content)
    assert name == "a_measurement.png"
    assert bare.shape[1] == 800
    assert bare.shape[0] > 540, "with its caption below"
    np.testing.assert_array_equal(bare[:540], to_pixels(CONTENT))
    page.get_by_label("Grad-CAM").check()
    expect(page.locator("#draw-map image")).to_be_attached()
    page.get_by_label("Blend").fill("100")
    name, content = save(page, "Overlay PNG")
    colours = httpx.get(
        f"{explain_url}{links['saliency']}?layer=bottleneck&blend=1&format=overlay&caption=false"
    )
    assert name == "a_saliency.png"
    np.testing.assert_allclose(to_pixels(content)[:540], to_pixels(colours.content), atol=2)
    bare_map = httpx.get(f"{explain_url}{links['saliency']}?layer=bottleneck&format=map").content
    assert save(page, "Map PNG") == ("a_saliency_map.png", bare_map)
    page.get_by_role("checkbox", name="Ellipse").check()
    drawn = to_pixels(save(page, "Overlay PNG")[1])[:540]
    changed = np.argwhere(np.abs(drawn - to_pixels(content)[:540]).max(axis=2) > 40)
    ellipse = ask(explain_url, CONTENT)["head"]["ellipse"]
    assert changed[:, 1].mean() == pytest.approx(ellipse["center_x_px"], abs=2)
    assert changed[:, 0].mean() == pytest.approx(ellipse["center_y_px"], abs=2)


def test_explanations_say_what_they_cannot_tell(open_page, explain_url):  # noqa: F811 - the fixture
    """The group has a sentence of it, and its levels have names from coarse to fine."""
    page = open_page(explain_url)
    expect(page.get_by_role("group", name="Explain")).to_be_hidden()
    give(page, ("a.png", CONTENT))
    group = page.get_by_role("group", name="Explain")
    expect(group).to_contain_text("No map can tell whether the measurement is right")
    group.get_by_label("Grad-CAM").check()
    names = page.locator("#layer option").all_inner_texts()
    assert names == ["Coarsest (bottleneck)", "Finest (decoder-64)"]
