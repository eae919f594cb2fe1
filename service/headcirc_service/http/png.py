"""PNG answers."""

from fastapi import Response

from headcirc_service.http.counted import Counted


class Png(Response):
    """A PNG answer."""

    media_type = "image/png"


class CountedPng(Counted, Png):
    """A PNG answer that counts as unread until its client has read it."""
