"""Names of routes in logs, metrics and spans: never a path or a method that a caller made up."""

from http import HTTPMethod

from starlette.requests import Request

UNKNOWN_ROUTE = "unknown"
QUIET_ROUTES = ("/livez", "/readyz", "/metrics")
"""Probes and scrapes come every few seconds: they have no span, and are logged only on debug."""


def name_route(request: Request) -> tuple[str, str]:
    """Return the template of the route and the method, each `unknown` if it is not ours."""
    route = getattr(request.scope.get("route"), "path", UNKNOWN_ROUTE)
    is_known = route != UNKNOWN_ROUTE and request.method in HTTPMethod.__members__
    return route, request.method if is_known else UNKNOWN_ROUTE
