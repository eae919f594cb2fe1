import json
from dataclasses import replace

from evaluation.planes import RESULT_NAME
from evaluation.planes_text import (
    BLOCK,
    DOCUMENT,
    JudgedHead,
    read_block,
    to_mistakes,
    to_table,
)
from harness.documents import read_block as read_between
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.model.manifest import HeadPlaneFacts, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

KINDS = {
    "head": {"pictures": 8, "found": 8, "acceptable": 6},
    "abdomen": {"pictures": 5, "found": 2, "acceptable": 1},
    "femur": {"pictures": 3, "found": 0, "acceptable": 0},
    "thorax": {"pictures": 2, "found": 1, "acceptable": 0},
}


def test_page_has_the_block_of_the_committed_results():
    """The block of the page is made from the committed results."""
    assert read_between(DOCUMENT.read_text(), BLOCK) == read_block()


def test_results_are_of_a_shipped_graph():
    """The figures are those of the graph that ships, not of an earlier one."""
    report = json.loads((EVALUATION_RESULTS_DIR / RESULT_NAME).read_text())
    graph = load_manifest(SHIPPED_MODEL_DIR).graphs[report["precision"]]
    assert report["model_sha256"] == graph.sha256


def test_counts_are_added_over_the_planes_without_a_head():
    """Ten pictures without a head, three of them found and one accepted; two heads refused."""
    limits = HeadPlaneFacts(acceptable_probability=0.8, minimum_probability=0.1)
    manifest = replace(load_manifest(SHIPPED_MODEL_DIR), head_plane=limits)
    judged = ((80, 0.05), (99.9, 0.5), (100, 0.79), (200, 0.8))
    heads = [JudgedHead(true_mm, probability) for true_mm, probability in judged]
    mistakes = to_mistakes(KINDS, heads, manifest).splitlines()
    assert "1 of 10 (10.0 %)" in mistakes[0]
    assert "3 of 10 (30.0 %)" in mistakes[1]
    assert "2 of 8 (25.0 %)" in mistakes[2]
    assert "1 of 4 (25.0 %) the probability of a head plane is below 0.1" in mistakes[3]
    assert "3 of 4 (75.0 %), these included, it is below 0.8" in mistakes[3]
    assert "2 of 2 (100.0 %) are not acceptable" in mistakes[4]
    assert "1 of 2 (50.0 %) get no number" in mistakes[4]
    assert "Of the larger heads, 1 of 2 (50.0 %) are not acceptable" in mistakes[4]
    assert to_table(KINDS).splitlines()[2] == "| heads | 8 | 8 | 6 | 75.0 |"
