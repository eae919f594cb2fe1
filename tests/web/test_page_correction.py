"""A person's ellipse on the page: shaped by mouse, finger and keys, saved, never lost unseen."""

import csv
import io
import json
import re

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.support.synthetic import HEAD, draw_head, to_file
from tests.web.steps import give, read_rows, state_pixel_size, wait_for
from tests.web.test_page_access import LOOKS, SIZES, find_severe
from tests.web.test_page_calibration import to_screen

CONTENT = to_file(draw_head())
X, Y = HEAD.center_x_px, HEAD.center_y_px
PHONE = {"viewport": SIZES["narrow"], "has_touch": True, "is_mobile": True}


def measure(page, name="head.png", content=CONTENT, pixel_size_mm="0.1"):
    give(page, (name, content), pixel_size_mm=pixel_size_mm)
    wait_for(page, page.locator("#worklist-rows button").count())


def begin(page, **measured):
    """Measure a picture and open the editor on it."""
    measure(page, **measured)
    open_editor(page)


def open_editor(page):
    page.locator("#correct-open").click()
    expect(page.locator("#correct-form")).to_be_visible()
    expect(page.locator("#stage")).to_be_focused()


def read(page, name: str) -> float:
    """Return one of the live figures."""
    return float(page.locator(f"#correct-{name}").inner_text().split()[0])


def read_number(page, name: str) -> float:
    return float(page.locator(f"#correct-{name}").input_value())


def press(page, *keys: str) -> None:
    for key in keys:
        page.locator("#stage").press(key)


def drag(page, start, end) -> None:
    page.mouse.move(*to_screen(page, *start))
    page.mouse.down()
    page.mouse.move(*to_screen(page, *end), steps=4)
    page.mouse.up()


def find_knob(page, number: int) -> tuple[float, float]:
    """Return the middle of a handle, in the frame: a+, a-, b+, b-, and the one that turns."""
    box = page.locator("#draw-tool .knob").nth(number).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    point = page.evaluate(
        "([x, y]) => { const p = new DOMPoint(x, y).matrixTransform("
        "document.getElementById('canvas').getScreenCTM().inverse()); return [p.x, p.y]; }",
        [x, y],
    )
    return point[0], point[1]


def save(page, by="RT", note="") -> None:
    page.locator("#correct-by").fill(by)
    page.locator("#correct-note").fill(note)
    page.locator("#correct-save").click()
    expect(page.locator("#correct-form")).to_be_hidden()


def read_service(page, url) -> tuple[dict, str]:
    """Return the result as the service has it, and its version."""
    page.locator("#origin summary").click()
    answer = httpx.get(f"{url}/v1/analyses/{page.locator('#origin-rows .id').inner_text()}")
    page.locator("#origin summary").click()
    return answer.json(), answer.headers["etag"]


def correct_elsewhere(url, body, etag, by="Other") -> None:
    """Correct a result as another person does."""
    ellipse = body["head"]["ellipse"] | {"angle_deg": 90.0}
    answer = httpx.put(
        f"{url}{body['links']['correction']}",
        json={"ellipse": ellipse, "by": by},
        headers={"if-match": etag},
    )
    assert answer.status_code == 200, answer.text


# --- shaping ---------------------------------------------------------------------------------


def test_figures_follow_the_mouse(open_page, serve_synthetic):
    """Inside moves and changes no length; a square stretches; the round handle turns."""
    page = open_page(serve_synthetic())
    begin(page)
    hc, x = read(page, "hc"), read_number(page, "x")
    assert hc == pytest.approx(float(page.locator("#hc").inner_text()), abs=0.06)
    drag(page, (X, Y), (X + 40, Y - 20))
    assert read_number(page, "x") == pytest.approx(x + 40, abs=2)
    assert read(page, "hc") == hc
    ofd = read(page, "ofd")
    before = find_knob(page, 0)
    center = read_number(page, "x"), read_number(page, "y")
    out = [c + (k - c) * 1.2 for c, k in zip(center, before, strict=True)]
    drag(page, before, out)
    assert read(page, "ofd") == pytest.approx(1.1 * ofd, rel=0.02)
    assert read(page, "hc") > hc
    page.locator("details", has_text="Keys and numbers").locator("summary").click()
    degrees = read_number(page, "deg")
    center = read_number(page, "x"), read_number(page, "y")
    drag(page, find_knob(page, 4), (center[0] + 5, center[1] + 200))
    assert read_number(page, "deg") != pytest.approx(degrees, abs=5)
    assert read_number(page, "deg") == pytest.approx(88.6, abs=3)


