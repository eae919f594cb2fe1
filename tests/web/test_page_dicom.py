"""DICOM files and folders on the page, with the shipped model."""

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.support.dicom_files import PATIENT_ID, make_dicom, make_dicomdir, make_region
from tests.web.steps import ask, take_phantom, wait_for

EXAMPLE_CM = 0.01277
PHANTOM = cv2.imread("examples/phantom.png", cv2.IMREAD_GRAYSCALE)
ROWS, COLUMNS = PHANTOM.shape


def write_phantom(pixels: np.ndarray = PHANTOM, **changes) -> bytes:
    region = make_region((0, 0, COLUMNS - 1, ROWS - 1), (EXAMPLE_CM, EXAMPLE_CM))
    return make_dicom(pixels, regions=[region], **changes)


CONTENT = write_phantom()


@pytest.fixture
def study(tmp_path):
    """Write a study as on a CD: two pictures that its DICOMDIR lists, and what is no picture."""
    folder = tmp_path / "cd"
    series = folder / "PAT1" / "SE2"
    series.mkdir(parents=True)
    for number in (1, 2):
        (series / f"IM{number:06}").write_bytes(write_phantom(InstanceNumber=number))
    (series / "SR000001").write_bytes(bytes(128) + b"DICM")
    (series / ".hidden").write_bytes(CONTENT)
    (folder / "README.TXT").write_text("no picture")
    names = ("PAT1\\SE2\\IM000001", "PAT1\\SE2\\IM000002")
    (folder / "DICOMDIR").write_bytes(make_dicomdir(*names))
    return folder


def choose_folder(page, folder):
    page.locator("#folder").set_input_files(folder)


def test_folder_with_a_dicomdir_is_measured_without_a_question(open_page, shipped_url, study):
    """The pictures that it lists are measured with the pixel size of their files, and no others."""
    page = open_page(shipped_url)
    choose_folder(page, study)
    wait_for(page, 2)
    names = page.locator("#worklist-rows .file").all_inner_texts()
    assert names == [f"cd/PAT1/SE2/IM00000{number}" for number in (1, 2)]
    expected = ask(shipped_url, CONTENT)["head"]["head_circumference_mm"]
    expect(page.locator("#hc")).to_have_text(f"{expected:.1f}")
    sizes = page.locator("#worklist-rows .size").all_inner_texts()
    assert sizes == ["0.1277 mm, from the DICOM file"] * 2
    expect(page.locator("#batch-form")).to_be_hidden()
    assert PATIENT_ID not in page.content()


def test_missing_picture_of_a_dicomdir_is_reported(open_page, shipped_url, study):
    (study / "PAT1" / "SE2" / "IM000002").unlink()
    page = open_page(shipped_url)
    choose_folder(page, study)
    wait_for(page, 1)
    expect(page.locator("#size-note")).to_have_text(
        "The DICOMDIR lists 1 picture that is not in this folder."
    )


def test_dicomdir_by_itself_asks_for_its_folder(open_page, shipped_url, study):
    page = open_page(shipped_url)
    page.locator("#files").set_input_files(study / "DICOMDIR")
    expect(page.locator("#size-note")).to_have_text(
        "A DICOMDIR only lists pictures: choose the folder that holds it."
    )
    expect(page.locator("#worklist")).to_be_hidden()


def test_of_a_mixed_folder_only_other_images_wait_for_a_pixel_size(
    open_page, shipped_url, tmp_path
):
    """A PNG beside DICOM files waits; the DICOM files do not, and need no suffix."""
    (tmp_path / "1.2.840.10008.7").write_bytes(CONTENT)
    (tmp_path / "b.png").write_bytes(cv2.imencode(".png", PHANTOM)[1].tobytes())
    (tmp_path / "b_overlay.png").write_bytes(b"")
    page = open_page(shipped_url)
    choose_folder(page, tmp_path)
    expect(page.locator("#batch-count")).to_have_text("1 image waits")
    expect(page.locator("#worklist-count")).to_have_text("1 of 2 done")
    page.locator("#batch-none").click()
    wait_for(page, 2)


def test_growth_chart_follows_the_stated_age(open_page, shipped_url):
    """The age gives centile, z-score and the service's chart; taking it away removes them."""
    page = open_page(shipped_url)
    take_phantom(page, "Mid-size head")
    expect(page.locator("#growth-chart")).to_be_hidden()
    page.locator("#age-weeks").fill("20")
    page.locator("#age-days").fill("3")
    page.locator("#age-days").press("Enter")
    expect(page.locator("#growth-chart")).to_be_visible()
    picture = page.locator("#growth-picture")
    expect(picture).to_have_js_property("complete", value=True)
    assert picture.evaluate("image => image.naturalWidth") > 0
    rows = page.locator("#rows")
    expect(rows).to_contain_text("20w3d, as you stated it")
    expect(rows).to_contain_text("HC for this age")
    page.locator("#growth-chart").click()
    expect(page.locator("#growth-large")).to_be_visible()
    page.locator("#growth-close").click()
    page.locator("#age-weeks").fill("")
    page.locator("#age-days").fill("")
    page.locator("#age-one").click()
    wait_for(page, 1)
    expect(page.locator("#growth-chart")).to_be_hidden()
    expect(rows).not_to_contain_text("HC for this age")


def test_age_that_is_none_is_refused_on_the_page(open_page, shipped_url):
    page = open_page(shipped_url)
    take_phantom(page, "Mid-size head")
    page.locator("#age-weeks").fill("20,5")
    page.locator("#age-one").click()
    expect(page.locator("#age-fault")).to_be_visible()


def test_age_out_of_the_standard_is_a_plain_answer(open_page, shipped_url):
    page = open_page(shipped_url)
    take_phantom(page, "Mid-size head")
    page.locator("#age-weeks").fill("12")
    page.locator("#age-one").click()
    expect(page.locator("#rows")).to_contain_text("there is no centile for this age")
