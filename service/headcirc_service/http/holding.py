"""Let the application stop the reading of a connection until its request is answered."""

from collections.abc import Callable

from starlette.types import Scope

KEY = "headcirc.hold_reading"
"""Key of the function in the ASGI scope; only this module uses it."""


def offer_hold(scope: Scope, hold: Callable[[], None]) -> None:
    """Put a function into the scope of a request that stops the reading of its connection."""
    scope[KEY] = hold


def hold_reading(scope: Scope) -> None:
    """Stop the reading of a request's connection; it goes on when the answer is complete.

    Bytes that the client sends meanwhile wait in the network instead of in memory. Without our
    protocol, as in tests of the application alone, this does nothing.
    """
    hold = scope.get(KEY)
    if hold is not None:
        hold()
