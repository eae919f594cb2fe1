"""Build the documentation: `python -m tools.docs build`, `diagrams` or `headline`.

`build` writes the site to `build/docs`. It is strict: a broken link, a missing page, a name in the
API reference that does not exist, and anything loaded from another host end it with status 1.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.docs.assets import find_foreign_assets
from tools.docs.diagrams import draw_diagrams
from tools.docs.headline import write_headline
from tools.docs.openapi_page import to_page
from tools.docs.pages import BrokenPageError, require_navigation, stage_pages

CONFIG = Path("zensical.toml")
SOURCE_DIR = Path("build/docs_source")
SITE_DIR = Path("build/docs")
HTTP_REFERENCE = "http_reference.md"


def build() -> int:
    """Build the site strictly; return the exit status."""
    for folder in (SOURCE_DIR, SITE_DIR):
        shutil.rmtree(folder, ignore_errors=True)
    SOURCE_DIR.mkdir(parents=True)
    try:
        names = stage_pages(SOURCE_DIR)
        require_navigation(CONFIG, [*names, HTTP_REFERENCE])
    except BrokenPageError as error:
        print(error, file=sys.stderr)
        return 1
    write_http_reference()
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run([*command, "--config-file", CONFIG], check=False)
    if done.returncode:
        return 1
    foreign = find_foreign_assets(SITE_DIR)
    if foreign:
        print("The site loads from other hosts:", *foreign, sep="\n  ", file=sys.stderr)
        return 1
    print(f"{SITE_DIR}: {len(names) + 1} pages, nothing loaded from another host")
    return 0


def write_http_reference() -> None:
    """Write the service's OpenAPI document, and the page made from it."""
    from headcirc_service.app import create_app  # noqa: PLC0415 - only a build needs the service
    from headcirc_service.settings import Settings  # noqa: PLC0415

    document = create_app(Settings(log_format="text")).openapi()
    (SOURCE_DIR / "openapi.json").write_text(json.dumps(document, indent=2) + "\n")
    (SOURCE_DIR / HTTP_REFERENCE).write_text(to_page(document))


ACTIONS = {"build": build, "diagrams": draw_diagrams, "headline": write_headline}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("action", choices=ACTIONS)
    return ACTIONS[parser.parse_args(arguments).action]() or 0


if __name__ == "__main__":
    sys.exit(main())
