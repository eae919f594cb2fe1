"""API keys: who may use the service. The service knows only their hashes.

A key is a long random text, so its plain SHA-256 cannot be reversed. A slow hash, which protects
short passwords, would only make every request slower.
"""

import hashlib
import hmac
from collections.abc import Iterable

from headcirc_service.errors import UnauthorizedError

PROTECTED = ("/v1/", "/metrics")
SCHEME = "bearer"


class KeyRing:
    """The accepted keys; if there are none, no key is needed.

    Parameters
    ----------
    sha256s : iterable of str
        SHA-256 of each key, in hexadecimal digits.
    """

    def __init__(self, sha256s: Iterable[str]) -> None:
        self._sha256s = tuple(sha256s)

    def require_key(self, path: str, authorization: str | None) -> str | None:
        """Refuse a request to a protected path without an accepted key.

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
        # Starlette decodes headers as Latin-1, so this gives the bytes that were sent.
        given = hashlib.sha256(key.encode("latin-1")).hexdigest()
        # Compare with every hash in constant time, so that the time reveals nothing.
        matches = [hmac.compare_digest(given, each) for each in self._sha256s]
        if not any(matches):
            raise UnauthorizedError("The API key that was sent is not known here; ask for another.")
        return given
