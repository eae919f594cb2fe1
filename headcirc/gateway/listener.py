"""Receive images by C-STORE: on the disk first, acknowledged then.

pynetdicom writes each image to a file while it arrives, so memory does not grow with its size. That
is a setting of the whole process, which is one reason why the gateway is one of its own.
"""

import logging
import re
import sqlite3
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pynetdicom import AE, _config, evt
from pynetdicom.dimse_messages import C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    Verification,
)

from headcirc.gateway.queue import INCOMING, Queue, QueueFullError
from headcirc.gateway.settings import ANY, Listener, Tls

logger = logging.getLogger("headcirc.gateway")
STORED, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
IMAGE_CLASSES = (
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
TRANSFER_SYNTAXES = [
    "1.2.840.10008.1.2.1",  # explicit, little-endian
    "1.2.840.10008.1.2",  # implicit
    "1.2.840.10008.1.2.2",  # explicit, big-endian
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
]
SOP_INSTANCE_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")
NETWORK_TIMEOUT_S, NEGOTIATION_TIMEOUT_S = 60.0, 30.0
LARGEST_PDU_BYTES = 131_072


class ImageListener:
    """Accepts associations and puts what arrives into the queue.

    Parameters
    ----------
    settings : Listener
    queue : Queue
    on_image : callable
        Called after an image was taken.
    on_store : callable
        Called with the outcome of every C-STORE: `stored`, `repeated`, `disk-full`, `disk-error`,
        `queue-full`, `invalid`; and with `association-rejected`.
    """

    def __init__(
        self,
        settings: Listener,
        queue: Queue,
        *,
        on_image: Callable[[], None],
        on_store: Callable[[str], None],
    ) -> None:
        self._settings, self._queue = settings, queue
        self._on_image, self._on_store = on_image, on_store
        self._answering = threading.local()
        self._server: Any = None

    def start(self) -> None:
        """Listen, in threads of the library.

        Raises
        ------
        OSError
            Nothing can listen there.
        """
        # What the library logs may quote names; what matters is logged here.
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        _config.STORE_RECV_CHUNKED_DATASET = True
        # Where the library writes; on the queue's disk, so that a file can be moved in one step.
        tempfile.tempdir = str(self._queue.folder / INCOMING)
        entity = AE(ae_title=self._settings.ae_title)
        for each in IMAGE_CLASSES:
            entity.add_supported_context(each, TRANSFER_SYNTAXES)
        entity.add_supported_context(Verification)
        entity.require_called_aet = True
        if ANY not in self._settings.calling_ae_titles:
            entity.require_calling_aet = list(self._settings.calling_ae_titles)
        entity.maximum_associations = self._settings.most_associations
        entity.maximum_pdu_size = LARGEST_PDU_BYTES
        entity.network_timeout = NETWORK_TIMEOUT_S
        entity.acse_timeout = NEGOTIATION_TIMEOUT_S
        entity.dimse_timeout = NETWORK_TIMEOUT_S
        self._server = entity.start_server(
            (self._settings.host, self._settings.port),
            block=False,
            ssl_context=to_server_context(self._settings.tls),
            evt_handlers=[
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_DIMSE_SENT, self._note_answer),
                (evt.EVT_REJECTED, self._note_rejection),
            ],
        )

    def stop(self) -> None:
        """Take no further associations, and abort those that run; their senders try again."""
        if self._server is not None:
            self._server.shutdown()
            for association in self._server.ae.active_associations:
                association.abort()

    def _store(self, event: Event) -> int:
        """Take one image; return the status for its sender."""
        self._answering.image_id = None
        arrived = Path(event.dataset_path)
        try:
            outcome, status = self._take(event, arrived)
        except QueueFullError as refusal:
            outcome, status = str(refusal), OUT_OF_RESOURCES
        except (OSError, sqlite3.Error) as error:
            logger.error("an image cannot be kept: %s", getattr(error, "strerror", None) or error)
            outcome, status = "disk-error", OUT_OF_RESOURCES
        if status != STORED:
            arrived.unlink(missing_ok=True)
        self._on_store(outcome)
        return status

    def _take(self, event: Event, arrived: Path) -> tuple[str, int]:
        uid = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
        if not SOP_INSTANCE_UID.fullmatch(uid):
            return "invalid", CANNOT_UNDERSTAND
        image_id = self._queue.take_in(uid, event.assoc.requestor.ae_title.strip(), arrived)
        if image_id is None:
            return "repeated", STORED
        self._answering.image_id = image_id
        self._on_image()
        return "stored", STORED

    def _note_answer(self, event: Event) -> None:
        """Note that the sender was told; the library calls this in the thread of `_store`."""
        image_id = getattr(self._answering, "image_id", None)
        if image_id is not None and isinstance(event.message, C_STORE_RSP):
            self._answering.image_id = None
            self._queue.acknowledge(image_id)

    def _note_rejection(self, event: Event) -> None:
        self._on_store("association-rejected")
        logger.warning("an association was rejected: its AE titles are not allowed, or too many")


def to_server_context(tls: Tls | None) -> ssl.SSLContext | None:
    """Return a TLS context that asks every sender for a certificate; None without TLS.

    Raises
    ------
    OSError
        A file is missing or no certificate or key (`ssl.SSLError`).
    """
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def to_client_context(tls: Tls | None) -> ssl.SSLContext | None:
    """Return a TLS context that shows our certificate; None without TLS.

    Raises
    ------
    OSError
    """
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(tls.authority)
    context.load_cert_chain(tls.certificate, tls.key)
    return context
