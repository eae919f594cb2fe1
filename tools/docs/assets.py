"""Check that the built site loads nothing from another host."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""Elements that make a browser load something, and the attribute that names it."""
FOREIGN = re.compile(r"^\s*(https?:)?//", flags=re.IGNORECASE)
STYLE_LOAD = re.compile(r"(?:url\(\s*|@import\s+)['\"]?((?:https?:)?//[^'\")\s;]+)", re.IGNORECASE)


class _LoadedAddresses(HTMLParser):
    """Collects the addresses that a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "next", "prev"):
            return
        self.found.append(values.get(LOADED.get(tag, "")) or "")
        self.found += (values.get("srcset") or "").split(",")
        self.found += STYLE_LOAD.findall(values.get("style") or "")


def find_foreign_assets(site_dir: Path) -> list[str]:
    """Return each page or style sheet that loads from another host, with the address."""
    return [
        f"{path.relative_to(site_dir)}: {address.strip()}"
        for path in sorted(site_dir.rglob("*"))
        for address in _find_loaded(path)
        if FOREIGN.match(address)
    ]


def _find_loaded(path: Path) -> Iterator[str]:
    if path.suffix == ".css":
        yield from STYLE_LOAD.findall(path.read_text())
    elif path.suffix == ".html":
        text = path.read_text()
        parser = _LoadedAddresses()
        parser.feed(text)
        yield from parser.found
        for style in re.findall(r"<style[^>]*>(.*?)</style>", text, flags=re.DOTALL):
            yield from STYLE_LOAD.findall(style)
