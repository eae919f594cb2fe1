import json
import re

import pytest

from evaluation.out_of_fold import pages
from evaluation.out_of_fold.fit import FEWEST_FOLDS
from evaluation.out_of_fold.pages import (
    CARD,
    FIT_NAME,
    PLACES,
    RESULT_NAME,
    read_blocks,
    write_pages,
)
from harness.documents import read_block, to_markers
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR


def read_report(name):
    """Return a committed report."""
    return json.loads((EVALUATION_RESULTS_DIR / name).read_text())


@pytest.mark.parametrize(("name", "path"), PLACES, ids=[f"{p.parent.name}-{n}" for n, p in PLACES])
def test_documents_have_the_blocks_of_the_committed_results(name, path):
    """`python -m evaluation.out_of_fold text` writes them."""
    assert read_block(path.read_text(), name) == read_blocks()[name]


def test_committed_reports_are_of_the_same_networks():
    """Both name the graph of each fold that was measured; fewer than three are not published."""
    served = read_report(RESULT_NAME)["served"]
    networks = {str(each["fold"]): each["sha256"] for each in served}
    assert len(networks) >= FEWEST_FOLDS
    assert networks == read_report(FIT_NAME)["networks"]


def test_shipped_manifest_has_the_committed_results():
    """`python -m model_export record-out-of-fold` writes them; the network is that of the folds."""
    measured, fitted = read_report(RESULT_NAME), read_report(FIT_NAME)
    facts = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
    accuracy, uncertainty = facts["accuracy"]["out_of_fold"], facts["uncertainty"]
    for name in ("command", "date", "data"):
        assert accuracy[name] == measured[name]
        assert uncertainty[name] == fitted[name]
    assert accuracy["summary"] == measured["hc18"]["all"]
    assert {name: uncertainty[name] for name in fitted["facts"]} == fitted["facts"]
    assert {each["name"] for each in measured["served"]} == {facts["name"]}


def test_card_names_the_shipped_version_and_its_parameters():
    """The title and the number of parameters are those of the manifest."""
    shipped, card = load_manifest(SHIPPED_MODEL_DIR), CARD.read_text()
    assert card.splitlines()[0].endswith(f"{shipped.name}, version {shipped.version}")
    assert re.search(rf"\b{shipped.parameters:,} parameters", card)


def test_blocks_are_written_between_the_markers_and_nowhere_else(tmp_path, monkeypatch):
    """A document may have several blocks; the rest of its text stays."""
    names = ("first", "second")
    path = tmp_path / "page.md"
    path.write_text("a\n" + "".join("{}\nold\n{}\nb\n".format(*to_markers(n)) for n in names))
    monkeypatch.setattr(pages, "PLACES", [(name, path) for name in names])
    monkeypatch.setattr(pages, "read_blocks", lambda: {name: f"new {name}" for name in names})
    write_pages()
    text = path.read_text()
    assert [read_block(text, name) for name in names] == ["new first", "new second"]
    assert text.startswith("a\n<!-- first:begin -->")
    assert text.count("b\n") == 2
