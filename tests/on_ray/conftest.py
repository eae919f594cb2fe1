"""Ray for tests: one on this machine, small, on the loopback, for all tests of a session."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from headcirc.ray_start import open_ray

PHANTOM = Path("examples/phantom.png")
PIXEL_SIZE_MM = "0.1277"


@pytest.fixture(scope="session", autouse=True)
def need_ray():
    """Skip where Ray is absent."""
    pytest.importorskip("ray", reason="the package 'ray' is missing (the extra 'ray')")


@pytest.fixture(scope="session")
def local_ray(need_ray, tmp_path_factory):
    """Run a Ray of two CPUs as long as the session lasts; its token is not the user's."""
    os.environ.setdefault("RAY_AUTH_TOKEN", "a" * 64)  # noqa: TID251 - Ray's, not ours
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