def test_keys_alone_move_turn_stretch_and_undo(open_page, serve_synthetic):
    page = open_page(serve_synthetic())
    measure(page)
    page.locator("#correct-open").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_be_focused()
    x, degrees = read_number(page, "x"), read_number(page, "deg")
    a, b = read_number(page, "a"), read_number(page, "b")
    press(page, "ArrowRight", "Shift+ArrowRight", "Alt+ArrowRight")
    assert read_number(page, "x") == pytest.approx(x + 11.1, abs=0.06)
    press(page, "Control+ArrowRight", "Control+ArrowRight", "Control+ArrowLeft")
    assert read_number(page, "deg") == pytest.approx(degrees + 1, abs=0.06)
    press(page, *["Control+ArrowUp"] * 4, *["Control+Shift+ArrowDown"] * 2)
    assert read_number(page, "a") == pytest.approx(a + 2, abs=0.06)
    assert read_number(page, "b") == pytest.approx(b - 1, abs=0.06)
    expect(page.locator("#correct-status")).to_contain_text("HC ")
    press(page, *["Control+z"] * 12)
    assert read_number(page, "x") == x
    expect(page.locator("#correct-undo")).to_be_disabled()
    press(page, "Control+Shift+z", "Control+y")
    assert read_number(page, "x") == pytest.approx(x + 11, abs=0.06)
    press(page, "Escape")
    expect(page.locator("#correct-form")).to_be_hidden()
    expect(page.locator("#correct-open")).to_be_focused()
    assert page.locator("#draw-tool *").count() == 0


def test_fingers_drag_on_a_phone(open_page, serve_synthetic):
    """A touch that moves drags the ellipse and does not scroll the page."""
    page = open_page(serve_synthetic(), **PHONE)
    begin(page)
    page.locator("#stage").scroll_into_view_if_needed()
    x, top = read_number(page, "x"), page.evaluate("scrollY")
    start, end = to_screen(page, X, Y), to_screen(page, X + 100, Y)
    session = page.context.new_cdp_session(page)
    touch = "Input.dispatchTouchEvent"
    points = [{"x": start[0], "y": start[1]}]
    session.send(touch, {"type": "touchStart", "touchPoints": points})
    for share in (0.3, 0.7, 1.0):
        points = [{"x": start[0] + share * (end[0] - start[0]), "y": start[1]}]
        session.send(touch, {"type": "touchMove", "touchPoints": points})
    session.send(touch, {"type": "touchEnd", "touchPoints": []})
    assert read_number(page, "x") == pytest.approx(x + 100, abs=5)
    assert page.evaluate("scrollY") == top


def test_numbers_can_be_typed(open_page, serve_synthetic):
    """For whoever sees no picture: each number has a name and is one step that can be undone."""
    page = open_page(serve_synthetic())
    begin(page)
    page.locator("details", has_text="Keys and numbers").locator("summary").click()
    x = read_number(page, "x")
    page.get_by_label("Half axis A").fill("250,5")
    page.get_by_label("Half axis A").press("Tab")
    assert read_number(page, "a") == 250.5
    page.get_by_label("Centre x").fill("much")
    page.get_by_label("Centre x").press("Tab")
    assert read_number(page, "x") == x
    page.locator("#correct-undo").click()
    assert read_number(page, "a") == pytest.approx(HEAD.semi_axis_major_px, abs=1)


def test_automatic_ellipse_is_one_step_away(open_page, serve_synthetic):
    page = open_page(serve_synthetic())
    begin(page)
    expect(page.locator("#correct-automatic")).to_be_disabled()
    expect(page.locator("#correct-save")).to_have_text("Keep the automatic one")
    press(page, "ArrowRight", "Control+ArrowUp")
    expect(page.locator("#correct-save")).to_have_text("Save correction")
    expect(page.locator("#correct-difference")).to_contain_text("from the automatic one")
    page.locator("#correct-automatic").click()
    expect(page.locator("#correct-save")).to_have_text("Keep the automatic one")
    page.locator("#correct-undo").click()
    expect(page.locator("#correct-save")).to_have_text("Save correction")


# --- saving ----------------------------------------------------------------------------------


