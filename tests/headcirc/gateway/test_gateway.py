"""The gateway as it runs: two processes, a service behind it and an archive after it."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import numpy as np
import pytest

from harness.processes import find_tree, read_memory_mb, reset_peak_memory
from harness.service_process import find_free_port
from tests.support.dicom_sources import to_dicom_file
from tests.support.gateway import (
    ADDRESS,
    AE_TITLE,
    PATIENCE_S,
    SCANNER,
    Gateway,
    run_gateway,
    send,
    to_dicom_destination,
    to_image,
    wait_until,
    write_settings,
)
from tests.support.orthanc import Orthanc, run_orthanc
from tests.support.synthetic_service import serve_synthetic

pytestmark = pytest.mark.slow
REPORTS = '["tid1500", "tid5000", "seg", "capture"]'
REPORTS_PER_IMAGE = 4
SENDERS, IMAGES_PER_SENDER, KILLS = 4, 6, 3
LONG_S = 400.0


@pytest.fixture
def archive(tmp_path):
    with run_orthanc(tmp_path / "orthanc") as running:
        yield running


@pytest.fixture
def make_gateway(tmp_path, archive):
    """Return a function that writes settings for a gateway before the archive."""

    def make(url: str, name: str = "gateway", **sections: str) -> Gateway:
        destination = to_dicom_destination("archive", archive.dicom_port, REPORTS)
        measuring = f'server = "{url}"\n' + sections.pop("measuring", "")
        return write_settings(tmp_path / name, destination, measuring=measuring, **sections)

    return make


def test_image_comes_back_as_reports(make_gateway, archive):
    """Received, acknowledged, measured, delivered; the folder is empty then."""
    with serve_synthetic() as url, run_gateway(make_gateway(url)) as gateway:
        assert send(gateway.port, [to_image(n) for n in (1, 2)]) == [0, 0]
        gateway.wait_for(delivered=2)
        status = gateway.read_status()
        assert status["images"] == {
            "received": 2, "acknowledged": 2, "measured": 2, "delivered": 2, "dead": 0,
        }  # fmt: skip
        assert status["destinations"]["archive"]["delivered"] == 2 * REPORTS_PER_IMAGE
        assert archive.count_instances() == 2 * REPORTS_PER_IMAGE
        queue = gateway.settings_path.parent / "queue"
        assert not [path for path in queue.rglob("*.dcm") if path.is_file()]
        assert len(gateway.ask("status", "--list").splitlines()) >= 8
        metrics = httpx.get(f"http://{ADDRESS}:{gateway.metrics_port}/metrics").text
        assert 'headcirc_gateway_images{state="delivered"} 2.0' in metrics
        assert 'headcirc_gateway_stores_total{outcome="stored"} 2.0' in metrics
        assert "headcirc_gateway_worker_starts_total 1.0" in metrics
        log = gateway.log_path.read_text()
        for secret in ("Doe", "P-1", "1.2.826.0.1.3680043.8.498.1.3.1"):
            assert secret not in log


def test_results_reach_a_dicomweb_archive(tmp_path, archive):
    text = f'[[destination]]\nname = "web"\nurl = "{archive.url}/dicom-web"\n'
    with serve_synthetic() as url:
        gateway = write_settings(tmp_path / "g", text, measuring=f'server = "{url}"')
        with run_gateway(gateway):
            assert send(gateway.port, [to_image(1)]) == [0]
            gateway.wait_for(delivered=1)
    assert archive.count_instances() == 2


def test_gateway_measures_by_itself_without_a_service(tmp_path, archive):
    """The worker loads the model that ships."""
    destination = to_dicom_destination("archive", archive.dicom_port, '["capture"]')
    with run_gateway(write_settings(tmp_path / "g", destination)) as gateway:
        assert send(gateway.port, [to_image(1)]) == [0]
        gateway.wait_for(delivered=1)
    assert archive.count_instances() == 1


def test_image_that_cannot_be_measured_is_a_dead_letter(make_gateway, archive):
    """It does not stop the next one, and an operator can try it again."""
    with serve_synthetic() as url, run_gateway(make_gateway(url)) as gateway:
        damaged = to_image(1)
        damaged.PhotometricInterpretation = "XYZ"
        assert send(gateway.port, [damaged, to_image(2)]) == [0, 0]
        gateway.wait_for(delivered=1, dead=1)
        assert "unsupported-media-type" in gateway.ask("status", "--list")
        dead = gateway.settings_path.parent / "queue" / "dead"
        assert {path.suffix for path in dead.iterdir()} == {".dcm", ".json"}
        assert gateway.ask("retry").startswith("1 are tried again")
        gateway.wait_for(delivered=1, dead=1)


def test_two_gateways_do_not_share_a_folder(make_gateway):
    gateway = make_gateway("http://127.0.0.1:9")
    with run_gateway(gateway):
        command = [sys.executable, "-m", "headcirc.cli", "gateway", "--settings"]
        done = subprocess.run(
            [*command, str(gateway.settings_path)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert "Another gateway uses the queue's folder" in done.stderr


# --- killed under load ---------------------------------------------------------------------------


@contextmanager
def run_killable_service(port: int) -> Iterator[Callable[[], None]]:
    """Run the service in a process of its own; give a function that kills and restarts it."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-m", "tests.support.synthetic_service", str(port)]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

        def answers() -> bool:
            try:
                return httpx.get(f"http://{ADDRESS}:{port}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, "the service never answered")

    def restart() -> None:
        running[-1].kill()
        running[-1].wait()
        start()

    start()
    try:
        yield restart
    finally:
        running[-1].kill()
        running[-1].wait()


def restart_gateway(gateway: Gateway) -> None:
    gateway.kill()
    gateway.start()


def restart_worker(gateway: Gateway) -> None:
    """Kill the process that measures and delivers; the gateway starts it again."""
    children = [pid for pid in find_tree(gateway.process.pid) if pid != gateway.process.pid]
    for pid in children:
        subprocess.run(["kill", "-9", str(pid)], check=False)


def restart_archive(archive: Orthanc) -> None:
    archive.kill()
    archive.start()


def send_until_acknowledged(port: int, number: int, progress: threading.Semaphore) -> str:
    """Send one image as a scanner does: again and again until it is acknowledged."""
    image = to_image(number)
    until_s = time.monotonic() + LONG_S
    while send(port, [image]) != [0]:
        assert time.monotonic() < until_s, "an image was never taken"
        time.sleep(0.2)
    progress.release()
    return str(image.SOPInstanceUID)


@pytest.mark.parametrize("victim", ["gateway", "worker", "service", "archive"])
def test_kill_under_load_loses_nothing_and_delivers_nothing_twice(make_gateway, archive, victim):
    """Whatever is killed with -9: every acknowledged image has its reports, each once."""
    port = find_free_port()
    with ExitStack() as stack:
        restart_service = stack.enter_context(run_killable_service(port))
        gateway = make_gateway(f"http://{ADDRESS}:{port}")
        stack.enter_context(run_gateway(gateway))
        kill = {
            "gateway": lambda: restart_gateway(gateway),
            "worker": lambda: restart_worker(gateway),
            "service": restart_service,
            "archive": lambda: restart_archive(archive),
        }[victim]
        progress = threading.Semaphore(0)
        total = SENDERS * IMAGES_PER_SENDER
        with ThreadPoolExecutor(SENDERS) as executor:
            sending = [
                executor.submit(send_until_acknowledged, gateway.port, number, progress)
                for number in range(1, total + 1)
            ]
            if victim == "gateway":  # first while it receives
                for _ in range(SENDERS):
                    assert progress.acquire(timeout=LONG_S)
                kill()
            for number in range(KILLS):  # then while it measures and delivers
                gateway.wait_for(LONG_S, delivered=1 + number * total // (KILLS + 1))
                kill()
            acknowledged = {each.result() for each in sending}
        assert len(acknowledged) == total
        status = gateway.wait_for(LONG_S, delivered=total)
        assert status["images"]["dead"] == 0
        instances = [each["SOPInstanceUID"] for each in archive.list_instances()]
        assert len(instances) == len(set(instances)) == total * REPORTS_PER_IMAGE


# --- memory and disk -----------------------------------------------------------------------------

SEND_SCRIPT = """
import sys
from pathlib import Path
from pynetdicom import AE, _config
_config.STORE_SEND_CHUNKED_DATASET = True
entity = AE(ae_title=sys.argv[2])
entity.add_requested_context("1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.1.2.1")
association = entity.associate("127.0.0.1", int(sys.argv[3]), ae_title=sys.argv[4])
print(association.send_c_store(Path(sys.argv[1])).Status)
association.release()
"""
CINE_FRAMES, CINE_SIDE = 205, 1000


def test_cine_of_200_mb_takes_less_than_150_mb(make_gateway, archive, tmp_path):
    """The listener and the worker each have less than that in all; a service measures."""
    path = tmp_path / "cine.dcm"
    source = to_image(2, np.zeros((CINE_FRAMES, CINE_SIDE, CINE_SIDE), np.uint8))
    path.write_bytes(to_dicom_file(source))
    assert path.stat().st_size > 200_000_000
    with serve_synthetic() as url, run_gateway(make_gateway(url)) as gateway:
        assert send(gateway.port, [to_image(1)]) == [0]  # everything is imported after it
        gateway.wait_for(delivered=1)
        listener, worker = find_tree(gateway.process.pid)
        idle_mb = {pid: read_memory_mb(pid) for pid in (listener, worker)}
        for pid in (listener, worker):
            reset_peak_memory(pid)
        arguments = [str(path), SCANNER, str(gateway.port), AE_TITLE]
        done = subprocess.run(
            [sys.executable, "-c", SEND_SCRIPT, *arguments], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert done.stdout.strip() == "0"
        gateway.wait_for(delivered=2)
        peaks_mb = {pid: read_memory_mb(pid, "VmHWM") for pid in (listener, worker)}
    print(f"idle {idle_mb}, peak {peaks_mb}")  # noqa: T201 - shown with `pytest -s`
    assert max(peaks_mb.values()) < 150


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a file system of 8 MB; skip if it cannot be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here; it needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_refuses_and_loses_nothing(make_gateway, archive, small_disk):
    """Images that fit are acknowledged and delivered later; the others are refused."""
    with serve_synthetic() as url:
        gateway = make_gateway(url)
        text = gateway.settings_path.read_text()
        gateway.settings_path.write_text(re.sub(r'folder = ".*"', f'folder = "{small_disk}"', text))
        with run_gateway(gateway):
            accepted = [
                number for number in range(1, 31) if send(gateway.port, [to_image(number)]) == [0]
            ]
            assert 0 < len(accepted) < 30
            subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
            refused = set(range(1, 31)) - set(accepted)
            for number in refused:
                wait_until(
                    lambda number=number: send(gateway.port, [to_image(number)]) == [0],
                    "it is still refused",
                )
            status = gateway.wait_for(LONG_S, delivered=30)
            assert status["images"]["dead"] == 0
    assert archive.count_instances() == 30 * REPORTS_PER_IMAGE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_both_processes(make_gateway, number):
    """Also a signal at the first moment, and several at once."""
    gateway = make_gateway("http://127.0.0.1:9")
    gateway.start()
    processes = find_tree(gateway.process.pid)
    for _ in range(5):
        gateway.process.send_signal(number)
    assert gateway.process.wait(PATIENCE_S) == 0
    for pid in processes:
        wait_until(lambda pid=pid: not is_running(pid), "the worker outlives the gateway")


def is_running(pid: int) -> bool:
    return (
        subprocess.run(["kill", "-0", str(pid)], capture_output=True, check=False).returncode == 0
    )
