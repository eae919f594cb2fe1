import pytest

from evaluation.planes import count, measure, read_probabilities
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.pipeline import load_pipeline
from training.data.planes import load_planes


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline()


def test_every_plane_has_an_out_of_fold_probability(planes_dir):
    """The committed table lists all planes."""
    probabilities = read_probabilities(EVALUATION_RESULTS_DIR / "head_plane_held_out.csv")
    assert {plane.file for plane in load_planes(planes_dir)} <= probabilities.keys()


def test_probability_of_the_table_decides(pipeline, planes_dir):
    """A head whose plane is called another is not found, and one called a head is."""
    head = next(plane for plane in load_planes(planes_dir) if plane.kind == "head")
    assert measure(pipeline, [head], {head.file: 0.0})["head"] == count([]) | {"pictures": 1}
    assert measure(pipeline, [head], {head.file: 1.0})["head"]["found"] == 1
