"""An unreliable number is marked: words first, muted colours, dashed lines, a caption."""

import httpx
import numpy as np
import pytest
from headcirc_service.results.stored_analysis import to_result_facts
from headcirc_service.schemas import AnalysisBody
from playwright.sync_api import expect
from pydantic import TypeAdapter

from headcirc.caption import to_details, to_headline
from tests.support.synthetic import draw_head, to_file
from tests.web.steps import ask, clear, give, wait_for

CONTENT = to_file(draw_head())
STYLE = "(each, name) => getComputedStyle(each)[name]"
INTERVAL = {"level": 0.9, "low": 97.66, "high": 99.04}


def add_interval(page) -> None:
    def add(route):
        answer = route.fetch()
        body = answer.json()
        if body["head"] and body["head"]["head_circumference_mm"]:
            body["head"]["head_circumference_interval_mm"] = INTERVAL
        route.fulfill(status=answer.status, json=body)

    page.route("**/v1/analyses", add)


def open_measured(open_page, url, pixel_size_mm):
    page = open_page(url)
    add_interval(page)
    give(page, ("head.png", CONTENT), pixel_size_mm=pixel_size_mm)
    expect(page.locator("#hc")).to_contain_text(".")
    expect(page.locator("#draw-ellipse ellipse")).to_be_attached()
    return page


def read_style(page, selector: str, name: str) -> str:
    return page.locator(selector).first.evaluate(STYLE, name)


def test_number_is_muted_and_the_words_come_first(open_page, synthetic_url):
    """The number is smaller and paler; verdict and warnings are above it."""
    good = open_measured(open_page, synthetic_url, "0.1")
    bad = open_measured(open_page, synthetic_url, "2")
    sizes_px = [float(read_style(page, "#hc", "fontSize")[:-2]) for page in (good, bad)]
    assert sizes_px[1] < 0.6 * sizes_px[0]
    assert read_style(bad, "#hc", "color") != read_style(good, "#hc", "color")
    assert read_style(bad, "#hc", "color") == read_style(bad, ".hint", "color")
    tops = [bad.locator(each).bounding_box()["y"] for each in ("#verdict", "#warnings", "#hc")]
    assert tops == sorted(tops)
    expect(bad.locator("#verdict")).to_have_text("Do not rely on this result")
    expect(bad.locator("#hc-label")).to_have_text("Head circumference (HC), unreliable")
    expect(good.locator("#hc-label")).to_have_text("Head circumference (HC)")


def test_interval_of_an_unreliable_number_is_hidden(open_page, synthetic_url):
    """A small interval would be misleading; that of a reliable number is shown."""
    good = open_measured(open_page, synthetic_url, "0.1")
    expect(good.locator("#interval")).to_be_visible()
    bad = open_measured(open_page, synthetic_url, "2")
    expect(bad.locator("#interval")).to_be_hidden()
    assert "97.7" not in bad.locator("body").inner_text()


def test_announcement_begins_with_the_words(open_page, synthetic_url):
    """A screen reader reads the warning before the number."""
    page = open_measured(open_page, synthetic_url, "2")
    expect(page.locator("#live")).to_contain_text("head.png: Do not rely on this number.")
    said = page.locator("#live").inner_text()
    assert said.index("Do not rely") < said.index(" mm.")


def test_unreliable_ellipse_is_dashed_and_of_another_colour(open_page, synthetic_url):
    """The ellipse and its sample look as in the service's overlay."""
    good = open_measured(open_page, synthetic_url, "0.1")
    bad = open_measured(open_page, synthetic_url, "2")
    ellipse = "#draw-ellipse ellipse"
    assert read_style(good, ellipse, "strokeDasharray") == "none"
    assert read_style(bad, ellipse, "strokeDasharray") != "none"
    assert read_style(good, ellipse, "stroke") != read_style(bad, ellipse, "stroke")
    swatch = ".swatch.ellipse"
    assert read_style(bad, swatch, "borderTopColor") == read_style(bad, ellipse, "stroke")
    give(bad, ("good.png", CONTENT), pixel_size_mm="0.1")
    wait_for(bad, 2)
    expect(bad.locator("#hc-label")).to_have_text("Head circumference (HC)")
    expect(bad.locator("#draw-edge path")).to_be_attached()
    assert read_style(bad, ellipse, "strokeDasharray") == "none"


@pytest.mark.parametrize(
    ("brightness", "pixel_size_mm"),
    [(1, "0.1"), (1, "2"), (1, None), (0.8, "0.1"), (0.8, None), (0, None)],
)
def test_picture_has_the_overlay_s_caption_below_it(
    open_page, synthetic_url, brightness, pixel_size_mm
):
    """The caption has the words of the service's overlay, outside the picture."""
    page = open_page(synthetic_url)
    content = to_file((draw_head() * brightness).astype(np.uint8))
    stated = {} if pixel_size_mm is None else {"pixel_size_mm": float(pixel_size_mm)}
    expect(page.locator("#caption")).to_be_hidden()
    give(page, ("head.png", content), pixel_size_mm=pixel_size_mm)
    body = TypeAdapter(AnalysisBody).validate_python(ask(synthetic_url, content, **stated))
    facts = to_result_facts(body)
    assert facts.acceptable == (brightness == 1 and pixel_size_mm != "2")
    expect(page.locator("#caption-headline")).to_have_text(to_headline(facts))
    expect(page.locator("#caption-details")).to_have_text(to_details(facts))
    stage, caption = (page.locator(each).bounding_box() for each in ("#stage", "#caption"))
    assert caption["y"] >= stage["y"] + stage["height"] - 1
    clear(page)
    expect(page.locator("#caption")).to_be_hidden()


def test_saved_overlay_has_its_caption(open_page, synthetic_url, tmp_path):
    """What is pasted into a slide keeps its warning."""
    page = open_measured(open_page, synthetic_url, "2")
    with page.expect_download() as download:
        page.get_by_role("button", name="Overlay PNG").click()
    download.value.save_as(tmp_path / "overlay.png")
    link = ask(synthetic_url, CONTENT, pixel_size_mm=2.0)["links"]["overlay"]
    expected = httpx.get(synthetic_url + link).content
    assert (tmp_path / "overlay.png").read_bytes() == expected
