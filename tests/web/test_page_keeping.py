"""What the page keeps: a reload or a crash loses nothing, and one button deletes it all."""

import os

from playwright.sync_api import expect

from tests.support.synthetic import draw_head, to_file
from tests.web.steps import STORED, choose, clear, give, state_pixel_size, wait_for, wait_until_kept

CONTENT = to_file(draw_head())


def read_rows(page) -> list[tuple[str, str, str]]:
    return [
        tuple(row.locator(part).inner_text() for part in (".file", ".state", ".size"))
        for row in page.locator("#worklist-rows li").all()
    ]


def allow_images(page) -> None:
    page.locator("#keeping summary").click()
    page.get_by_label("Keep the images, too").check()


def test_reload_loses_nothing(open_page, serve_synthetic):
    """Results, sizes, order, what was typed, and the images that the person allowed are there."""
    page = open_page(serve_synthetic())
    give(page, ("a.png", CONTENT), ("notes.txt", b"x"), pixel_size_mm="0.1")
    wait_for(page, 2)
    page.get_by_role("button", name="a.png").click()
    state_pixel_size(page, "0.25")
    allow_images(page)
    choose(page, ("held 1.png", CONTENT), ("held 2.png", CONTENT))
    wait_until_kept(page, 4, 4)
    before = read_rows(page)
    number = page.locator("#hc").inner_text()
    posts = []
    page.on("request", lambda sent: posts.append(sent.url) if sent.method == "POST" else None)
    page.reload()
    expect(page.locator("#worklist-rows li")).to_have_count(4)
    assert read_rows(page) == before
    expect(page.locator("#result-name")).to_have_text("a.png")
    assert page.locator("#hc").inner_text() == number
    expect(page.locator("#pixel-x")).to_have_value("0.25")
    expect(page.locator("#draw-edge path")).to_be_attached()
    assert [url for url in posts if url.endswith("/v1/analyses")] == []
    expect(page.locator("#batch-count")).to_have_text("2 images wait")
    page.locator("#batch-x").fill("0.1")
    page.locator("#batch-x").press("Enter")
    wait_for(page, 4)


def test_crash_amid_measuring_is_gone_on_with(open_page, serve_synthetic):
    """An image whose answer never came is measured by the next visit."""
    url = serve_synthetic()
    page = open_page(url)
    page.route("**/v1/analyses", lambda route: None)
    give(page, ("a.png", CONTENT))
    allow_images(page)
    wait_until_kept(page, 1, 1)
    with page.context.expect_page() as opened:
        page.evaluate("void open(location.href)")
    page.close()  # as a crash: no script of the page runs
    wait_for(opened.value, 1)
    expect(opened.value.locator("#worklist-rows .state")).to_have_text("No pixel size")


def test_image_that_was_not_kept_is_asked_for(open_page, serve_synthetic, tmp_path):
    """Its result stays; choosing the same file again gives it back, another one of its name not."""
    path = tmp_path / "scan.png"
    path.write_bytes(CONTENT)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    page = open_page(serve_synthetic(result_ttl_s=0))
    page.locator("#files").set_input_files(path)
    wait_for(page, 1)
    wait_until_kept(page, 1, 0)
    page.reload()
    expect(page.locator("#worklist-rows .state")).to_have_text("No pixel size")
    expect(page.locator("#picture-fault")).to_contain_text("Choose the file again")
    expect(page.locator("#pixel-form")).to_be_hidden()
    page.locator("#files").set_input_files(path)
    expect(page.locator("#draw-base image")).to_be_attached()
    expect(page.locator("#pixel-form")).to_be_visible()
    expect(page.locator("#worklist-count")).to_have_text("1 of 1 done")
    os.utime(path, (1_700_000_001, 1_700_000_001))
    page.reload()
    expect(page.locator("#worklist-rows li")).to_have_count(1)
    page.locator("#files").set_input_files(path)
    wait_for(page, 2)


def test_image_that_was_neither_measured_nor_kept_says_so(open_page, serve_synthetic):
    """The row says that it must be chosen again; leaving such a page gives a warning."""
    page = open_page(serve_synthetic())
    questions = []
    page.on("dialog", lambda dialog: (questions.append(dialog.type), dialog.accept()))
    choose(page, ("a.png", CONTENT), ("b.png", CONTENT))
    wait_until_kept(page, 2, 0)
    page.locator("#batch-x").click()  # browsers ask only for a page that was used
    page.reload()
    assert questions == ["beforeunload"]
    expect(page.locator("#worklist-rows .state")).to_have_text(["Choose it again"] * 2)
    expect(page.locator("#stage-empty")).to_contain_text("was not kept")
    page.locator("#remove").click()
    wait_until_kept(page, 1, 0)
    page.reload()
    expect(page.locator("#worklist-rows li")).to_have_count(1)
    assert questions == ["beforeunload"], "nothing more is lost"


