"""Collect the site's pages in one folder and make their links lead to one another.

The Markdown of the repository is written for readers of the repository: it links to model cards,
results and source files by relative paths. Here each link to a page becomes a link to the page's
place in the site, each picture is copied, and a link to any other file becomes the file's path.
"""

import os
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

DOCS_DIR = Path("docs")
OTHER_PAGES = {
    Path("CONTRIBUTING.md"): "contributing.md",
    Path("models/attention-resunet-half/README.md"): "model_card.md",
    Path("models/attention-resunet-16-split/README.md"): "model_card_split.md",
    Path("models/attention-resunet-64/README.md"): "model_card_64.md",
    Path("models/attention-resunet-12/README.md"): "model_card_12.md",
}
"""Pages that lie outside `docs/`, and their names in the site."""
PICTURE_SUFFIXES = (".png", ".svg")
FENCE = re.compile(r"^(```.*?^```)", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


class BrokenPageError(ValueError):
    """A page, link or navigation entry names something that does not exist."""


def find_pages() -> dict[Path, str]:
    """Return each page's file in the repository, and its name in the site."""
    return {path: path.name for path in sorted(DOCS_DIR.glob("*.md"))} | OTHER_PAGES


def stage_pages(target_dir: Path) -> list[str]:
    """Write all pages and the pictures that they show; return the pages' names.

    Raises
    ------
    BrokenPageError
        A page links to a file that does not exist.
    """
    pages = find_pages()
    for path, name in pages.items():
        text = path.read_text()
        (target_dir / name).write_text(rewrite_links(text, path, pages, target_dir))
    return list(pages.values())


def rewrite_links(text: str, page: Path, pages: Mapping[Path, str], target_dir: Path) -> str:
    """Return a page's text with the links of the site; copies the pictures that it shows."""

    def replace(link: re.Match[str]) -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or "://" in target:
            return link[0]
        path = Path(os.path.normpath(page.parent / target))
        if not path.exists():
            raise BrokenPageError(f"{page} links to {path}, which does not exist.")
        if path in pages:
            place = pages[path] + (f"#{anchor}" if anchor else "")
        elif path.suffix in PICTURE_SUFFIXES:
            place = _copy_picture(path, target_dir)
        else:
            return f"{link['text']} (`{path}`)" if f"`{path}`" != link["text"] else link["text"]
        return f"{link['mark']}[{link['text']}]({place})"

    parts = FENCE.split(text)  # code blocks at odd places
    parts[::2] = [LINK.sub(replace, part) for part in parts[::2]]
    return "".join(parts)


def require_navigation(config: Path, names: list[str]) -> None:
    """Check that the navigation lists every page of the site once, and no other.

    Raises
    ------
    BrokenPageError
        A page is missing, listed twice, or does not exist.
    """
    listed = list(_walk(tomllib.loads(config.read_text())["project"]["nav"]))
    if sorted(listed) != sorted(names):
        wrong = sorted(set(listed) ^ set(names)) or "a page that is listed twice"
        raise BrokenPageError(f"The navigation and the pages differ: {wrong}.")


def _walk(navigation: object) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
        return
    entries = navigation.values() if isinstance(navigation, dict) else navigation
    for entry in entries:  # type: ignore[attr-defined]
        yield from _walk(entry)


def _copy_picture(path: Path, target_dir: Path) -> str:
    """Copy a picture and return its place in the site."""
    place = Path("pictures", *path.parts)
    (target_dir / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target_dir / place)
    return place.as_posix()
