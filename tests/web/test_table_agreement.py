"""The page's table guards the same texts as the command line's: the same rule on both sides."""

import csv
import io
import json
import shutil
import subprocess

import pytest

from headcirc.batch.safe_text import guard_formula
from tests.headcirc.batch.test_safe_text import ATTACKS

SCRIPT = """
import { toTable } from "./service/headcirc_service/web/save.js";
let text = "";
for await (const part of process.stdin) text += part;
const items = JSON.parse(text).map((name) => ({ name, problem: { detail: name } }));
process.stdout.write(toTable(items));
"""


def test_page_and_command_line_guard_the_same_texts():
    """In the first column, an image's name, and in the last one, a service's own words."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian's package nodejs; make system-deps)")
    command = [node, "--input-type=module", "--eval", SCRIPT]
    texts = [*ATTACKS, "scan-1;b=2.png"]
    run = subprocess.run(command, check=True, capture_output=True, input=json.dumps(texts).encode())
    rows = list(csv.DictReader(io.StringIO(run.stdout.decode(), newline="")))
    expected = [guard_formula(text) for text in texts]
    assert [row["image"] for row in rows] == expected
    assert [row["error"] for row in rows] == expected
