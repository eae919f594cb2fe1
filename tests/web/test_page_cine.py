import re
import time

import pytest
from playwright.sync_api import expect

from tests.support.cines import COLUMNS, MM_PER_PX, ROWS, draw_empty, draw_frames, write_video
from tests.support.dicom_files import make_dicom, make_region
from tests.support.synthetic import to_synthetic_pipeline
from tests.web.steps import wait_for

FRAMES = [draw_empty(), *draw_frames(7)]


@pytest.fixture(scope="module")
def dicom():
    delta = (MM_PER_PX / 10, MM_PER_PX / 10)
    regions = [make_region((0, 0, COLUMNS - 1, ROWS - 1), delta)]
    return make_dicom(FRAMES, regions=regions, FrameTime=40)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "cine.mp4"
    return write_video(path, FRAMES).read_bytes()


def choose_cine(page, name, content, *, size=None):
    """Open the panel and choose a file, with a stated pixel size or without."""
    if not page.locator("#cine").evaluate("each => each.open"):
        page.get_by_text("Cine or video", exact=True).click()
    if size is not None:
        page.locator("#cine-size").fill(size)
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.locator("#cine-file").set_input_files(file)


def test_a_cine_is_a_plot_and_a_click_shows_the_frame(open_page, synthetic_url, dicom):
    """The track, the summary, and the frame that was pressed, measured as a picture."""
    page = open_page(synthetic_url)
    choose_cine(page, "sweep.dcm", dicom)
    expect(page.locator("#cine-headline")).to_have_text(re.compile(r"^HC \d+\.\d mm"))
    expect(page.locator("#cine-details")).to_have_text(
        re.compile("^7 of 7 acceptable frames agree")
    )
    expect(page.locator("#cine-plot circle.agrees")).to_have_count(7)
    expect(page.locator("#cine-count")).to_have_text("8 frames measured")
    point = page.locator("#cine-plot circle.agrees").nth(4)
    point.click()
    wait_for(page, 1)
    expect(page.locator("#result-name")).to_have_text("sweep.dcm, frame 5")
    said = page.locator("#cine-at").inner_text()
    assert said.startswith("Frame 5: ")
    assert page.locator("#hc").inner_text() in said
    point.click()  # the same frame is shown again, not measured again
    expect(page.locator("#worklist-rows button")).to_have_count(1)


def test_frames_are_reached_by_the_keyboard(open_page, synthetic_url, dicom):
    """The plot is a slider: its value is the frame, in words."""
    page = open_page(synthetic_url)
    choose_cine(page, "sweep.dcm", dicom)
    expect(page.locator("#cine-best")).to_be_visible()
    plot = page.get_by_role("slider", name="Frame of the cine")
    plot.focus()
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuetext", "Frame 0: no head")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuenow", "2")
    page.keyboard.press("Enter")
    wait_for(page, 1)
    expect(page.locator("#result-name")).to_have_text("sweep.dcm, frame 2")


def test_a_video_uses_the_stated_pixel_size_also_for_its_frames(open_page, synthetic_url, video):
    page = open_page(synthetic_url)
    choose_cine(page, "cine.mp4", video, size="0,5")
    expect(page.locator("#cine-headline")).to_have_text(re.compile(r"^HC \d+\.\d mm"))
    page.locator("#cine-best").click()
    wait_for(page, 1)
    expect(page.locator("#hc-unit")).to_be_visible()
    assert page.locator("#pixel-x").input_value() == "0.5"


def test_a_video_without_a_pixel_size_has_a_track_in_pixels(open_page, synthetic_url, video):
    """Also one that is chosen among the images."""
    page = open_page(synthetic_url)
    file = {"name": "cine.mp4", "mimeType": "video/mp4", "buffer": video}
    page.locator("#files").set_input_files(file)
    expect(page.locator("#cine-headline")).to_contain_text("No pixel size is known")
    expect(page.locator("#cine-plot circle.acceptable")).to_have_count(7)
    expect(page.locator("#cine-plot text").last).to_have_text("px")


def test_a_file_that_cannot_be_measured_is_said(open_page, synthetic_url, dicom):
    """And the next one is measured."""
    page = open_page(synthetic_url)
    choose_cine(page, "notes.mp4", b"no video")
    expect(page.locator("#cine-fault")).to_contain_text("The content is no image format")
    choose_cine(page, "sweep.dcm", dicom, size="none")
    expect(page.locator("#cine-fault")).to_contain_text("no number of millimetres")
    choose_cine(page, "sweep.dcm", dicom, size="")
    expect(page.locator("#cine-headline")).to_be_visible()
    expect(page.locator("#cine-fault")).to_be_hidden()


def test_a_cine_can_be_stopped(open_page, serve_synthetic):
    """The request ends, so that the service stops too."""
    pipeline = to_synthetic_pipeline()
    infer = pipeline.backend.infer

    def dawdle(network_input):
        time.sleep(0.2)
        return infer(network_input)

    pipeline.backend.infer = dawdle
    page = open_page(serve_synthetic(pipeline))
    choose_cine(page, "long.dcm", make_dicom(draw_frames(200), FrameTime=40))
    page.locator("#cine-stop").click()
    expect(page.locator("#cine-fault")).to_contain_text("Stopped")
    expect(page.locator("#cine-stop")).to_be_hidden()
    expect(page.locator("#cine-headline")).to_be_hidden()
