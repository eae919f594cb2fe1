"""Serve OHIF, as it ships in npm, in front of an archive, with the files of `deploy/clinic`."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from harness.service_process import find_free_port
from tests.support.orthanc import Orthanc

CLINIC = Path("deploy/clinic")
OHIF = Path("build/ohif/package/dist")
"""Where `make viewer` puts the package."""
PATIENCE_S = 30.0
PLACES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def run_viewer(folder: Path, archive: Orthanc) -> Iterator[str]:
    """Run nginx with the viewer's files before an archive; yield the address."""
    if not OHIF.exists():
        pytest.skip("OHIF is missing: make viewer")
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("nginx is missing; install Debian's package: make system-deps")
    port = find_free_port()
    html = folder / "html"
    shutil.copytree(OHIF, html, copy_function=os.link if same_disk(folder) else shutil.copy)
    (html / "app-config.js").unlink()
    shutil.copy(CLINIC / "viewer.js", html / "app-config.js")
    server = (
        (CLINIC / "viewer.conf")
        .read_text()
        .replace("listen 8080", f"listen 127.0.0.1:{port}")
        .replace("/usr/share/nginx/html", str(html))
        .replace("http://orthanc:8042", archive.url)
    )
    temporary = "".join(f"{each}_temp_path {folder}/{each};\n" for each in PLACES)
    user = "user root;\n" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}pid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n"
        f"include /etc/nginx/mime.types;\naccess_log off;\n{temporary}{server}}}\n"
    )
    command = [nginx, "-e", "stderr", "-g", "daemon off;", "-c", str(folder / "nginx.conf")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait()


def same_disk(folder: Path) -> bool:
    """Return whether files can be linked into a folder in place of copied."""
    return OHIF.stat().st_dev == folder.stat().st_dev


def wait_until_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until the viewer and the archive behind it answer."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s and process.poll() is None:
        try:
            if httpx.get(f"{url}/dicom-web/studies").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the viewer did not start: {log.read_text()[-2000:]}")
