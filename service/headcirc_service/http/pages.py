"""The web page, the viewer of the API documentation, and their files.

They load no file of another host and need no build step. The page reads all its data from `/v1/*`,
as any caller does.
"""

from pathlib import Path

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

WEB_DIR = Path(__file__).parent.parent / "web"
VIEWER = ("fastapi_swagger", "resources")
"""Package and folder with the files of Swagger UI."""
SAME_HOST = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; "
)
NO_RANGES = {"accept-ranges": "none"}
VIEWER_HEADERS = NO_RANGES | {
    "content-security-policy": SAME_HOST + "frame-ancestors 'none'; img-src 'self' data:"
}
"""The style sheet of Swagger UI has its small pictures as `data:` URLs."""
REVALIDATED = "no-cache"
"""Caches may keep these files, which hold no patient data, but must revalidate them."""


def to_page_headers(embed_origins: tuple[str, ...]) -> dict[str, str]:
    """Return the headers of the web page, which viewers of these origins may show in a frame."""
    framed_by = " ".join(embed_origins) or "'none'"
    policy = f"{SAME_HOST}frame-ancestors {framed_by}; img-src 'self' blob:"
    return NO_RANGES | {"content-security-policy": policy}


async def ignore_range(request: Request) -> None:
    """Remove the Range header: Starlette would refuse an invalid one in plain text."""
    scope = request.scope
    scope["headers"] = [each for each in scope["headers"] if each[0] != b"range"]


router = APIRouter(include_in_schema=False, dependencies=[Depends(ignore_range)])
files = StaticFiles(directory=WEB_DIR, packages=[VIEWER])


@router.get("/")
async def show_page(request: Request) -> FileResponse:
    """Return the web page."""
    origins = request.app.state.settings.embed_origins
    return FileResponse(WEB_DIR / "index.html", headers=to_page_headers(origins))


@router.get("/docs")
async def show_docs() -> FileResponse:
    """Return the interactive documentation of the HTTP interface."""
    return FileResponse(WEB_DIR / "docs.html", headers=VIEWER_HEADERS)


@router.get("/web/embed/origins.json")
async def list_embed_origins(request: Request) -> list[str]:
    """Return the origins of viewers that the page hears."""
    return list(request.app.state.settings.embed_origins)


@router.get("/web/{path:path}")
async def show_file(path: str, request: Request) -> Response:
    """Return a file of the pages, or 304 if the caller's copy is current."""
    response = await files.get_response(path, request.scope)
    response.headers.update(NO_RANGES | {"cache-control": REVALIDATED})
    return response
