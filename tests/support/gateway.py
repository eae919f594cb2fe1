"""Start and stop a real gateway, send images to it, and read its state."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from harness.service_process import find_free_port
from headcirc.gateway.queue import Queue
from headcirc.gateway.settings import load_settings
from headcirc.gateway.status import to_facts
from tests.support.dicom_sources import to_ultrasound

ADDRESS = "127.0.0.1"
AE_TITLE, SCANNER = "HEADCIRC", "SCANNER"
PATIENCE_S = 120.0


@dataclass
class Gateway:
    """A gateway in a process of its own.

    Attributes
    ----------
    settings_path : Path
    port : int
    metrics_port : int
    """

    settings_path: Path
    port: int
    metrics_port: int
    process: subprocess.Popen[bytes] | None = None
    queue: Queue | None = None

    @property
    def log_path(self) -> Path:
        """Return where its output goes."""
        return self.settings_path.with_suffix(".log")

    def start(self) -> None:
        """Start it and wait until it answers a C-ECHO."""
        command = [sys.executable, "-m", "headcirc.cli", "gateway", "--settings"]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.settings_path)], stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self._listens, "the gateway never listened")

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log_path.read_text()
        try:
            socket.create_connection((ADDRESS, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill it, as a crash would; the worker ends by itself."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)

    def ask(self, action: str, *options: str) -> str:
        """Return what `headcirc gateway ACTION` prints."""
        command = [sys.executable, "-m", "headcirc.cli", "gateway", action, *options]
        return subprocess.run(
            [*command, "--settings", str(self.settings_path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def read_status(self) -> dict[str, Any]:
        """Return its status as an object, as the command prints it."""
        return json.loads(self.ask("status", "--json"))

    def look(self) -> dict[str, Any]:
        """Return its status, read from the queue in this process, which is quick."""
        if self.queue is None:
            settings = load_settings(self.settings_path)
            self.queue = Queue(settings.queue, settings.retries)
        return to_facts(self.queue)

    def wait_for(self, patience_s: float = PATIENCE_S, **images: int) -> dict[str, Any]:
        """Wait until at least so many images are in these states, and return the status."""
        found: dict[str, Any] = {}

        def is_reached() -> bool:
            found.update(self.look())
            return all(found["images"][state] >= number for state, number in images.items())

        wait_until(is_reached, f"{images} were not reached", patience_s)
        return found


def wait_until(is_reached: Any, message: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something, with a pause between looks."""
    until_s = time.monotonic() + patience_s
    while not is_reached():
        assert time.monotonic() < until_s, message
        time.sleep(0.1)


def write_settings(folder: Path, text: str = "", **sections: str) -> Gateway:
    """Write a settings file with free ports; sections are TOML, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    port, metrics_port = find_free_port(), find_free_port()
    parts = {
        "listener": f'port = {port}\ncalling_ae_titles = ["{SCANNER}"]',
        "queue": f'folder = "{folder / "queue"}"\nleast_free_bytes = 0',
        "retries": "first_s = 0.2\nlongest_s = 1.0",
        "metrics": f"port = {metrics_port}",
    }
    for name, more in sections.items():
        parts[name] = f"{parts.get(name, '')}\n{more}"
    body = "\n\n".join(f"[{name}]\n{part}" for name, part in parts.items())
    path = folder / "gateway.toml"
    path.write_text(f"{body}\n\n{text}\n")
    return Gateway(path, port, metrics_port)


def to_dicom_destination(name: str, port: int, reports: str = '["tid1500", "capture"]') -> str:
    """Return the section of a C-STORE receiver."""
    return (
        f'[[destination]]\nname = "{name}"\nhost = "{ADDRESS}"\nport = {port}\n'
        f'ae_title = "ARCHIVE"\nreports = {reports}\n'
    )


@contextmanager
def run_gateway(gateway: Gateway) -> Iterator[Gateway]:
    """Run a gateway until the block ends."""
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()
        if gateway.queue is not None:
            gateway.queue.close()


def to_image(number: int, pixels: Any = None) -> Dataset:
    """Return an ultrasound image with an identifier of its own."""
    image = to_ultrasound(pixels, SOPInstanceUID=f"1.2.826.0.1.3680043.8.498.1.3.{number}")
    image.InstanceNumber = number
    return image


def send(
    port: int, images: list[Dataset], *, calling: str = SCANNER, called: str = AE_TITLE, tls=None
) -> list[int | None]:
    """Send images in one association; return each status, None where no answer came.

    An empty list says that the association was not accepted.
    """
    entity = AE(ae_title=calling)
    for each in {image.SOPClassUID for image in images}:
        entity.add_requested_context(each, ExplicitVRLittleEndian)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.connection_timeout = 10
    association = entity.associate(ADDRESS, port, ae_title=called, tls_args=tls)
    if not association.is_established:
        return []
    statuses: list[int | None] = []
    for image in images:
        image.file_meta = _to_meta(image)
        try:
            answer = association.send_c_store(image)
        except RuntimeError:  # the association has ended
            break
        statuses.append(int(answer.Status) if "Status" in answer else None)
    if association.is_established:
        association.release()
    return statuses


def _to_meta(image: Dataset) -> Any:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return meta
