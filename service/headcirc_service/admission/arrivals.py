"""Limits for request bodies while they arrive: their number, their clients and their speed."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from headcirc_service.errors import OverloadedError

BODIES_PER_PLACE = 4
"""Bodies that may arrive per place of the queue: an upload takes longer than a measurement."""
FRESH_S = 0.1
"""A body that began less than this ago counts as if it had a place in the queue. Otherwise many
requests would be accepted for each free place, and refused after their bodies were read."""
PATIENCE_S = 5.0
"""How late a body may be against its least rate; also the longest pause between two parts."""
IPV6_PREFIX = 64
"""A network provider gives each customer a prefix of this length or shorter."""


@dataclass(frozen=True)
class BodyLimits:
    """Limits of one body; DICOM files and videos have their own: they may hold many frames."""

    max_bytes: int
    timeout_s: float
    least_bytes_per_s: float
    max_dicom_bytes: int
    dicom_timeout_s: float

    @property
    def most_bytes(self) -> int:
        """Return the limit for a body whose kind is not known yet."""
        return max(self.max_bytes, self.max_dicom_bytes)


class Arrivals:
    """The bodies that arrive now.

    Parameters
    ----------
    places : int
        Places of the queue. One client may send as many bodies at the same time.
    """

    def __init__(self, places: int) -> None:
        self._most = BODIES_PER_PLACE * places
        self._share = places
        self._arriving: set[Body] = set()

    @property
    def count(self) -> int:
        """Return how many bodies arrive now."""
        return len(self._arriving)

    @property
    def are_full(self) -> bool:
        """Return whether another body would be refused from any client."""
        return self.count >= self._most

    def count_fresh(self) -> int:
        """Return how many bodies have just begun; one client counts for half the places at most.

        Otherwise one client could keep out all others by starting bodies again and again.
        """
        now_s = time.monotonic()
        fresh = Counter(e.client for e in self._arriving if now_s - e.began_s < FRESH_S)
        return sum(min(count, max(1, self._share // 2)) for count in fresh.values())

    def require_capacity(self, client: str) -> None:
        """Refuse a body if too many arrive already.

        Raises
        ------
        OverloadedError
        """
        if self.are_full:
            raise OverloadedError(
                f"{self.count} requests are being received, which is the most that this service "
                "takes; send the request again in a second."
            )
        if sum(each.client == client for each in self._arriving) >= self._share:
            raise OverloadedError(
                f"{self._share} requests are being received from this address, which is its "
                "share; send the request again in a second."
            )

    def begin(
        self, receive: Receive, limits: BodyLimits, client: str, *, announced_bytes: int = 0
    ) -> "Body":
        """Return a body that counts as arriving until it has ended."""
        body = Body(receive, limits, client, self._arriving.discard)
        body.announced_bytes = announced_bytes
        self._arriving.add(body)
        return body


class Body:
    """A body that arrives, with limits on its bytes, its time and its rate.

    The parser of the form says what the body holds as soon as it knows. Until then the larger limit
    on its bytes and the shorter one on its time hold.

    It raises `HTTPException`, because FastAPI's form parser passes no other error on.
    """

    def __init__(
        self,
        receive: Receive,
        limits: BodyLimits,
        client: str,
        on_end: Callable[["Body"], None],
    ) -> None:
        self.client = client
        self._receive = receive
        self._limits = limits
        self.began_s = time.monotonic()
        self._behind_at_s = self.began_s + PATIENCE_S
        """When it will be too late; each byte that arrives moves this on."""
        self._on_end = on_end
        self._received_bytes = 0
        self._has_ended = False
        self._may_be_large: bool | None = None
        self.announced_bytes = 0
        """Its length by its headers; 0 where they do not state it."""

    def note_kind(self, *, may_be_large: bool) -> None:
        """Note whether the body holds a file of many frames, which decides its limits."""
        self._may_be_large = may_be_large

    def require_size(self) -> None:
        """Refuse a body that is, or will be, too large for what it holds.

        Raises
        ------
        HTTPException
        """
        max_bytes = {
            None: self._limits.most_bytes,
            True: self._limits.max_dicom_bytes,
            False: self._limits.max_bytes,
        }[self._may_be_large]
        found_bytes = max(self._received_bytes, self.announced_bytes)
        if found_bytes > max_bytes:
            raise HTTPException(413, say_too_large(found_bytes, max_bytes))

    async def receive(self) -> Message:
        """Return the next part; after the last part there is no time limit."""
        if self._has_ended:
            return await self._receive()
        self.require_size()
        until_s = min(self.began_s + self._timeout_s, self._behind_at_s)
        try:
            async with asyncio.timeout(until_s - time.monotonic()):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(504, self._say_too_slow()) from error
        self._note(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self.end()
        return message

    def _note(self, part_bytes: int) -> None:
        self._received_bytes += part_bytes
        self.require_size()
        worth_s = part_bytes / self._limits.least_bytes_per_s
        self._behind_at_s = min(self._behind_at_s + worth_s, time.monotonic() + PATIENCE_S)

    @property
    def _timeout_s(self) -> float:
        return self._limits.dicom_timeout_s if self._may_be_large else self._limits.timeout_s

    def _say_too_slow(self) -> str:
        return (
            f"{self._received_bytes:,} bytes of the body arrived within "
            f"{time.monotonic() - self.began_s:.1f} s; send it whole within "
            f"{self._timeout_s:g} s, and at least {self._limits.least_bytes_per_s:,} bytes "
            "a second."
        )

    def end(self) -> None:
        """Stop counting it as arriving; further calls do nothing."""
        if not self._has_ended:
            self._has_ended = True
            self._on_end(self)


def name_client(client: tuple[str, int] | None) -> str:
    """Return the name under which bodies are counted: the address, or the /64 for IPv6."""
    host = client[0] if client else ""
    with suppress(ValueError):  # not an address, as in test clients
        address = ip_address(host)
        if isinstance(address, IPv6Address):
            mapped = address.ipv4_mapped
            return str(mapped or ip_network((int(address), IPV6_PREFIX), strict=False))
    return host


def say_too_large(found_bytes: int, max_bytes: int) -> str:
    """Return the message for a body that is too large."""
    return f"The body has {found_bytes:,} bytes or more; at most {max_bytes:,} are accepted."
