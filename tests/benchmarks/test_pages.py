import json
from pathlib import Path

import pytest

from benchmarks import latency_report, overload, reliability
from harness.documents import read_block
from harness.machine import to_shipped_note
from harness.paths import SPEED_RESULTS_DIR
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

PAGE = Path("docs/performance.md")


@pytest.mark.parametrize(
    ("block", "to_block"),
    [
        (latency_report.BLOCK, latency_report.to_markdown),
        (overload.BLOCK, overload.to_block),
        (reliability.BLOCK, reliability.to_block),
    ],
)
def test_page_has_the_block_of_the_committed_results(block, to_block):
    """Each table of the page is made from the committed results."""
    report = json.loads((SPEED_RESULTS_DIR / f"{block}.json").read_text())
    assert read_block(PAGE.read_text(), block) == to_block(report)


def test_figures_of_other_models_say_so():
    """Without the shipped model, in its version, the page says that it was not measured."""
    shipped = load_manifest(SHIPPED_MODEL_DIR)
    assert to_shipped_note({shipped.name: shipped.version, "another": "1.0.0"}) == ""
    for measured in ({shipped.name: "0.1.0"}, {"another": "1.0.0"}):
        assert f"{shipped.name} {shipped.version} ships" in to_shipped_note(measured)
