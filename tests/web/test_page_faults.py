import hashlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from headcirc.quality import assessment as quality
from headcirc.readers import SUFFIXES
from tests.support.synthetic import draw_head, to_file
from tests.web.steps import answer_busy, ask, give, is_measuring, state_pixel_size, wait_for

CONTENT = to_file(draw_head())
DARK = to_file(draw_head() * 0)
KEY = "a-key"


def test_every_warning_has_a_sentence():
    """A warning without a sentence on the page would be shown as a code."""
    words = Path("service/headcirc_service/web/words.js").read_text()
    codes = {
        value
        for name, value in vars(quality).items()
        if re.fullmatch("[a-z]+(-[a-z]+)+", str(value)) and name.isupper()
    }
    assert {quality.NO_HEAD_FOUND, quality.PIXEL_SIZE_MISSING} <= codes
    assert [code for code in sorted(codes) if f'"{code}":' not in words] == []


def test_chooser_offers_only_what_the_service_reads():
    """The file chooser does not offer formats that the service refuses."""
    page = Path("service/headcirc_service/web/index.html").read_text()
    (accepted,) = re.findall(r'accept="(image.+?)"', page)
    assert {"." + re.split("[./]", each)[-1] for each in accepted.split(",")} <= SUFFIXES


def test_unknown_warning_is_shown_not_hidden(open_page, serve_synthetic):
    """A code of a newer service is shown unchanged."""
    page = open_page(serve_synthetic())

    def add(route):
        body = route.fetch().json()
        body["quality"]["warnings"] = ["moon-too-bright"]
        route.fulfill(status=201, json=body)

    page.route("**/v1/analyses", add)
    give(page, ("head.png", CONTENT))
    expect(page.locator("#warnings")).to_have_text("The service warns: Moon too bright.")


def test_refused_file_is_told_in_the_service_s_words(open_page, serve_synthetic):
    """The detail of the problem is shown and announced; other files are measured."""
    url = serve_synthetic()
    page = open_page(url)
    give(page, ("notes.txt", b"no picture"), ("head.png", CONTENT))
    wait_for(page, 2)
    detail = ask(url, b"no picture")["detail"]
    expect(page.locator("#failure")).to_contain_text(detail)
    expect(page.locator("#figures")).to_be_hidden()
    states = page.locator("#worklist-rows .state").all_inner_texts()
    assert states == ["Not measured", "No pixel size"]


def test_missing_pixel_size_gives_no_millimetres_and_can_be_stated_after(
    open_page, serve_synthetic
):
    """Without a pixel size there is a sentence; with one there is a number in mm."""
    page = open_page(serve_synthetic())
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    assert page.locator("#hc").get_attribute("value") == ""
    assert " mm" not in page.locator("#figures").inner_text().replace("in mm", "")
    expect(page.locator("#warnings")).to_contain_text("pixel size is unknown")
    expect(page.locator("#scale-bar")).to_be_hidden()
    state_pixel_size(page, "0.1")
    page.locator("#pixel-x").press("Enter")
    expect(page.locator("#hc")).to_have_text(re.compile(r"\d+\.\d"))
    expect(page.locator("#warnings")).to_be_hidden()
    expect(page.locator("#scale-bar")).to_be_visible()


