"""Callipers: two-point diameters, which stand beside the ellipse's figures."""

import csv
import io
import json

import pytest
from playwright.sync_api import expect

from tests.support.synthetic import draw_head, to_file
from tests.web.steps import give, read_rows, state_pixel_size, wait_for
from tests.web.test_page_access import SIZES, find_severe
from tests.web.test_page_calibration import click_frame

CONTENT = to_file(draw_head())
NAMES = {
    "BPD, outer to outer": "Callipers BPD, outer to outer",
    "BPD, outer to inner": "Callipers BPD, outer to inner",
    "OFD": "Callipers OFD, outer to outer",
}

KEPT = """async () => {
  const { openStore } = await import("./web/keep/store.js");
  const items = await (await openStore()).readAll("items");
  return items.some(item => item.callipers?.ofd);
}"""


def begin(page, pixel_size_mm="0.1") -> None:
    give(page, ("head.png", CONTENT), pixel_size_mm=pixel_size_mm)
    wait_for(page, 1)
    page.locator("#callipers-open").click()
    expect(page.locator("#callipers-form")).to_be_visible()


def place(page, kind: str, first, second) -> None:
    page.locator("#callipers-form").get_by_label(kind, exact=True).check()
    click_frame(page, *first)
    click_frame(page, *second)


def test_three_diameters_stand_beside_the_ellipse_s(open_page, serve_synthetic):
    """Each by its name; the ellipse's own figures do not change."""
    page = open_page(serve_synthetic())
    begin(page)
    before = read_rows(page)
    place(page, "BPD, outer to outer", (400, 100), (400, 440))
    place(page, "BPD, outer to inner", (300, 100), (300, 420))
    place(page, "OFD", (180, 270), (620, 270))
    page.locator("#callipers-close").click()
    rows = read_rows(page)
    lengths = [float(rows[name].split()[0]) for name in NAMES.values()]
    assert lengths == [pytest.approx(each, abs=0.3) for each in (34.0, 32.0, 44.0)]
    assert {name: rows[name] for name in before} == before
    expect(page.locator("#callipers-open")).to_be_focused()
    with page.expect_download() as download:
        page.locator("#save-csv").click()
    (row,) = csv.DictReader(io.StringIO(download.value.path().read_text()))
    assert float(row["callipers_ofd_mm"]) == pytest.approx(lengths[2], abs=0.06)
    with page.expect_download() as download:
        page.locator("[data-save=json]").click()
    saved = json.loads(download.value.path().read_text())
    assert saved["callipers"]["callipers_bpd_outer_inner_mm"] == pytest.approx(lengths[1], abs=0.06)


def test_edge_that_is_meant_is_named(open_page, serve_synthetic):
    """The inner edge is that of the far wall."""
    page = open_page(serve_synthetic())
    begin(page)
    form = page.locator("#callipers-form")
    form.get_by_label("BPD, outer to inner").check()
    expect(page.locator("#callipers-step")).to_contain_text("outer edge of the near skull wall")
    click_frame(page, 300, 100)
    expect(page.locator("#callipers-step")).to_contain_text("inner edge of the far one")


def test_keys_alone_place_a_diameter_and_remove_it(open_page, serve_synthetic):
    page = open_page(serve_synthetic())
    give(page, ("head.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 1)
    page.locator("#callipers-open").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#callipers-lengths")).to_have_text("Callipers BPD, outer to outer: 4.0 mm")
    page.locator("#callipers-remove").click()
    expect(page.locator("#callipers-lengths")).to_have_text("")
    page.locator("#stage").press("Escape")
    expect(page.locator("#callipers-form")).to_be_hidden()
    assert NAMES["OFD"] not in read_rows(page)


def test_points_stay_with_their_image_when_the_pixel_size_changes(open_page, serve_synthetic):
    """The same points are another length then."""
    page = open_page(serve_synthetic())
    begin(page)
    place(page, "OFD", (180, 270), (620, 270))
    page.locator("#callipers-close").click()
    before = float(read_rows(page)[NAMES["OFD"]].split()[0])
    state_pixel_size(page, "0.2")
    page.locator("#pixel-x").press("Enter")
    wait_for(page, 1)
    expect(page.locator("#rows")).to_contain_text("0.2 mm, stated")
    assert float(read_rows(page)[NAMES["OFD"]].split()[0]) == pytest.approx(2 * before, abs=0.2)


@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_no_severe_fault_with_callipers(open_page, serve_synthetic, size):
    page = open_page(serve_synthetic(), viewport=SIZES[size], color_scheme="dark")
    begin(page)
    page.locator("#stage").scroll_into_view_if_needed()
    place(page, "OFD", (180, 270), (620, 270))
    assert find_severe(page) == []
    widths = page.locator("html").evaluate("each => [each.scrollWidth, each.clientWidth]")
    assert widths[0] <= widths[1]


def test_diameters_outlive_a_reload(open_page, serve_synthetic):
    """They are kept with the worklist, as points."""
    page = open_page(serve_synthetic())
    begin(page)
    place(page, "OFD", (180, 270), (620, 270))
    page.locator("#callipers-close").click()
    before = read_rows(page)[NAMES["OFD"]]
    for _ in range(100):
        if page.evaluate(KEPT):
            break
        page.wait_for_timeout(50)
    page.reload()
    expect(page.locator("#rows")).to_contain_text(NAMES["OFD"])
    assert read_rows(page)[NAMES["OFD"]] == before
