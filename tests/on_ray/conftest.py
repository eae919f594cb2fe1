"""Ray for tests: one on this machine, small, on the loopback."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.processes import find_tree
from headcirc.batch.ray_cluster import ALONE, QUIET, open_ray

PHANTOM = Path("examples/phantom.png")
PIXEL_SIZE_MM = "0.1277"
WAIT_S = 120.0
"""For anything that a test waits for."""
LONGEST_S = {False: 240.0, True: 900.0}
"""Time limit of a test or of its fixtures, by whether it is marked slow."""
PATIENT = {
    "RAY_AUTH_TOKEN": "a" * 64,  # or Ray writes one for the user
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",  # other programs may keep the CPUs busy
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
}
for name, value in (PATIENT | QUIET | ALONE).items():  # before a test module imports Ray
    os.environ.setdefault(name, value)  # noqa: TID251 - Ray's, not ours


@contextmanager
def bounded(item: pytest.Item, phase: str) -> Iterator[None]:
    """Let a test fail, not hang: Ray waits without an end, and heeds no exception but Ctrl-C's."""
    longest_s = LONGEST_S[item.get_closest_marker("slow") is not None]
    is_late = False

    def interrupt(*_: object) -> None:
        nonlocal is_late
        is_late = True
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, longest_s, WAIT_S)
    try:
        yield
    except KeyboardInterrupt:
        if not is_late:
            raise
        pytest.fail(f"{phase} of {item.name} did not end within {longest_s:g} s")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Bound what is made ready: Ray itself, services."""
    with bounded(item, "the setup"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Bound the test."""
    with bounded(item, "the test"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Bound the end of Ray and of services."""
    with bounded(item, "the teardown"):
        return (yield)


def find_named(pid: int, title: bytes) -> list[int]:
    """Return those at or below a process that Ray gave a title, as it does its workers."""
    return [each for each in find_tree(pid) if is_named(each, title)]


def is_named(pid: int, title: bytes) -> bool:
    """Return whether a process runs, under a title of Ray's."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title)
    except OSError:
        return False  # it has ended


def wait_for(what: str, look: Callable[[], list[Any]], process: subprocess.Popen[Any]) -> list[Any]:
    """Return what comes to be seen while a process runs."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s and process.poll() is None:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail(f"{what} did not come within {WAIT_S:g} s; the command's status: {process.poll()}")


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
    return [sys.executable, "-m", "headcirc.cli.commands"]
