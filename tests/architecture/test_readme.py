"""README's claims that a program can check: its blocks run, its tables are true."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from headcirc.cli import main
from service.app import create_app
from service.settings import Settings

README = Path("README.md").read_text()


def find_blocks(language: str) -> list[str]:
    """Return README's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_blocks_run():
    """Each Python block, and there are some, runs as it stands and prints a measurement."""
    blocks = find_blocks("python")
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.match(r"\d+\.\d mm", done.stdout)


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
    """`headcirc analyze` of the example, as README writes it, measures it."""
    (line,) = re.findall(r"headcirc (analyze examples.*)", README)
    assert main(shlex.split(line)) == 0
    assert "HC 1" in capsys.readouterr().out


def test_settings_table_is_complete():
    """README lists every setting, and no other."""
    listed = set(re.findall(r"`(HEADCIRC_[A-Z_]+)`", README))
    assert listed == {f"HEADCIRC_{name.upper()}" for name in Settings.model_fields}
