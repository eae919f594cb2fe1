"""Start and stop a real archive: Orthanc from Debian's package."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.service_process import find_free_port

ADDRESS = "127.0.0.1"
PATIENCE_S = 20.0
AE_TITLE = "ARCHIVE"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass
class Orthanc:
    """An archive on free ports that keeps its data in a folder."""

    folder: Path
    command: str
    http_port: int
    dicom_port: int
    settings: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the base URL of its own REST interface."""
        return f"http://{ADDRESS}:{self.http_port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(self.settings))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.command, str(path)], stdout=log, stderr=subprocess.STDOUT
            )
        until_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self.process.poll() is None, "Orthanc ended at once"
            assert time.monotonic() < until_s, "Orthanc never answered"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/system").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def list_instances(self) -> list[dict[str, str]]:
        """Return the main tags of every instance that it keeps."""
        found = httpx.get(f"{self.url}/instances", params={"expand": "true"}).json()
        return [each["MainDicomTags"] for each in found]

    def count_instances(self) -> int:
        """Return how many instances it keeps."""
        statistics = httpx.get(f"{self.url}/statistics").json()
        return int(statistics["CountInstances"])


@contextmanager
def run_orthanc(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    """Run an archive that a test may kill and start again."""
    command = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")
    if command is None:
        pytest.skip("Orthanc is missing; install Debian's package orthanc: make system-deps")
    folder.mkdir(exist_ok=True)
    http_port, dicom_port = find_free_port(), find_free_port()
    archive = Orthanc(
        folder,
        command,
        http_port,
        dicom_port,
        {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": http_port,
            "DicomPort": dicom_port,
            "DicomAet": AE_TITLE,
            "DicomAlwaysAllowStore": True,
            "AuthenticationEnabled": False,
            "RemoteAccessAllowed": False,
            "OverwriteInstances": False,
            "Plugins": [str(PLUGIN)] if PLUGIN.exists() else [],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        | settings,
    )
    archive.start()
    try:
        yield archive
    finally:
        archive.kill()
