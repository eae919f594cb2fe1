"""The page's modules that need no browser, in node's test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT_DIR = Path(__file__).parent / "unit"


@pytest.mark.parametrize("path", sorted(UNIT_DIR.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_module(path):
    """`node --test tests/web/unit/` runs them too."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian's package nodejs; make system-deps)")
    command = [node, "--test", str(path)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
