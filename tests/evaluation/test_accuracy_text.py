import json

import pytest

from evaluation.accuracy_text import (
    BLOCK,
    CARD_DIR,
    DOCUMENTS,
    PARTS,
    read_block,
    to_acceptable_line,
)
from evaluation.unseen_exams import SPLIT_MODEL_DIR
from harness.documents import read_block as read_between
from harness.documents import replace_block
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR


@pytest.mark.parametrize("path", DOCUMENTS, ids=["page", "model card"])
def test_documents_have_the_block_of_the_committed_results(path):
    """The block of the page and of the model card is made from the committed results."""
    assert read_between(path.read_text(), BLOCK) == read_block()


@pytest.mark.parametrize(
    ("card_dir", "folder"),
    [(CARD_DIR, SHIPPED_MODEL_DIR), (SPLIT_MODEL_DIR, SPLIT_MODEL_DIR)],
    ids=["shipped", "split"],
)
def test_titles_name_the_version(card_dir, folder):
    """The title of a model card has the version of its manifest."""
    title = (card_dir / "README.md").read_text().splitlines()[0]
    assert title.endswith(f"attention-resunet-16, version {load_manifest(folder).version}")


def test_card_states_the_parameters_of_the_shipped_model():
    """The model card counts the head-plane output, as the manifest does."""
    parameters = load_manifest(SHIPPED_MODEL_DIR).parameters
    assert f" {parameters:,} parameters" in (CARD_DIR / "README.md").read_text()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("folder", [SHIPPED_MODEL_DIR, SPLIT_MODEL_DIR], ids=["shipped", "split"])
def test_manifests_hold_the_committed_results(folder, part):
    """Both manifests have the figures that `evaluation.accuracy` wrote last."""
    measured = json.loads((EVALUATION_RESULTS_DIR / f"accuracy_{part}.json").read_text())
    recorded = load_manifest(folder).accuracy[part]
    for name in ("date", "data", "summary", "bins"):
        assert recorded[name] == measured[name]


def test_errors_of_acceptable_answers_are_separate():
    """Three acceptable answers and one other; the figures are computed by hand."""
    rows = [
        {"acceptable": str(acceptable), "error_mm": error_mm}
        for acceptable, error_mm in ((True, "1.0"), (True, "-2.0"), (True, "4.0"), (False, "9.5"))
    ]
    assert to_acceptable_line(rows) == (
        "The 3 test answers marked as acceptable: mean absolute error 2.33 mm, signed error "
        "+1.00 mm, worst 4.0 mm. The 1 others: 9.50 mm, +9.50 mm, worst 9.5 mm."
    )


def test_a_block_is_replaced_and_nothing_else():
    """Text around the markers stays; writing twice changes nothing more."""
    text = "before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n"
    once = replace_block(text, "x", "new")
    assert once == "before\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nafter\n"
    assert replace_block(once, "x", "new") == once
    assert read_between(once, "x") == "new"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- x:begin -->",
        "<!-- x:end --><!-- x:begin -->",
        "<!-- x:begin --><!-- x:end -->" * 2,
    ],
)
def test_missing_or_doubled_markers_are_refused(text):
    """Without exactly one pair of markers in order, the document is not changed."""
    with pytest.raises(ValueError, match="x:begin"):
        replace_block(text, "x", "new")
