"""The web page, the documentation's viewer and the files of both: no other host, no build step.

Neither holds a figure: the page asks `/v1/*` for everything, as any caller does.
"""

from pathlib import Path

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

WEB_DIR = Path(__file__).parent.parent / "web"
VIEWER = ("fastapi_swagger", "resources")
"""Package and folder that hold Swagger UI's own files."""
SAME_HOST = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
)
NO_RANGES = {"accept-ranges": "none"}
PAGE_HEADERS = NO_RANGES | {"content-security-policy": SAME_HOST + "img-src 'self' blob:"}
VIEWER_HEADERS = NO_RANGES | {"content-security-policy": SAME_HOST + "img-src 'self' data:"}
"""Swagger UI's style sheet holds its small pictures as `data:`."""
REVALIDATED = "no-cache"
"""May be kept, for it holds nothing of a patient, but is asked after each time."""


async def ignore_range(request: Request) -> None:
    """Take the header away: the files are small, and a bad one would be refused in plain text."""
    scope = request.scope
    scope["headers"] = [each for each in scope["headers"] if each[0] != b"range"]


router = APIRouter(include_in_schema=False, dependencies=[Depends(ignore_range)])
files = StaticFiles(directory=WEB_DIR, packages=[VIEWER])


@router.get("/")
async def show_page() -> FileResponse:
    """Return the web page."""
    return FileResponse(WEB_DIR / "index.html", headers=PAGE_HEADERS)


@router.get("/docs")
async def show_docs() -> FileResponse:
    """Return the interactive documentation of the HTTP interface."""
    return FileResponse(WEB_DIR / "docs.html", headers=VIEWER_HEADERS)


@router.get("/web/{path:path}")
async def show_file(path: str, request: Request) -> Response:
    """Return a file of the pages, or that the caller's copy is still the same."""
    response = await files.get_response(path, request.scope)
    response.headers.update(NO_RANGES | {"cache-control": REVALIDATED})
    return response
