"""The Host header: the names that a request may be addressed to.

An attacker can let the name of a web page point at this machine (DNS rebinding), so that the page
can read answers. The browser still sends the name of that page. So a request to a loopback address
must name a loopback host, unless a key protects the service.
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
"""HTTP versions in which a request needs no Host header."""


class HostRules:
    """The accepted Host headers; see `Settings.allowed_hosts`."""

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
                "The Host header names a host that this service does not accept; use the "
                "address of the service, or add the name to HEADCIRC_ALLOWED_HOSTS."
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
        It is not a name or an address with an optional port.
    """
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        name = None
    if not name or parts.netloc != host or "@" in host or not NAME.fullmatch(name):
        raise InvalidHostError("The Host header is not a name or an address with an optional port.")
    return name.rstrip(".")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a name or an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return host == LOOPBACK_NAME
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
