"""What README and docs claim and a program can check: blocks run, tables are true, links lead."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from headcirc.cli.commands import main

README = Path("README.md").read_text()
MEASURE, SETTINGS, INSIDE = (
    Path(f"docs/{name}.md").read_text() for name in ("measure", "settings", "inside")
)
PAGES = [Path("README.md"), Path("CONTRIBUTING.md"), *sorted(Path("docs").glob("*.md"))]


def find_blocks(language: str, text: str = README) -> list[str]:
    """Return a page's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def to_anchors(page: Path) -> set[str]:
    """Return what `#...` can name on a page, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    """Each link of a page to this repository names a file, and its anchor one of the headings."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in to_anchors(target), link


def test_every_module_has_its_place_on_the_map():
    """`docs/inside.md` names each file of the measuring package, and none that is gone."""
    there = {path.name for path in Path("headcirc").glob("*.py")} - {"__init__.py"}
    assert {Path(each).name for each in re.findall(r"`([\w/]+\.py)`", INSIDE)} == there


def test_python_blocks_run():
    """Each Python block of README and of the guides runs and prints a measurement."""
    pages = (README, MEASURE, Path("docs/python.md").read_text())
    assert all(find_blocks("python", page) for page in pages)
    blocks = [block for page in pages for block in find_blocks("python", page)]
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.match(r"\d+\.\d+", done.stdout)


def test_curl_block_measures_the_example():
    """The curl line, sent to the real service, gives the answer that README prints."""
    (line,) = [line for block in find_blocks("sh") for line in block.splitlines() if "curl" in line]
    words = shlex.split(line)
    fields = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-F")
    path = Path(fields.pop("image").removeprefix("@"))
    with TestClient(create_app()) as client:
        answer = client.post(
            words[-1].removeprefix("http://127.0.0.1:8000"),
            data=fields,
            files={"image": path.read_bytes()},
        )
    assert answer.status_code == 200
    printed = re.search(r'"head_circumference_mm": ([\d.]+)', README)
    assert answer.json()["head_circumference_mm"] == pytest.approx(float(printed[1]), abs=0.05)


def test_first_command_of_the_command_line_works(capsys):
    """`headcirc analyze` of the example, as the guide writes it, measures it."""
    (line,) = re.findall(r"headcirc (analyze examples.*)", MEASURE)
    assert main(shlex.split(line)) == 0
    assert "HC 1" in capsys.readouterr().out


def test_settings_table_is_complete():
    """The page of settings lists every one, and no other."""
    listed = set(re.findall(r"^\| `(HEADCIRC_[A-Z_]+)`", SETTINGS, flags=re.MULTILINE))
    assert listed == {f"HEADCIRC_{name.upper()}" for name in Settings.model_fields}
