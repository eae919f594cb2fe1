"""Request bodies on their way in: how many may arrive, from whom, and how fast they must."""

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
"""Bodies may arrive for this many times the queue's places: uploads are slow, places soon free."""
FRESH_S = 0.1
"""A body that began less than this ago will mostly be whole before a place is free, so it counts
as having one. Otherwise a crowd would be let in for each free place, read, and then refused."""
PATIENCE_S = 5.0
"""How far a body may fall behind its least rate: as long as a body may be silent."""
IPV6_PREFIX = 64
"""What one customer of a network has at least."""


@dataclass(frozen=True)
class BodyLimits:
    """What one body may cost."""

    max_bytes: int
    timeout_s: float
    least_bytes_per_s: float


class Arrivals:
    """The bodies that are arriving now.

    Parameters
    ----------
    places : int
        Of the queue behind. One client may send as many bodies at a time as there are places.
    """

    def __init__(self, places: int) -> None:
        self._most = BODIES_PER_PLACE * places
        self._share = places
        self._arriving: set[Body] = set()

    @property
    def count(self) -> int:
        """Return how many arrive."""
        return len(self._arriving)

    @property
    def are_full(self) -> bool:
        """Return whether another one would be refused, whoever sends it."""
        return self.count >= self._most

    def count_fresh(self) -> int:
        """Return how many have just begun; one client's count for half the places at most.

        Otherwise one client could keep all others out by beginning again and again.
        """
        now_s = time.monotonic()
        fresh = Counter(e.client for e in self._arriving if now_s - e.began_s < FRESH_S)
        return sum(min(count, max(1, self._share // 2)) for count in fresh.values())

    def require_capacity(self, client: str) -> None:
        """Refuse a body for which there is no place.

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

    def begin(self, receive: Receive, limits: BodyLimits, client: str) -> "Body":
        """Return a body that counts as arriving until it has ended."""
        body = Body(receive, limits, client, self._arriving.discard)
        self._arriving.add(body)
        return body


class Body:
    """A body on its way in: bounded in bytes, in time and in slowness, until it is there.

    What goes wrong is an `HTTPException`, the only error that FastAPI lets out of its form reader.
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
        """When it will be too far behind, unless more comes; each byte moves it."""
        self._on_end = on_end
        self._received_bytes = 0
        self._has_ended = False

    async def receive(self) -> Message:
        """Return the next part; after the last one, wait as long as it takes."""
        if self._has_ended:
            return await self._receive()
        until_s = min(self.began_s + self._limits.timeout_s, self._behind_at_s)
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
        if self._received_bytes > self._limits.max_bytes:
            raise HTTPException(413, say_too_large(self._received_bytes, self._limits.max_bytes))
        worth_s = part_bytes / self._limits.least_bytes_per_s
        self._behind_at_s = min(self._behind_at_s + worth_s, time.monotonic() + PATIENCE_S)

    def _say_too_slow(self) -> str:
        return (
            f"{self._received_bytes:,} bytes of the body arrived within "
            f"{time.monotonic() - self.began_s:.1f} s; send it whole within "
            f"{self._limits.timeout_s:g} s, and at least {self._limits.least_bytes_per_s:,} bytes "
            "a second."
        )

    def end(self) -> None:
        """Give its place back, once."""
        if not self._has_ended:
            self._has_ended = True
            self._on_end(self)


def name_client(client: tuple[str, int] | None) -> str:
    """Return under which name a client's bodies are counted: its address or, of IPv6, its /64."""
    host = client[0] if client else ""
    with suppress(ValueError):  # a name, as test clients have
        address = ip_address(host)
        if isinstance(address, IPv6Address):
            mapped = address.ipv4_mapped
            return str(mapped or ip_network((int(address), IPV6_PREFIX), strict=False))
    return host


def say_too_large(found_bytes: int, max_bytes: int) -> str:
    """Say what was found and what is needed."""
    return f"The body has {found_bytes:,} bytes or more; at most {max_bytes:,} are accepted."
