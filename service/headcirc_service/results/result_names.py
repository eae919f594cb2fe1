"""Ids of results, and the scopes that separate the results of different keys.

A scope is the SHA-256 of the key of the request, or empty if every caller may read every result.
"""

import hashlib
import hmac

NAME_DIGITS = 32


def to_scoped_id(question: bytes, scope: str) -> str:
    """Return the id of the result of a question.

    In a scope the second half of the id is a MAC of the first half, made with the scope as key.

    Parameters
    ----------
    question : bytes
        Digest of everything that the result depends on.
    scope : str
    """
    if not scope:
        return question.hex()[:NAME_DIGITS]
    name = _seal(question, scope)
    return name + _seal(name.encode(), scope)


def is_in_scope(analysis_id: str, scope: str) -> bool:
    """Return whether an id was made in this scope; always true for the empty scope."""
    if not scope:
        return True
    name, seal = analysis_id[:NAME_DIGITS], analysis_id[NAME_DIGITS:]
    return hmac.compare_digest(seal.encode(), _seal(name.encode(), scope).encode())


def _seal(content: bytes, scope: str) -> str:
    return hmac.new(scope.encode(), content, hashlib.sha256).hexdigest()[:NAME_DIGITS]
