"""Versions of a kept result as entity tags (RFC 9110): `ETag` and `If-Match`."""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header

from headcirc_service.errors import PreconditionMissingError
from headcirc_service.results.stored_analysis import StoredAnalysis

TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
ANY = "*"


def to_etag(stored: StoredAnalysis) -> str:
    """Return the tag of a version; it changes with every change by a person."""
    facts = f"{stored.body.id} {stored.body.created} {stored.revision}"
    return f'"{hashlib.sha256(facts.encode()).hexdigest()[:32]}"'


async def read_if_match(
    if_match: Annotated[
        str | None, Header(description="the ETag of the version that you have seen")
    ] = None,
) -> Callable[[StoredAnalysis], bool]:
    """Return a function that says whether a version is one that the caller named.

    Weak tags never match (RFC 9110, 13.1.1); `*` matches every version.

    Raises
    ------
    PreconditionMissingError
    """
    if if_match is None:
        raise PreconditionMissingError(
            "The header If-Match is missing; send the ETag with which you read the result, so that "
            "nobody's correction is replaced unseen."
        )
    named = {*TAG.findall(if_match)}
    return lambda stored: if_match.strip() == ANY or to_etag(stored) in named


IfMatch = Annotated[Callable[[StoredAnalysis], bool], Depends(read_if_match)]
