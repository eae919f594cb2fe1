import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import numpy as np
import pytest

from harness.service_process import RunningService, find_free_port, start_service
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.service.http.test_problems import CONTENT
from tests.service.http.test_wire import to_status
from tests.support.dicom_files import make_dicom
from tests.support.raw_http import BOUNDARY, to_form

pytestmark = pytest.mark.slow
FOLDER = Path("deploy/reverse_proxy")
ADDRESS = "127.0.0.1"
PATIENCE_S = 20.0
FORM = to_form(CONTENT)
HEADERS = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
UPLOAD = (
    f"POST /v1/analyses HTTP/1.1\r\nHost: {ADDRESS}\r\nContent-Length: {len(FORM)}\r\n"
    f"Content-Type: {HEADERS['content-type']}\r\nConnection: close\r\n\r\n"
).encode()
SLOW = 8
TOO_LARGE_BYTES = 55_000_000
FRAMES = 113
"""A cine of so many frames of 540 x 800 pixels has 49 MB."""
UNTRUSTED = ssl.create_default_context()
UNTRUSTED.check_hostname, UNTRUSTED.verify_mode = False, ssl.CERT_NONE


@dataclass(frozen=True)
class ReverseProxy:
    """A reverse proxy that answers, and the service behind it."""

    name: str
    port: int
    folder: Path
    service: RunningService

    @property
    def has_tls(self) -> bool:
        return self.name != "caddy"  # which would ask for a certificate

    def connect(self) -> socket.socket:
        plain = socket.create_connection((ADDRESS, self.port), PATIENCE_S)
        return UNTRUSTED.wrap_socket(plain) if self.has_tls else plain

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = (
            HTTPSConnection(ADDRESS, self.port, timeout=PATIENCE_S, context=UNTRUSTED)
            if self.has_tls
            else HTTPConnection(ADDRESS, self.port, timeout=PATIENCE_S)
        )
        connection.request(method, path, body, HEADERS if body else {})
        answer = connection.getresponse()
        told = answer.status, answer.read()
        connection.close()
        return told

    def count_uploads_in_service(self) -> float:
        connection = HTTPConnection(ADDRESS, self.service.port, timeout=PATIENCE_S)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return float(re.search(r"^headcirc_queue_depth (\S+)", text, re.MULTILINE)[1])


def make_certificate(folder: Path) -> None:
    """Write a certificate and its key, each alone and together."""
    names = ["-keyout", "headcirc.key", "-out", "headcirc.crt"]
    ask = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=headcirc"]
    subprocess.run([*ask, *names], cwd=folder, check=True, capture_output=True)
    both = [(folder / name).read_text() for name in ("headcirc.crt", "headcirc.key")]
    (folder / "headcirc.pem").write_text("".join(both))


def to_command(name: str, folder: Path, port: int, service_port: int) -> list[str]:
    """Write the file that ships into a folder, with nothing changed but ports and places."""
    file_name = {"nginx": "nginx.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg"}[name]
    text = (FOLDER / file_name).read_text().replace("127.0.0.1:8000", f"{ADDRESS}:{service_port}")
    if name == "nginx":
        places = "".join(
            f"    {each}_temp_path {folder}/{each};\n"
            for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = text.replace("listen 443", f"listen {ADDRESS}:{port}")
        text = text.replace("http {\n", "http {\n" + places, 1)
        for old in ("/etc/nginx", "/run", "/var/log/nginx"):
            text = text.replace(f" {old}/", f" {folder}/")
        if os.getuid() != 0:
            text = text.replace("user www-data;\n", "")
        command = ["nginx", "-e", "stderr", "-g", "daemon off;", "-c"]
    elif name == "caddy":
        text = text.replace("headcirc.example {", f"http://{ADDRESS}:{port} {{")
        command = ["caddy", "run", "--adapter", "caddyfile", "--config"]
    else:
        text = text.replace("bind :443", f"bind {ADDRESS}:{port}").replace(
            "/etc/haproxy", str(folder)
        )
        command = ["haproxy", "-db", "-f"]
    (folder / file_name).write_text(text)
    return [*command, str(folder / file_name)]


@contextmanager
def run_proxy(name: str, folder: Path) -> Iterator[ReverseProxy]:
    """Run the service and the reverse proxy in front of it."""
    port = find_free_port()
    make_certificate(folder)
    # nginx' workers are another user.
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    with (
        start_service(SHIPPED_MODEL_DIR, trusted_gateways=ADDRESS) as service,
        (folder / "log").open("wb") as log,
    ):
        command = to_command(name, folder, port, service.port)
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}  # noqa: TID251 - a child's
        popen = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        proxy = ReverseProxy(name, port, folder, service)
        try:
            wait_until_ready(proxy, popen)
            yield proxy
        finally:
            popen.terminate()
            popen.wait()


