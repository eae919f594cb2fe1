import json
import ssl
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from harness.service_process import find_free_port
from headcirc.gateway.delivery import open_sender
from headcirc.gateway.queue import Delivery
from headcirc.gateway.settings import Destination
from headcirc.reports.dicom.report_file import to_report_file
from tests.support.certificates import make_authority, make_certificate
from tests.support.dicom_sources import to_finding
from tests.support.gateway import ADDRESS
from tests.support.orthanc import run_orthanc

OURS = "HEADCIRC"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the path of a structured report."""
    path = tmp_path_factory.mktemp("report") / "report.dcm"
    finding, _ = to_finding()
    path.write_bytes(to_report_file("tid1500", finding, mask=None, draw_overlay=lambda: None))
    return path


def to_deliveries(path, number=1):
    return [Delivery(each, 1, path, 0) for each in range(number)]


@contextmanager
def receive(answer=0, contexts=(ComprehensiveSRStorage,), tls=None, calling=()):
    """Run a C-STORE receiver that answers with a status; give its port and what came."""
    came = []

    def store(event):
        came.append(event.request.AffectedSOPInstanceUID)
        if answer == "abort":
            event.assoc.abort()
        return 0 if answer == "abort" else answer

    entity = AE(ae_title="ARCHIVE")
    for each in contexts:
        entity.add_supported_context(each)
    entity.require_calling_aet = list(calling)
    port = find_free_port()
    server = entity.start_server(
        (ADDRESS, port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)], ssl_context=tls
    )
    try:
        yield port, came
    finally:
        server.shutdown()


def send(port, deliveries, **more):
    place = Destination(name="a", host=ADDRESS, port=port, ae_title="ARCHIVE", **more)
    return [failure for _, failure in open_sender(place, OURS).send(deliveries)]


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007, 0x0111])
def test_stored_report_is_delivered(report, status):
    """Also with a warning, and where the archive has it already."""
    with receive(status) as (port, came):
        assert send(port, to_deliveries(report)) == [""]
    assert len(came) == 1


@pytest.mark.parametrize(
    ("status", "failure"),
    [(0xA700, "status-a700"), (0xC001, "status-c001"), (0x0110, "status-0110")],
)
def test_refused_report_is_not_delivered(report, status, failure):
    with receive(status) as (port, _):
        assert send(port, to_deliveries(report)) == [failure]


def test_reports_share_an_association(report):
    with receive() as (port, came):
        assert send(port, to_deliveries(report, 3)) == ["", "", ""]
    assert len(came) == 3


def test_receiver_that_takes_no_reports_is_named(report):
    with receive(contexts=(SecondaryCaptureImageStorage,)) as (port, _):
        assert send(port, to_deliveries(report)) == ["not-accepted"]


def test_receiver_that_does_not_know_us_is_named(report):
    with receive(calling=("OTHER",)) as (port, _):
        assert send(port, to_deliveries(report)) == ["rejected"]


def test_receiver_that_is_down_postpones_all(report):
    assert send(find_free_port(), to_deliveries(report, 3)) == ["unreachable"] * 3


@pytest.mark.slow  # waits half a minute for an answer
def test_lost_association_delivers_nothing(report):
    """What was tried failed; what was not tried is not reported, so it stays due."""
    with receive("abort") as (port, _):
        failures = send(port, to_deliveries(report, 3))
    assert failures
    assert set(failures) <= {"no-answer", "connection-lost"}


def test_tls_with_certificates_on_both_sides(report, tmp_path):
    authority = make_authority(tmp_path)
    theirs, ours = (make_certificate(authority, name) for name in ("archive", "gateway"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with receive(tls=context) as (port, came):
        assert send(port, to_deliveries(report), tls=ours) == [""]
        assert send(port, to_deliveries(report)) == ["unreachable"]
    assert len(came) == 1


# --- STOW-RS -------------------------------------------------------------------------------------


@contextmanager
def answer_stow(status, body=None):
    """Run a STOW-RS address that answers so; give its address and the requests."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["content-length"])
            came.append((self.path, self.headers["content-type"], self.rfile.read(length)))
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/dicom+json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer((ADDRESS, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{ADDRESS}:{server.server_port}/dicom-web/", came
    finally:
        server.shutdown()
        server.server_close()


def post(url, deliveries):
    with closing(open_sender(Destination(name="w", url=url), OURS)) as sender:
        return [failure for _, failure in sender.send(deliveries)]


def to_failed(reason):
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}}]}}


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (200, {}, ""),
        (202, {}, ""),
        (202, to_failed(0xA700), "status-a700"),
        (409, to_failed(0x0111), ""),
        (409, to_failed(0xC000), "status-c000"),
        (409, {}, "http-409"),
        (409, ["strange"], "http-409"),
        (401, {}, "http-401"),
        (503, None, "http-503"),
    ],
)
def test_answer_to_stow_is_understood(report, status, body, failure):
    with answer_stow(status, body) as (url, came):
        assert post(url, to_deliveries(report)) == [failure]
    ((path, kind, content),) = came
    assert path == "/dicom-web/studies"
    assert kind.startswith('multipart/related; type="application/dicom"; boundary=')
    assert report.read_bytes() in content


def test_address_that_does_not_answer_postpones_all(report):
    url = f"http://{ADDRESS}:{find_free_port()}"
    assert post(url, to_deliveries(report, 3)) == ["unreachable"] * 3


def test_archive_takes_it_both_ways(report, tmp_path):
    """Orthanc keeps one instance, whichever way and however often it comes."""
    with run_orthanc(tmp_path / "orthanc") as archive:
        web = f"{archive.url}/dicom-web"
        if httpx.get(f"{web}/studies").status_code == 404:
            pytest.skip("Orthanc's DICOMweb is missing; install orthanc-dicomweb")
        assert post(web, to_deliveries(report, 2)) == ["", ""]
        assert send(archive.dicom_port, to_deliveries(report, 2)) == ["", ""]
        assert archive.count_instances() == 1