@pytest.mark.parametrize("text", ["0", "-1", "3", "0.1 mm", "abc"])
def test_unusable_pixel_size_is_told_before_anything_is_sent(open_page, serve_synthetic, text):
    """The field is marked, a sentence says what is needed, and nothing is sent."""
    page = open_page(serve_synthetic())
    posts = []
    page.on("request", lambda request: posts.append(request) if is_measuring(request) else None)
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    posts.clear()
    state_pixel_size(page, text)
    page.locator("#pixel-x").press("Enter")
    expect(page.locator("#pixel-fault")).to_contain_text("from 0.005 to 2")
    expect(page.locator("#pixel-x")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#pixel-x")).to_be_focused()
    assert posts == []


def test_picture_without_a_head(open_page, serve_synthetic):
    """There is no number and no ellipse, and a sentence says so."""
    page = open_page(serve_synthetic())
    give(page, ("dark.png", DARK), pixel_size_mm="0.1")
    wait_for(page, 1)
    expect(page.locator("#verdict")).to_have_text("No head found")
    assert page.locator("#hc").get_attribute("value") == ""
    expect(page.locator("#draw-ellipse ellipse")).not_to_be_attached()


def test_busy_service_is_asked_again_when_it_says(open_page, serve_synthetic):
    """After 429 the page waits for `Retry-After`; then the image is measured."""
    page = open_page(serve_synthetic())
    refusals = iter([429, 429])

    def refuse(route):
        if next(refusals, None) is None:
            route.continue_()
            return
        answer_busy(route, retry_after_s=1)

    page.route("**/v1/analyses", refuse)
    give(page, ("head.png", CONTENT))
    expect(page.locator("#worklist-rows .state")).to_have_text("Service is busy; waiting")
    wait_for(page, 1)
    expect(page.locator("#worklist-rows .state")).to_have_text("No pixel size")


@pytest.mark.parametrize("answer", [{"body": "<html>Log in"}, {"body": '{"id": "cut of'}])
def test_answer_that_is_none_is_told(open_page, serve_synthetic, answer):
    """An invalid or broken answer of a reverse proxy is reported; the image does not wait."""
    page = open_page(serve_synthetic())
    page.route("**/v1/analyses", lambda route: route.fulfill(status=200, **answer))
    give(page, ("head.png", CONTENT))
    expect(page.locator("#failure")).to_contain_text("before the service's answer came")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_refusal_in_a_reverse_proxy_s_words_is_told(open_page, serve_synthetic):
    """JSON without a detail does not give an empty sentence."""
    page = open_page(serve_synthetic())
    page.route("**/v1/analyses", lambda route: route.fulfill(status=413, json={"message": "big"}))
    give(page, ("head.png", CONTENT))
    expect(page.locator("#failure")).to_have_text(
        "The answer was an error (413) that says no more."
    )


def test_file_that_changed_after_it_was_chosen_is_told(open_page, serve_synthetic, tmp_path):
    """A changed file is not measured under the old name; the page names the cause."""
    page = open_page(serve_synthetic())
    refuse = lambda route: route.abort()  # noqa: E731 - to be taken away by name
    page.route("**/v1/analyses", refuse)
    path = tmp_path / "head.png"
    path.write_bytes(CONTENT)
    page.locator("#files").set_input_files(path)
    wait_for(page, 1)
    page.unroute("**/v1/analyses", refuse)
    path.write_bytes(CONTENT + b"more")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#failure")).to_contain_text("changed or moved after it was chosen")
    expect(page.locator("#again")).to_be_hidden()


def test_picture_that_could_not_be_saved_is_named(open_page, serve_synthetic):
    """The message names the image, because another one may be selected by then."""
    page = open_page(serve_synthetic())
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    page.route("**/overlay", lambda route: route.abort())
    page.get_by_role("button", name="Overlay PNG").click()
    expect(page.locator("#picture-fault")).to_contain_text("head.png was not saved: ")


def test_service_that_is_gone_is_told_in_words(open_page, serve_synthetic):
    """If there is no answer, the page says so."""
    page = open_page(serve_synthetic())
    page.route("**/v1/analyses", lambda route: route.abort())
    give(page, ("head.png", CONTENT))
    expect(page.locator("#failure")).to_contain_text("The connection broke")


def test_result_that_is_not_kept_still_has_its_number(open_page, serve_synthetic):
    """Without stored results the mask is missing and a sentence says so; the rest is shown."""
    page = open_page(serve_synthetic(result_ttl_s=0))
    give(page, ("head.png", CONTENT), pixel_size_mm="0.1")
    wait_for(page, 1)
    expect(page.locator("#picture-fault")).to_contain_text("post the picture again")
    expect(page.locator("#draw-ellipse ellipse")).to_be_attached()
    expect(page.locator("#hc")).to_have_text(re.compile(r"\d+\.\d"))


def test_failed_images_can_be_tried_again(open_page, serve_synthetic):
    """One press measures all failed images again; refused files are left out."""
    page = open_page(serve_synthetic())
    refuse = lambda route: route.abort()  # noqa: E731 - to be taken away by name
    page.route("**/v1/analyses", refuse)
    give(page, ("a.png", CONTENT), ("b.png", CONTENT))
    wait_for(page, 2)
    page.unroute("**/v1/analyses", refuse)
    give(page, ("notes.txt", b"no picture"))
    wait_for(page, 3)
    page.get_by_role("button", name="notes.txt").click()
    expect(page.locator("#again")).to_be_hidden()
    page.get_by_role("button", name="a.png").click()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#worklist-rows .state")).to_have_text(
        ["No pixel size", "No pixel size", "Not measured"]
    )
    expect(page.locator("#result")).to_be_focused()


def test_result_that_has_left_the_store_is_measured_again(open_page, serve_synthetic):
    """After the result expires, drawing and saving still work with the same file."""
    page = open_page(serve_synthetic())
    left = iter([True])

    def forget(route):
        if next(left, None) is None:
            route.continue_()
            return
        route.fulfill(status=404, json={"code": "not-found", "detail": "Gone.", "status": 404})

    page.route("**/mask", forget)
    give(page, ("head.png", CONTENT))
    wait_for(page, 1)
    expect(page.locator("#draw-edge path")).to_be_attached()
    expect(page.locator("#picture-fault")).to_be_hidden()


def test_key_is_asked_for_and_used(open_page, serve_synthetic):
    """A wrong key is reported; with the right key everything works."""
    url = serve_synthetic(api_key_hashes=hashlib.sha256(KEY.encode()).hexdigest())
    page = open_page(url)
    expect(page.locator("#key-form")).to_be_visible()
    give(page, ("head.png", CONTENT))
    expect(page.locator("#failure")).to_contain_text("No API key was sent")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("#service-fault")).to_contain_text("not known here")
    page.get_by_label("API key").fill(KEY)
    page.get_by_label("API key").press("Enter")
    expect(page.locator("#key-form")).to_be_hidden()
    expect(page.locator("#files")).to_be_focused()
    expect(page.locator("#worklist-rows .state")).to_have_text("No pixel size")
    expect(page.locator("#draw-edge path")).to_be_attached()
    assert KEY not in page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie])"
    )


@pytest.mark.parametrize("mark", ["=", "\uff1d", "\uff0b"])
def test_file_name_is_text_and_no_formula(open_page, serve_synthetic, tmp_path, mark):
    """Markup in a name is shown as it stands; a table's cell does not begin a formula."""
    name = f'{mark}1+1<img src=x onerror="alert(1)">.png'
    page = open_page(serve_synthetic())
    give(page, (name, CONTENT))
    wait_for(page, 1)
    expect(page.locator("#result-name")).to_have_text(name)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    download.value.save_as(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().splitlines()[1].startswith(f"\"'{mark}1+1<img")
