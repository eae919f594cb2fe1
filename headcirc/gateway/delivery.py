"""Deliver a report to one destination, by C-STORE or by STOW-RS."""

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

import httpx
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComprehensiveSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from headcirc.gateway.listener import to_client_context
from headcirc.gateway.queue import Delivery
from headcirc.gateway.settings import Destination

logger = logging.getLogger("headcirc.gateway")
REPORT_CLASSES = (ComprehensiveSRStorage, SegmentationStorage, SecondaryCaptureImageStorage)
TRANSFER_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
TIMEOUT_S = 30.0
DUPLICATE = 0x0111
"""The destination has the instance already: what was to be reached."""
WARNINGS = range(0xB000, 0xC000)
DICOM_TYPE, ANSWER_TYPE = "application/dicom", "application/dicom+json"
FAILED, REASON = "00081198", "00081197"
"""Failed SOP Sequence and Failure Reason, in an answer to STOW-RS."""
STORED, SOME_STORED, CONFLICT = 200, 202, 409


class Sender(Protocol):
    """Sends reports to one destination."""

    def send(self, deliveries: Sequence[Delivery]) -> Iterator[tuple[Delivery, str]]:
        """Yield each report with an empty text when it was stored, or with the code of a failure.

        A report that is not yielded was not tried.
        """

    def close(self) -> None:
        """Close what stays open between reports."""


def open_sender(destination: Destination, ae_title: str) -> Sender:
    """Return the sender for a destination.

    Parameters
    ----------
    destination : Destination
    ae_title : str
        Our own.

    Raises
    ------
    OSError
        A file of TLS is missing or damaged.
    """
    if destination.url:
        return StowSender(destination)
    return StoreSender(destination, ae_title)


class StoreSender:
    """Sends by C-STORE; reports that are due together share an association."""

    def __init__(self, destination: Destination, ae_title: str) -> None:
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        self._destination = destination
        self._context = to_client_context(destination.tls)
        self._entity = AE(ae_title=ae_title)
        for each in REPORT_CLASSES:
            self._entity.add_requested_context(each, TRANSFER_SYNTAXES)
        self._entity.connection_timeout = TIMEOUT_S
        self._entity.acse_timeout = self._entity.dimse_timeout = TIMEOUT_S
        self._entity.network_timeout = TIMEOUT_S

    def send(self, deliveries: Sequence[Delivery]) -> Iterator[tuple[Delivery, str]]:
        """See `Sender`."""
        place = self._destination
        tls = None if self._context is None else (self._context, place.host)
        association = self._entity.associate(
            place.host, place.port, ae_title=place.ae_title, tls_args=tls
        )
        if not association.is_established:
            reason = "rejected" if association.is_rejected else "unreachable"
            yield from ((each, reason) for each in deliveries)
            return
        try:
            for each in deliveries:
                if not association.is_established:
                    return
                yield each, _store(association, each)
        finally:
            with suppress(RuntimeError):  # the other side ended it
                association.release()

    def close(self) -> None:
        """See `Sender`; an association ends with its reports."""


def _store(association: Any, delivery: Delivery) -> str:
    try:
        answer = association.send_c_store(delivery.path)
    except (ValueError, RuntimeError) as error:  # it takes no such object; the association ended
        return "not-accepted" if isinstance(error, ValueError) else "connection-lost"
    if "Status" not in answer:
        return "no-answer"
    status = int(answer.Status)
    is_stored = status in (0, DUPLICATE) or status in WARNINGS
    return "" if is_stored else f"status-{status:04x}"


class StowSender:
    """Sends by STOW-RS, one report in a request."""

    def __init__(self, destination: Destination) -> None:
        context = to_client_context(destination.tls)
        self._url = destination.url.rstrip("/") + "/studies"
        self._http = httpx.Client(
            timeout=TIMEOUT_S, verify=True if context is None else context, trust_env=False
        )

    def send(self, deliveries: Sequence[Delivery]) -> Iterator[tuple[Delivery, str]]:
        """See `Sender`."""
        outcome = ""
        for each in deliveries:
            if outcome != "unreachable":
                outcome = self._post(each)
            yield each, outcome

    def close(self) -> None:
        """See `Sender`."""
        self._http.close()

    def _post(self, delivery: Delivery) -> str:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: {DICOM_TYPE}\r\n\r\n".encode()
        body = head + delivery.path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="{DICOM_TYPE}"; boundary={boundary}'
        try:
            answer = self._http.post(
                self._url, content=body, headers={"content-type": kind, "accept": ANSWER_TYPE}
            )
        except httpx.TransportError:
            return "unreachable"
        if answer.status_code == STORED:
            return ""
        if answer.status_code in (SOME_STORED, CONFLICT):
            return _read_failure(answer)
        return f"http-{answer.status_code}"


def _read_failure(answer: httpx.Response) -> str:
    """Return why the one instance of a request was not stored; empty if it was, with a warning."""
    try:
        failed = answer.json().get(FAILED, {}).get("Value", [])
        reasons = [int(each[REASON]["Value"][0]) for each in failed]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return f"http-{answer.status_code}"
    if not reasons and answer.status_code == CONFLICT:
        return f"http-{CONFLICT}"
    return "" if all(each == DUPLICATE for each in reasons) else f"status-{reasons[0]:04x}"
