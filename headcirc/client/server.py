"""Check the server's address and the API key before the first request."""

from urllib.parse import urlsplit

import httpx


def require_server_url(server_url: str) -> str:
    """Return a server's address if it is valid.

    Raises
    ------
    ValueError
    """
    try:
        parts = urlsplit(server_url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        httpx.URL(server_url)  # refuses more, such as unprintable characters
    except (ValueError, httpx.InvalidURL):
        is_address = False
    if not is_address:
        raise ValueError(
            f"{server_url!r} is not a server's address; it looks like http://127.0.0.1:8000."
        )
    return server_url


def to_headers(api_key: str | None) -> dict[str, str]:
    """Return the headers of every request.

    Raises
    ------
    ValueError
        A header cannot hold the key, for example because it ends with a line break.
    """
    if api_key is None:
        return {}
    if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key != ""):
        raise ValueError(
            "The API key must be one line of printable ASCII; strip spaces and the end of the line "
            "from what a file holds, or give None."
        )
    return {"authorization": f"Bearer {api_key}"}