def wait_until_ready(proxy: ReverseProxy, popen: subprocess.Popen) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s and popen.poll() is None:
        try:
            if proxy.ask("GET", "/readyz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{proxy.name} did not start: {(proxy.folder / 'log').read_text()[-2000:]}")


@pytest.fixture(scope="module", params=["nginx", "caddy", "haproxy"])
def proxy(request, tmp_path_factory):
    for each in (request.param, "openssl"):
        if shutil.which(each) is None:
            pytest.skip(f"{each} is missing; install Debian's package: make system-deps")
    with run_proxy(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


def test_picture_is_measured_through_the_reverse_proxy(proxy):
    """Posting, reading the result and its overlay work; metrics are not public."""
    status, body = proxy.ask("POST", "/v1/analyses", FORM)
    assert status in (200, 201)
    overlay = re.search(rb'"overlay": ?"([^"]+)"', body)[1].decode()
    status, picture = proxy.ask("GET", overlay)
    assert (status, picture[:4]) == (200, b"\x89PNG")
    assert proxy.ask("GET", "/metrics")[0] == 404


def test_reverse_proxy_accepts_bodies_up_to_the_services_limit(proxy):
    """Up to its limit the service answers; far above it, the reverse proxy does."""
    largest = FORM + bytes(10_000_000 - len(FORM))
    assert proxy.ask("POST", "/v1/analyses", largest)[0] in (200, 201)
    with proxy.connect() as connection:
        length = f"Length: {TOO_LARGE_BYTES}".encode()
        connection.sendall(UPLOAD.replace(f"Length: {len(FORM)}".encode(), length))
        with suppress(OSError):  # refused while it is sent
            connection.sendall(FORM + bytes(TOO_LARGE_BYTES - len(FORM)))
        assert to_status(connection.recv(4096)) == 413


def test_reverse_proxy_accepts_dicom_files_up_to_the_services_limit(proxy):
    """A file of 49 MB is measured; another picture of that size is refused by the service."""
    cine = make_dicom([np.zeros((540, 800), np.uint8)] * FRAMES)
    assert 48_000_000 < len(cine) < 50_000_000
    status, body = proxy.ask("POST", "/v1/analyses", to_form(cine, frame="0"))
    assert status in (200, 201), body
    status, body = proxy.ask("POST", "/v1/analyses", FORM + bytes(20_000_000))
    assert (status, b"image-too-large" in body) == (413, True)


def test_reverse_proxy_refuses_connect(proxy):
    """CONNECT is refused, and the next client is served."""
    body = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"CONNECT {ADDRESS}:1 HTTP/1.1\r\nHost: {ADDRESS}:1\r\nContent-Length: {len(body)}\r\n"
    with proxy.connect() as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        assert to_status(connection.recv(4096)) in (400, 405)
    status, body = proxy.ask("GET", "/livez")
    assert (status, b"alive" in body) == (200, True)


def test_slow_uploads_wait_in_the_reverse_proxy(proxy):
    """The service receives complete bodies; HAProxy passes on parts of a body."""
    with ExitStack() as stack:
        slow = [stack.enter_context(proxy.connect()) for _ in range(SLOW)]
        for each in slow:
            each.sendall(UPLOAD + FORM[: len(FORM) // 2])
        time.sleep(0.5)
        seen = proxy.count_uploads_in_service()
        assert seen == (SLOW if proxy.name == "haproxy" else 0)
        assert proxy.ask("POST", "/v1/analyses", FORM)[0] in (200, 201)
        slow[0].sendall(FORM[len(FORM) // 2 :])
        assert to_status(slow[0].recv(4096)) in (200, 201)


def test_reverse_proxy_writes_no_picture_to_disk(proxy):
    """Neither a request body nor a response is written to a file."""
    proxy.ask("POST", "/v1/analyses", FORM + bytes(9_000_000))
    for each in ("client_body", "proxy"):
        assert not [path for path in proxy.folder.glob(f"{each}/**/*") if path.is_file()]
    assert "temporary file" not in "".join(path.read_text() for path in proxy.folder.glob("*log"))
