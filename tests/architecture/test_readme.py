"""What README and docs claim and a program can check: blocks run, tables are true, links lead."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from headcirc_service.app import create_app
from headcirc_service.settings import Settings

from harness.documents import read_block
from headcirc.cli.commands import COMMANDS, main
from tools.docs import headline

README = Path("README.md").read_text()
MEASURE, SETTINGS, MAP, PYTHON = (
    Path(f"docs/{name}.md").read_text()
    for name in ("measure", "settings", "how_it_works", "python")
)
MOST_WORDS = 900
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


def test_readme_is_short():
    """README has at most 900 words, tables and code included."""
    assert len(README.split()) <= MOST_WORDS


@pytest.mark.parametrize("package", [Path("headcirc"), Path("service/headcirc_service")], ids=str)
def test_file_tree_names_each_module_and_folder(package):
    """The tree in `docs/how_it_works.md` lists what a package holds, and nothing that is gone."""
    tree = MAP.partition("## File tree")[2]
    (block,) = re.findall(rf"^{package}/ .*\n((?:  .*\n)+)", tree, flags=re.MULTILINE)
    listed = {line.split()[0] for line in block.splitlines()}
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    folders = {
        f"{path.name}/"
        for path in package.iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    assert listed == modules | folders


def test_headline_table_is_of_the_committed_results():
    """README's figures are those of the results; `python -m tools.docs headline` writes them."""
    assert read_block(README, headline.BLOCK) == headline.to_block()


@pytest.mark.parametrize("text", [README, PYTHON], ids=["README", "python"])
def test_python_blocks_run(text):
    """Each Python block of a page, and there are some, runs and prints a measurement."""
    blocks = find_blocks("python", text)
    assert blocks
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


@pytest.mark.parametrize("text", [README, MEASURE], ids=["README", "measure"])
def test_first_command_of_the_command_line_works(capsys, text):
    """`headcirc analyze` of the example, as the page writes it, measures it."""
    (line,) = re.findall(r"headcirc (analyze examples.*)", text)
    assert main(shlex.split(line)) == 0
    assert "HC 1" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_contract_lists_each_command_and_its_options(command):
    """The section of `docs/api.md` on the command line names all that `--help` shows."""
    section = Path("docs/api.md").read_text().partition("## Command line")[2]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = set(re.findall(r"--[a-z-]+", parser.format_usage()))
    assert f"`headcirc {command.name}" in section
    assert options <= set(re.findall(r"--[a-z-]+", section))


def test_settings_table_is_complete():
    """The page of settings lists every one, and no other."""
    listed = set(re.findall(r"^\| `(HEADCIRC_[A-Z_]+)`", SETTINGS, flags=re.MULTILINE))
    assert listed == {f"HEADCIRC_{name.upper()}" for name in Settings.model_fields}
