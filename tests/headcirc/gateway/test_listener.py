import os
import tempfile
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pynetdicom import AE, _config
from pynetdicom.sop_class import ComprehensiveSRStorage, Verification

from harness.service_process import find_free_port
from headcirc.gateway.listener import OUT_OF_RESOURCES, ImageListener
from headcirc.gateway.queue import IMAGES, INCOMING, Queue
from headcirc.gateway.settings import Listener, QueueLimits, Retries
from tests.support.certificates import make_authority, make_certificate, to_context
from tests.support.gateway import ADDRESS, AE_TITLE, SCANNER, send, to_image, wait_until


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a listener in this process."""
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    listeners = []

    def start(tls=None, calling=(SCANNER,), most_associations=8, **limits):
        limits = QueueLimits(folder=tmp_path / "queue", **{"least_free_bytes": 0} | limits)
        queue = Queue(limits, Retries())
        settings = Listener(
            calling_ae_titles=calling,
            port=find_free_port(),
            tls=tls,
            most_associations=most_associations,
        )
        outcomes, woken = [], []
        listener = ImageListener(
            settings, queue, on_image=lambda: woken.append(1), on_store=outcomes.append
        )
        listener.start()
        listeners.append(listener)
        return settings.port, queue, outcomes, woken

    yield start
    for each in listeners:
        each.stop()


def list_files(queue, folder):
    return sorted(path.name for path in (queue.folder / folder).iterdir())


def test_image_is_kept_and_acknowledged(start):
    """The file is a complete DICOM file, and both states are recorded."""
    port, queue, outcomes, woken = start()
    image = to_image(1)
    assert send(port, [image]) == [0]
    assert (outcomes, woken) == (["stored"], [1])
    wait_until(lambda: queue.count().acknowledged == 1, "it was never acknowledged")
    path = queue.next_image().path
    read = pydicom.dcmread(path)
    assert read.SOPInstanceUID == image.SOPInstanceUID
    assert read.PixelData == image.PixelData
    assert list_files(queue, INCOMING) == []
    assert queue.list_images(1)[0]["calling_ae"] == SCANNER


def test_repeat_is_acknowledged_and_not_kept_twice(start):
    port, queue, outcomes, _ = start()
    assert send(port, [to_image(1), to_image(1)]) == [0, 0]
    assert outcomes == ["stored", "repeated"]
    assert queue.count().images == {"waiting": 1}
    assert list_files(queue, INCOMING) == []


def test_cine_is_taken(start):
    port, queue, _, _ = start()
    assert send(port, [to_image(1, np.zeros((9, 60, 80), np.uint8))]) == [0]
    assert queue.count().images == {"waiting": 1}


@pytest.mark.parametrize(
    ("calling", "called"), [("STRANGER", AE_TITLE), (SCANNER, "OTHER"), ("scanner", AE_TITLE)]
)
def test_wrong_ae_title_is_rejected(start, calling, called):
    port, queue, outcomes, _ = start()
    assert send(port, [to_image(1)], calling=calling, called=called) == []
    assert outcomes == ["association-rejected"]
    assert queue.count().images == {}


def test_any_ae_title_is_taken_where_the_list_says_so(start):
    port, _, _, _ = start(calling=("*",))
    assert send(port, [to_image(1)], calling="ANYBODY") == [0]


def test_echo_is_answered(start):
    """Scanners test a connection so."""
    port, _, _, _ = start()
    entity = AE(ae_title=SCANNER)
    entity.add_requested_context(Verification)
    association = entity.associate(ADDRESS, port, ae_title=AE_TITLE)
    assert association.send_c_echo().Status == 0
    association.release()


def test_other_objects_are_not_taken(start):
    """A scanner's own report is not measured, and not acknowledged either."""
    port, _, _, _ = start()
    entity = AE(ae_title=SCANNER)
    entity.add_requested_context(ComprehensiveSRStorage)
    association = entity.associate(ADDRESS, port, ae_title=AE_TITLE)
    assert not association.accepted_contexts
    association.abort()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"most_images": 1}, "queue-full"), ({"least_free_bytes": 10**18}, "disk-full")],
)
def test_full_queue_refuses_and_keeps_nothing_more(start, limits, reason):
    """The sender is told that resources are lacking, and tries later."""
    port, queue, outcomes, _ = start(**limits)
    statuses = send(port, [to_image(1), to_image(2)])
    assert statuses[-1] == OUT_OF_RESOURCES
    assert outcomes[-1] == reason
    kept = statuses.count(0)
    assert len(list_files(queue, IMAGES)) == kept
    assert list_files(queue, INCOMING) == []


def test_image_that_cannot_be_written_is_not_acknowledged(start, monkeypatch):
    port, _, outcomes, _ = start()

    def fail(*_):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as broken:
        broken.setattr("headcirc.gateway.queue.write_through", fail)
        assert send(port, [to_image(1)]) == [OUT_OF_RESOURCES]
    assert outcomes == ["disk-error"]
    assert send(port, [to_image(1)]) == [0]


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.x", "1.2/3"])
def test_identifier_that_is_no_uid_is_refused(start, uid, monkeypatch):
    """It would name a file. pynetdicom refuses some by itself; none is stored."""
    port, queue, _, _ = start()
    image = to_image(1)
    image["SOPInstanceUID"].validation_mode = pydicom.config.IGNORE
    image["SOPInstanceUID"].value = uid
    monkeypatch.setattr(_config, "ENFORCE_UID_CONFORMANCE", False)
    try:
        statuses = send(port, [image])
    except ValueError:
        statuses = []
    assert 0 not in statuses
    assert queue.count().images == {}
    assert list_files(queue, IMAGES) == []


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server_tls(authority):
    return make_certificate(authority, "gateway")


def test_sender_with_a_certificate_is_taken(start, authority, server_tls):
    port, _, _, _ = start(tls=server_tls)
    own = make_certificate(authority, "scanner")
    context = to_context(authority, own)
    assert send(port, [to_image(1)], tls=(context, ADDRESS)) == [0]


@pytest.mark.parametrize("kind", ["no certificate", "another authority", "no TLS"])
def test_sender_without_our_certificate_is_not_taken(start, authority, server_tls, tmp_path, kind):
    port, queue, _, _ = start(tls=server_tls)
    tls = None
    if kind == "no certificate":
        tls = to_context(authority, None), ADDRESS
    elif kind == "another authority":
        foreign = make_authority(tmp_path / "foreign", "foreign")
        tls = to_context(authority, make_certificate(foreign, "intruder")), ADDRESS
    assert send(port, [to_image(1)], tls=tls) == []
    assert queue.count().images == {}


def test_refused_sender_does_not_stop_the_listener(start, authority, server_tls):
    port, _, _, _ = start(tls=server_tls)
    assert send(port, [to_image(1)]) == []
    context = to_context(authority, make_certificate(authority, "scanner2"))
    assert send(port, [to_image(1)], tls=(context, ADDRESS)) == [0]


def test_missing_certificate_stops_the_start(start, server_tls, tmp_path):
    with pytest.raises(OSError):
        start(tls=replace(server_tls, key=tmp_path / "absent.key"))