def test_correction_counts_and_the_automatic_one_stands_beside_it(open_page, serve_synthetic):
    """On the page, at the service, and in everything that is saved."""
    url = serve_synthetic()
    page = open_page(url)
    begin(page)
    automatic = page.locator("#hc").inner_text()
    press(page, *["Control+ArrowUp"] * 20)
    hc, bpd = page.locator("#correct-hc").inner_text(), page.locator("#correct-bpd").inner_text()
    save(page, note="<img src=x onerror=alert(1)>")
    expect(page.locator("#hc")).to_have_text(hc.split()[0])
    expect(page.locator("#hc-label")).to_contain_text("corrected")
    expect(page.locator("#verdict")).to_have_text("Corrected by a person")
    expect(page.locator("#automatic")).to_have_text(f"Automatic: {automatic} mm")
    expect(page.locator("#corrected-by")).to_contain_text("“<img src=x onerror=alert(1)>”")
    expect(page.locator("#worklist-rows .state")).to_have_text(f"{hc}, corrected")
    expect(page.locator("#caption-headline")).to_have_text(f"HC {hc}, corrected by a person.")
    expect(page.locator("#draw-ellipse .corrected")).to_be_attached()
    expect(page.locator("#draw-ellipse .replaced")).to_be_attached()
    assert read_rows(page)["Biparietal diameter (BPD)"] == bpd
    body, _ = read_service(page, url)
    correction = body["correction"]
    assert f"{correction['head']['head_circumference_mm']:.1f} mm" == hc
    assert correction["by"] == "RT"
    with page.expect_download() as download:
        page.locator("#save-csv").click()
    (row,) = csv.DictReader(io.StringIO(download.value.path().read_text()))
    assert row["head_circumference_mm"] == str(body["head"]["head_circumference_mm"])
    drawn_mm = correction["head"]["head_circumference_mm"]
    assert row["corrected_head_circumference_mm"] == str(drawn_mm)
    assert (row["method"], row["corrected_by"]) == ("corrected", "RT")
    with page.expect_download() as download:
        page.locator("[data-save=json]").click()
    assert json.loads(download.value.path().read_text())["correction"] == correction


def test_correction_can_be_changed_and_taken_back(open_page, serve_synthetic):
    url = serve_synthetic()
    page = open_page(url)
    begin(page)
    automatic = page.locator("#hc").inner_text()
    press(page, *["Control+ArrowUp"] * 20)
    save(page, note="first")
    expect(page.locator("#correct-open")).to_have_text("Change the correction")
    open_editor(page)
    expect(page.locator("#correct-note")).to_have_value("first")
    press(page, "Control+ArrowUp")
    save(page, note="second")
    assert read_service(page, url)[0]["correction"]["note"] == "second"
    open_editor(page)
    page.locator("#correct-automatic").click()
    page.locator("#correct-save").click()
    expect(page.locator("#correct-form")).to_be_hidden()
    expect(page.locator("#hc")).to_have_text(automatic)
    expect(page.locator("#automatic")).to_be_hidden()
    assert read_service(page, url)[0]["method"] == "automatic"


def test_name_is_asked_for(open_page, serve_synthetic):
    page = open_page(serve_synthetic())
    begin(page)
    press(page, "ArrowRight")
    page.locator("#correct-save").click()
    expect(page.locator("#correct-fault")).to_contain_text("State who corrects")
    expect(page.locator("#correct-by")).to_be_focused()


def test_refusal_of_the_service_is_shown_and_keeps_the_work(open_page, serve_synthetic):
    page = open_page(serve_synthetic())
    begin(page)
    press(page, "ArrowRight")
    page.locator("#correct-by").fill("Doe^Jane")
    page.locator("#correct-save").click()
    expect(page.locator("#correct-fault")).to_contain_text("Not saved: by has")
    expect(page.locator("#correct-form")).to_be_visible()


@pytest.mark.parametrize("answer", ["theirs", "mine"])
def test_second_person_is_told_and_decides(open_page, serve_synthetic, answer):
    """Somebody else corrected it while this person did: nothing is overwritten unseen."""
    url = serve_synthetic()
    page = open_page(url)
    begin(page)
    press(page, *["Control+ArrowUp"] * 20)
    body, etag = read_service(page, url)
    correct_elsewhere(url, body, etag)
    page.locator("#correct-by").fill("RT")
    page.locator("#correct-save").click()
    expect(page.locator("#correct-conflict-text")).to_contain_text(
        re.compile("Yours is not saved. Somebody else has corrected this image: Other")
    )
    assert read_service(page, url)[0]["correction"]["by"] == "Other"
    page.locator(f"#correct-{answer}").click()
    if answer == "theirs":
        assert read_number(page, "deg") == 90.0
        page.locator("#correct-undo").click()
        assert read_number(page, "deg") != 90.0
        page.locator("#correct-close").click()
        expect(page.locator("#corrected-by")).to_contain_text("Other")
    else:
        expect(page.locator("#correct-form")).to_be_hidden()
        assert read_service(page, url)[0]["correction"]["by"] == "RT"


