import re
from pathlib import Path

FOLDERS = (
    "headcirc", "service", "training", "model_export", "evaluation", "benchmarks", "harness",
    "deploy", "examples", "tools", "tests",
)  # fmt: skip


def test_no_docstring_begins_with_of():
    """Each docstring says what a thing is or does, not only whose it is."""
    found = [
        str(path)
        for folder in FOLDERS
        for path in Path(folder).rglob("*.py")
        if re.search('"' * 3 + r"Of\b", path.read_text())
    ]
    assert found == []
