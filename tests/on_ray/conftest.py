"""Ray for tests: one on this machine, small, on the loopback."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from headcirc.ray_start import ALONE, QUIET, open_ray

PHANTOM = Path("examples/phantom.png")
PIXEL_SIZE_MM = "0.1277"
PATIENT = {
    "RAY_AUTH_TOKEN": "a" * 64,  # or Ray writes one for the user
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",  # other programs may keep the CPUs busy
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
}
for name, value in (PATIENT | QUIET | ALONE).items():  # before a test module imports Ray
    os.environ.setdefault(name, value)  # noqa: TID251 - Ray's, not ours


@pytest.fixture(scope="session", autouse=True)
def need_ray():
    """Skip where Ray is absent."""
    pytest.importorskip("ray", reason="the package 'ray' is missing (the extra 'ray')")


@pytest.fixture(scope="module")
def local_ray(need_ray):
    """Run a Ray while a module's tests last."""
    with open_ray(None):
        yield


@pytest.fixture
def images(tmp_path):
    """Five phantoms, and a file that is no picture."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(5):
        shutil.copy(PHANTOM, folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def command():
    """Return the start of a command line that runs ours in a process of its own."""
    return [sys.executable, "-m", "headcirc.cli"]