def test_what_is_not_saved_stays_with_its_image(open_page, serve_synthetic):
    """Another image in between loses nothing; its row and its number are its own."""
    page = open_page(serve_synthetic())
    measure(page, "other.png")
    begin(page)
    press(page, *["Control+ArrowUp"] * 20)
    hc = page.locator("#correct-hc").inner_text()
    page.get_by_role("button", name="other.png").click()
    expect(page.locator("#correct-form")).to_be_hidden()
    expect(page.locator("#result-name")).to_have_text("other.png")
    page.get_by_role("button", name="head.png").click()
    expect(page.locator("#draw-ellipse ellipse")).to_be_attached()
    open_editor(page)
    expect(page.locator("#correct-hc")).to_have_text(hc)
    page.locator("#correct-undo").click()
    expect(page.locator("#correct-hc")).not_to_have_text(hc)


def test_expired_result_is_measured_again_and_corrected(open_page, serve_synthetic):
    """The service forgot it before and while it was corrected; the person loses nothing."""
    page = open_page(serve_synthetic(result_ttl_s=2))
    begin(page)
    press(page, *["Control+ArrowUp"] * 20)
    page.wait_for_timeout(2_500)
    save(page)
    expect(page.locator("#hc-label")).to_contain_text("corrected")
    hc = page.locator("#hc").inner_text()
    page.wait_for_timeout(2_500)
    open_editor(page)
    expect(page.locator("#correct-hc")).to_have_text(f"{hc} mm")
    page.locator("#correct-close").click()
    expect(page.locator("#hc-label")).to_contain_text("corrected")
    page.wait_for_timeout(2_500)
    with page.expect_download() as download:
        page.locator("[data-save=overlay]").click()
    overlay = np.asarray(Image.open(download.value.path()))
    assert (overlay == (124, 240, 110)).all(axis=2).any(), "the ellipse that was drawn"


def test_drawn_ellipse_is_offered_again_for_another_pixel_size(open_page, serve_synthetic):
    """Another question has no correction; what was drawn on the same picture is not lost."""
    page = open_page(serve_synthetic())
    begin(page)
    press(page, *["Control+ArrowUp"] * 20)
    a = read_number(page, "a")
    save(page, note="caput")
    state_pixel_size(page, "0.2")
    page.locator("#pixel-x").press("Enter")
    wait_for(page, 1)
    expect(page.locator("#rows")).to_contain_text("0.2 mm, stated")
    expect(page.locator("#hc-label")).not_to_contain_text("corrected")
    expect(page.locator("#corrected-by")).to_contain_text("corrected before it was measured again")
    open_editor(page)
    assert read_number(page, "a") == pytest.approx(a, abs=0.1)
    expect(page.locator("#correct-note")).to_have_value("caput")
    save(page, note="caput")
    expect(page.locator("#hc-label")).to_contain_text("corrected")


def test_page_says_until_when_a_result_is_kept(open_page, serve_synthetic):
    page = open_page(serve_synthetic())
    measure(page)
    expect(page.locator("#kept")).to_have_text(
        re.compile(r"^The service keeps this result until .+\. Save it to keep it longer\.$")
    )


def test_missed_head_can_be_drawn(open_page, serve_synthetic):
    page = open_page(serve_synthetic())
    measure(page, "dark.png", to_file(draw_head() * 0))
    expect(page.locator("#verdict")).to_have_text("No head found")
    expect(page.locator("#correct-open")).to_have_text("Draw the ellipse")
    open_editor(page)
    expect(page.locator("#correct-automatic")).to_be_disabled()
    save(page)
    expect(page.locator("#hc")).to_have_text(re.compile(r"^\d+\.\d$"))
    expect(page.locator("#automatic")).to_have_text("Automatic: no head found")
    expect(page.locator("#draw-ellipse .corrected")).to_be_attached()


# --- for everybody ---------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_axe_finds_no_severe_fault_while_correcting(open_page, serve_synthetic, scheme, size):
    """In the editor, with a conflict, and with a corrected result."""
    url = serve_synthetic()
    page = open_page(url, color_scheme=scheme, viewport=SIZES[size])
    begin(page)
    press(page, *["Control+ArrowUp"] * 20)
    page.locator("details", has_text="Keys and numbers").locator("summary").click()
    assert find_severe(page) == []
    correct_elsewhere(url, *read_service(page, url))
    page.locator("#correct-by").fill("RT")
    page.locator("#correct-save").click()
    expect(page.locator("#correct-conflict")).to_be_visible()
    assert find_severe(page) == []
    for selector in ("html", "#correct-form"):
        widths = page.locator(selector).evaluate("each => [each.scrollWidth, each.clientWidth]")
        assert widths[0] <= widths[1]
    page.locator("#correct-mine").click()
    expect(page.locator("#corrected-by")).to_be_visible()
    assert find_severe(page) == []
