"""The chain of compose's profile `clinic`, with Debian's Orthanc and nginx and npm's OHIF."""

import os
import re
import shutil
from contextlib import ExitStack
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import expect, sync_playwright

from harness.service_process import start_service
from headcirc.geometry import PixelSpacing
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.support.dicom_sources import to_region, to_ultrasound
from tests.support.gateway import (
    ADDRESS,
    AE_TITLE,
    run_gateway,
    send,
    to_dicom_destination,
    write_settings,
)
from tests.support.orthanc import AE_TITLE as ARCHIVE
from tests.support.orthanc import run_orthanc
from tests.support.viewer import run_viewer

pytestmark = pytest.mark.slow
PATIENCE_MS = 180_000
START_S = 120.0
FLAGS = [
    "--no-sandbox", "--no-first-run", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking",
]  # fmt: skip
PHANTOM = cv2.imread("examples/phantom.png", cv2.IMREAD_GRAYSCALE)
PIXEL_MM, DRAWN_MM = 0.1277, 184.0
OUTLINE_POINTS = 64
"""The report's outline has 65 points, the last as the first; OHIF draws each."""
SETTLED_MS = 3_000
"""For the screenshot: the viewer's own panels appear after the picture."""


def to_study():
    """Return a drawn phantom as a scanner's picture."""
    return to_ultrasound(
        PHANTOM,
        PatientName="Phantom^Drawn",
        PatientID="PHANTOM-1",
        SequenceOfUltrasoundRegions=[to_region(PHANTOM.shape, PixelSpacing(PIXEL_MM, PIXEL_MM))],
    )


@pytest.fixture
def clinic(tmp_path):
    """Run archive, service, gateway and viewer; yield archive, gateway and the viewer's address."""
    with ExitStack() as stack:
        archive = stack.enter_context(run_orthanc(tmp_path / "orthanc"))
        folder = tmp_path / "viewer"
        folder.mkdir()
        url = stack.enter_context(run_viewer(folder, archive))
        service = stack.enter_context(start_service(SHIPPED_MODEL_DIR, patience_s=START_S))
        gateway = write_settings(
            tmp_path / "gateway",
            to_dicom_destination("archive", archive.dicom_port),
            measuring=f'server = "http://{ADDRESS}:{service.port}"',
        )
        stack.enter_context(run_gateway(gateway))
        yield archive, gateway, url


@pytest.fixture
def page():
    """Return a page of Debian's Chromium, which draws without a graphics card."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed (Debian's package chromium; make system-deps)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        made = browser.new_page(viewport={"width": 1700, "height": 820})
        made.set_default_timeout(PATIENCE_MS)
        yield made
        browser.close()


def test_outline_and_hc_stand_on_the_picture_in_the_viewer(clinic, page):
    """A study that is sent to archive and gateway is opened; the report draws on its picture."""
    archive, gateway, url = clinic
    study = to_study()
    assert send(archive.dicom_port, [study], called=ARCHIVE) == [0]
    assert send(gateway.port, [study], called=AE_TITLE) == [0]
    gateway.wait_for(delivered=1)
    assert archive.count_instances() == 3  # the picture, the report and the captioned picture
    page.goto(f"{url}/viewer?StudyInstanceUIDs={study.StudyInstanceUID}")
    page.get_by_text("Skip all").click()  # of the tour, which begins when the picture is drawn
    page.locator("[data-cy=study-browser-thumbnail-no-image]").dblclick()
    label = page.locator("svg text").filter(has_text="Head Circumference")
    expect(label).to_be_visible(timeout=PATIENCE_MS)
    measured_mm = float(re.match(r"Head Circumference: (\d+\.\d+) mm", label.text_content())[1])
    assert measured_mm == pytest.approx(DRAWN_MM, rel=0.03)
    counts = page.locator("svg polyline").evaluate_all(
        "all => all.map(each => each.getAttribute('points').trim().split(/[ ,]+/).length / 2)"
    )
    assert max(counts) >= OUTLINE_POINTS
    page.wait_for_timeout(SETTLED_MS)
    folder = os.environ.get("PAGE_SCREENSHOT_DIR")  # noqa: TID251 - asked for by make screenshots
    if folder:
        page.screenshot(path=Path(folder) / "viewer.png", timeout=PATIENCE_MS)
