import json
from pathlib import Path

import pytest

from harness.machine import describe_machine, to_timestamp

FIGURES_DIR = Path("build/faults")
"""Folder of the records of the fault tests; `python -m benchmarks.reliability` collects them."""


@pytest.fixture
def record(request):
    """Return a function that prints the figures of a test and writes them to a file."""

    def write(name: str, **figures: object) -> None:
        FIGURES_DIR.mkdir(parents=True, exist_ok=True)
        facts = {
            "name": name,
            "test": request.node.nodeid.partition("[")[0],
            "measured": to_timestamp(),
            "figures": figures,
            "machine": describe_machine(),
        }
        (FIGURES_DIR / f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n")
        print(f"{name}: {json.dumps(figures)}")  # noqa: T201 - figures are shown with `pytest -s`

    return write
