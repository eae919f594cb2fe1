"""API keys: who may use the service. Only hashes are known here, never a key.

A key is a long random text, so its plain SHA-256 cannot be turned round; a slow hash, which is for
short passwords, would only cost every request its time.
"""

import hashlib
import hmac
from collections.abc import Iterable

from headcirc_service.errors import UnauthorizedError

PROTECTED = ("/v1/", "/metrics")
SCHEME = "bearer"


class KeyRing:
    """The keys that are let in; an empty ring lets everybody in.

    Parameters
    ----------
    sha256s : iterable of str
        SHA-256 of each key, in hexadecimal digits.
    """

    def __init__(self, sha256s: Iterable[str]) -> None:
        self._sha256s = tuple(sha256s)

    def require_key(self, path: str, authorization: str | None) -> str | None:
        """Refuse a request to a protected path that brings no key of the ring.

        Returns
        -------
        str or None
            The SHA-256 of the key that was sent; None where no key is needed.

        Raises
        ------
        UnauthorizedError
        """
        if not self._sha256s or not path.startswith(PROTECTED):
            return None
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip(" \t")
        if scheme.lower() != SCHEME or not key:
            raise UnauthorizedError(
                "No API key was sent; this service needs the header 'Authorization: Bearer KEY'."
            )
        # The very bytes that were sent: Starlette reads headers as Latin-1, whatever they are.
        given = hashlib.sha256(key.encode("latin-1")).hexdigest()
        # Every hash is compared, each in constant time: how long it takes tells nothing.
        matches = [hmac.compare_digest(given, each) for each in self._sha256s]
        if not any(matches):
            raise UnauthorizedError("The API key that was sent is not known here; ask for another.")
        return given
