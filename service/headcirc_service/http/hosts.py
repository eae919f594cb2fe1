"""The Host header: which names a request may be addressed to.

A web page of a stranger can let its own name point at this machine (DNS rebinding) and then read
answers as its own. The browser still sends the stranger's name, so requests to a loopback address
must be addressed to a loopback name, unless a key protects the service.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.requests import Request

from headcirc_service.errors import InvalidHostError
from headcirc_service.settings import Settings

LOOPBACK_NAME = "localhost"
ANY = "*"
NAME = re.compile(r"[a-z0-9_.:%-]+")
WITHOUT_HOST = ("1.0", "0.9")
"""Versions of HTTP in which a request may have no Host header."""


class HostRules:
    """Which Host headers are accepted; see `Settings.allowed_hosts`."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.allowed_hosts
        self._has_keys = bool(settings.api_key_hashes)

    def require_allowed(self, request: Request) -> None:
        """Refuse a request without exactly one Host header, or addressed to another name.

        Raises
        ------
        InvalidHostError
        """
        hosts = request.headers.getlist("host")
        if not hosts and request.scope["http_version"] in WITHOUT_HOST:
            return
        if len(hosts) != 1:
            raise InvalidHostError(
                f"The request has {len(hosts)} Host headers; HTTP/1.1 needs exactly one."
            )
        name = read_host_name(hosts[0])
        if not self._is_allowed(name, request.scope.get("server")):
            raise InvalidHostError(
                "The request is addressed to a name that this service does not answer to; use its "
                "address, or name it in HEADCIRC_ALLOWED_HOSTS."
            )

    def _is_allowed(self, name: str, server: tuple[str, int | None] | None) -> bool:
        address = server[0] if server else ""
        if is_loopback(name) or name == address or ANY in self._allowed:
            return True
        if self._allowed:
            return any(
                name == each or (each.startswith("*.") and name.endswith(each[1:]))
                for each in self._allowed
            )
        return self._has_keys or not is_loopback(address)


def read_host_name(host: str) -> str:
    """Return the name of a Host header, in lower case, without port and brackets.

    Raises
    ------
    InvalidHostError
        It is no name or address with an optional port.
    """
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        name = None
    if not name or parts.netloc != host or "@" in host or not NAME.fullmatch(name):
        raise InvalidHostError("The Host header is no name or address with an optional port.")
    return name.rstrip(".")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a name or an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return host == LOOPBACK_NAME
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
