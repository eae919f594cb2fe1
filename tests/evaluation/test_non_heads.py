from dataclasses import replace

import numpy as np
import pytest

from evaluation.non_heads import (
    cut_all,
    cut_corners,
    draw_pictures,
    find_limits,
    find_smallest_probability,
    load_photographs,
    measure,
)
from headcirc.geometry import Ellipse
from headcirc.model.manifest import HeadPlaneFacts
from headcirc.overlay import to_png
from headcirc.raster import to_ellipse_coverage
from tests.support.drawn_hc18 import write_image
from tests.support.synthetic import BrightnessBackend, draw_head, to_synthetic_pipeline

ROWS, COLUMNS = 540, 800
BLACK = np.zeros((ROWS, COLUMNS), np.uint8)
PLANE_FACTS = HeadPlaneFacts(acceptable_probability=0.85, minimum_probability=0.5)


@pytest.mark.parametrize("center", [(250.0, 200.0), (500.0, 350.0), (400.0, 270.0)])
def test_corners_never_show_the_head(center):
    """Corners beside a white head on black are black, and at least one is found."""
    head = Ellipse(*center, 160.0, 120.0, 0.4)
    frame = np.rint(255 * to_ellipse_coverage(head, ROWS, COLUMNS)).astype(np.uint8)
    corners = list(cut_corners(frame, head))
    assert corners
    assert max(int(corner.max()) for corner in corners) == 0


def test_a_head_that_fills_the_frame_leaves_no_corner():
    """If every corner would touch the head, no corner is cut."""
    head = Ellipse(399.5, 269.5, 390.0, 260.0, 0.0)
    assert list(cut_corners(np.zeros((ROWS, COLUMNS), np.uint8), head)) == []


def test_pictures_are_the_same_every_time():
    """The seeds are fixed: two runs agree, and every kind is present."""
    first, again = list(draw_pictures()), list(draw_pictures())
    assert {kind for kind, _ in first} == {"noise", "clouds", "ramps", "shapes"}
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert len(list(load_photographs())) == 15


def test_found_heads_are_counted():
    """A picture with a head counts; a black picture does not."""
    pipeline = to_synthetic_pipeline()
    counts = measure([(pipeline, "kind", each) for each in (draw_head(), BLACK)])["kind"]
    assert (counts["pictures"], counts["with_a_head"], counts["acceptable"]) == (2, 1, 1)
    assert counts["surest"] > 0.9


def test_heads_below_a_limit_are_not_counted_but_reported():
    """A head that the mask's limit or that of the plane excludes keeps its probability."""
    pipeline = to_synthetic_pipeline()
    strict = replace(pipeline.manifest.mask, minimum_mean_probability=1.1)
    other_plane = replace(pipeline, backend=BrightnessBackend(head_plane_probability=0.4))
    for limited in (
        replace(pipeline, manifest=replace(pipeline.manifest, mask=strict)),
        replace(other_plane, manifest=replace(pipeline.manifest, head_plane=PLANE_FACTS)),
    ):
        counts = measure([(limited, "kind", draw_head())])["kind"]
        assert (counts["with_a_head"], counts["acceptable"]) == (0, 0)
        assert counts["surest"] > 0.9
    assert limited.analyze(to_png(draw_head())).head is None


def test_each_picture_is_measured_by_its_own_model():
    """With different limits, one of two models finds the head."""
    pipeline = to_synthetic_pipeline()
    mask = replace(pipeline.manifest.mask, minimum_mean_probability=1.1)
    strict = replace(pipeline, manifest=replace(pipeline.manifest, mask=mask))
    counts = measure([(each, "kind", draw_head()) for each in (pipeline, strict)])["kind"]
    assert (counts["pictures"], counts["with_a_head"]) == (2, 1)
    assert find_limits([pipeline, strict, pipeline]) == [0.6, 1.1]


def test_corners_come_with_the_model_of_their_image(tmp_path):
    """A small head leaves all four corners; each is black."""
    pipelines = to_synthetic_pipeline(), to_synthetic_pipeline()
    small = Ellipse(400.0, 270.0, 80.0, 60.0, 0.5)
    images = [write_image(tmp_path, exam, small) for exam in (10, 11)]
    corners = list(cut_all(list(zip(pipelines, images, strict=True))))
    assert [pipeline is pipelines[1] for pipeline, _, _ in corners] == [False] * 4 + [True] * 4
    assert {int(corner.max()) for _, _, corner in corners} == {0}


def test_head_that_is_not_found_has_probability_0(tmp_path):
    """A picture whose head is not found counts as 0."""
    head, black = tmp_path / "head.png", tmp_path / "black.png"
    head.write_bytes(to_png(draw_head()))
    black.write_bytes(to_png(BLACK))
    pipeline = to_synthetic_pipeline()
    assert find_smallest_probability([(pipeline, head)]) > 0.9
    assert find_smallest_probability([(pipeline, head), (pipeline, black)]) == 0
