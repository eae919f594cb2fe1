import json
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

import headcirc
from headcirc.model.manifest import MANIFEST_NAME
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.packaging.conftest import to_bare_environment

PHANTOM = Path("examples/phantom.png").absolute()
PIXEL_SIZE_MM, DRAWN_MM, TOLERANCE_MM = "0.1277", 184.0, 3.0
MODEL_LIMIT_BYTES = 20_000_000
WHEEL_LIMIT_BYTES = 20_000_000
PATIENCE_S = 60.0
LOCATE = "import headcirc, headcirc_service as s; print(headcirc.__file__, s.__file__)"
MEASURE = f"""
import headcirc
result = headcirc.load_model().measure({str(PHANTOM)!r}, pixel_size_mm={PIXEL_SIZE_MM})
print(result.head_circumference_mm)
"""


def test_wheel_holds_the_model_that_ships_and_nothing_else_that_is_large(wheel, wheel_names):
    """The manifest, each graph that it names, and both licences; below 20 MB together."""
    manifest = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
    graphs = (*manifest["graphs"].values(), *manifest["explain"]["graphs"].values())
    model = {name for name in wheel_names if name.startswith("headcirc/model/shipped/")}
    named = {MANIFEST_NAME, *(graph["file"] for graph in graphs)}
    assert {Path(name).name for name in model} == named
    assert sum(wheel_names[name] for name in model) < MODEL_LIMIT_BYTES
    assert wheel.stat().st_size < WHEEL_LIMIT_BYTES
    info = f"headcirc-{headcirc.__version__}.dist-info"
    licences = {name for name in wheel_names if "/licenses/" in name}
    assert licences == {f"{info}/licenses/LICENSE", f"{info}/licenses/models/LICENSE"}


def test_wheel_holds_all_of_both_packages(wheel_names):
    """Every module, the page, and the marker of types; no tests, no training."""
    tracked = subprocess.run(
        ["git", "ls-files", "headcirc", "service/headcirc_service"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    kept = {path.removeprefix("service/") for path in tracked if Path(path).exists()}
    assert kept - set(wheel_names) == set()
    tops = {name.split("/")[0] for name in wheel_names}
    assert tops == {
        "headcirc", "headcirc_service", f"headcirc-{headcirc.__version__}.dist-info",
    }  # fmt: skip


def test_installed_packages_are_the_wheels(installed):
    """Nothing below is read from the source tree."""
    for path in installed.run("python", "-c", LOCATE).split():
        assert Path(path).is_relative_to(installed.programs.parent)


def test_check_works_in_an_empty_folder(installed):
    assert "phantom   HC " in installed.run("headcirc", "check")
    assert headcirc.__version__ in installed.run("headcirc", "--version")


def test_analyze_works_in_an_empty_folder(installed):
    options = ("--pixel-size-mm", PIXEL_SIZE_MM, "--json")
    row = json.loads(installed.run("headcirc", "analyze", str(PHANTOM), *options))
    assert row["head_circumference_mm"] == pytest.approx(DRAWN_MM, abs=TOLERANCE_MM)


def test_python_api_works_in_an_empty_folder(installed):
    measured_mm = float(installed.run("python", "-c", MEASURE))
    assert measured_mm == pytest.approx(DRAWN_MM, abs=TOLERANCE_MM)


@pytest.fixture(scope="module")
def server(installed):
    """Serve from the wheel; give the client of a ready service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [installed.programs / "headcirc", "serve", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=installed.folder, env=to_bare_environment(), stderr=subprocess.DEVNULL
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
        try:
            wait_until_ready(client, process)
            yield client
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0


def wait_until_ready(client, process):
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        assert process.poll() is None, "the service ended before it was ready"
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.2)
    raise AssertionError("the service did not become ready")


def test_service_measures_in_an_empty_folder(server):
    answer = server.post(
        "/v1/head-circumference",
        files={"image": PHANTOM.read_bytes()},
        data={"pixel_size_mm": PIXEL_SIZE_MM},
    )
    assert answer.status_code == httpx.codes.OK
    measured_mm = answer.json()["head_circumference_mm"]
    assert measured_mm == pytest.approx(DRAWN_MM, abs=TOLERANCE_MM)


def test_page_is_served_from_the_wheel(server):
    """The page, and each script and style sheet that it names."""
    page = server.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assets = [
        part.split('"')[0] for mark in ('src="', 'href="') for part in page.text.split(mark)[1:]
    ]
    own = [each for each in assets if each and not each.startswith(("http", "#", "data:"))]
    assert own
    for each in own:
        assert server.get(httpx.URL(str(page.url)).join(each)).status_code == httpx.codes.OK, each


def test_nothing_is_written_beside_the_user(installed, server):
    """No command leaves a file in the folder that it is called in."""
    assert list(installed.folder.iterdir()) == []