def test_one_button_deletes_everything(open_page, serve_synthetic):
    """Items, images and settings are gone, here and after a reload."""
    page = open_page(serve_synthetic())
    give(page, ("a.png", CONTENT))
    wait_for(page, 1)
    allow_images(page)
    page.get_by_label("Axes").uncheck()
    wait_until_kept(page, 1, 1)
    page.get_by_role("button", name="Delete everything kept").click()
    page.get_by_role("button", name="Keep", exact=True).click()
    assert page.evaluate(STORED) == [1, 1, 1]
    page.get_by_role("button", name="Delete everything kept").click()
    page.locator("#ask-yes").click()
    expect(page.locator("#worklist")).to_be_hidden()
    expect(page.locator("#undo")).to_be_hidden()
    expect(page.locator("#keeping")).to_be_hidden()
    assert page.evaluate(STORED) == [0, 0, 0]
    page.reload()
    expect(page.locator("#examples")).to_be_visible()
    assert page.evaluate(STORED) == [0, 0, 0]


def test_data_that_the_browser_does_not_delete_are_reported(open_page, serve_synthetic):
    """The text is not that about missing room; the button stays and works later."""
    page = open_page(serve_synthetic())
    give(page, ("a.png", CONTENT))
    wait_for(page, 1)
    allow_images(page)
    wait_until_kept(page, 1, 1)
    page.evaluate(
        """() => {
          globalThis.clearStore = IDBObjectStore.prototype.clear;
          IDBObjectStore.prototype.clear = function () {
            if (this.name === "items") queueMicrotask(() => this.transaction.abort());
          };
        }"""
    )
    page.get_by_role("button", name="Delete everything kept").click()
    page.locator("#ask-yes").click()
    fault = page.locator("#keep-fault")
    expect(fault).to_contain_text("did not delete what it keeps")
    expect(fault).not_to_contain_text("room")
    page.evaluate("() => { IDBObjectStore.prototype.clear = globalThis.clearStore; }")
    page.get_by_role("button", name="Delete everything kept").click()
    page.locator("#ask-yes").click()
    expect(page.locator("#keeping")).to_be_hidden()
    assert page.evaluate(STORED) == [0, 0, 0]


def test_images_are_deleted_when_they_are_no_longer_allowed(open_page, serve_synthetic):
    """The results stay; settings of the page stay too."""
    page = open_page(serve_synthetic())
    give(page, ("a.png", CONTENT))
    wait_for(page, 1)
    page.get_by_label("Axes").uncheck()
    allow_images(page)
    wait_until_kept(page, 1, 1)
    page.get_by_label("Keep the images, too").uncheck()
    wait_until_kept(page, 1, 0)
    page.reload()
    expect(page.locator("#worklist-rows li")).to_have_count(1)
    expect(page.get_by_label("Axes")).not_to_be_checked()
    clear(page)
    wait_until_kept(page, 0, 0)


def test_browser_that_keeps_nothing_says_so(open_page, serve_synthetic):
    """Everything works without a store; a sentence says that a reload loses the list."""
    page = open_page(serve_synthetic())
    page.context.add_init_script("delete Window.prototype.indexedDB; delete window.indexedDB")
    page.reload()
    give(page, ("a.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 1)
    expect(page.locator("#worklist-rows .state")).to_contain_text(" mm")
    page.locator("#keeping summary").click()
    expect(page.locator("#keep-fault")).to_contain_text("a reload loses")


def test_deleting_counts_for_other_tabs(open_page, serve_synthetic):
    """One that is open, too, would write its list again with its next change."""
    url = serve_synthetic()
    page = open_page(url)
    give(page, ("Jane Doe.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 1)
    allow_images(page)
    wait_until_kept(page, 1, 1)
    other = page.context.new_page()
    other.goto(url)
    expect(other.locator("#worklist-rows li")).to_have_count(1)
    page.get_by_role("button", name="Delete everything kept").click()
    page.get_by_role("button", name="Delete everything", exact=True).click()
    expect(page.locator("#worklist-rows li")).to_have_count(0)
    expect(other.locator("#worklist-rows li")).to_have_count(0)
    choose(other, ("later.png", CONTENT))
    wait_for(other, 1)
    wait_until_kept(page, 1, 0)
