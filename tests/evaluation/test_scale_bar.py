"""The measurement of the search for depth scales counts what it says."""

import json
from pathlib import Path

import pytest

from evaluation.scale_bar import MARKS, MarkedFrame, count_false, judge, load_marked, main
from headcirc.readers import decode_frame
from headcirc.scale_bar import find_scale_bar
from tests.support.depth_scale import COLUMNS, ROWS, draw_scale
from tests.support.synthetic import draw_head, to_file


@pytest.fixture
def drawn(tmp_path):
    """Two files: with marks 40 px apart, and without any."""
    head = draw_head(rows=ROWS, columns=COLUMNS)
    paths = tmp_path / "scaled.png", tmp_path / "plain.png"
    paths[0].write_bytes(to_file(draw_scale(40.0, pixels=head)))
    paths[1].write_bytes(to_file(head))
    return paths


def test_right_wrong_and_false_distances_are_counted(drawn):
    """Against 40 px it is right, against 30 px found and wrong, against none false."""
    scaled, plain = drawn
    frames = [MarkedFrame(scaled, "fit", 40.0), MarkedFrame(scaled, "fit", 30.0)]
    frames += [MarkedFrame(scaled, "fit", None), MarkedFrame(plain, "fit", 40.0)]
    figures = judge(frames)
    assert figures["largest_difference_percent"] == pytest.approx(100 / 3, rel=0.02)
    del figures["largest_difference_percent"], figures["mean_difference_percent"]
    assert figures == {
        "frames": 4,
        "with_scale": 3,
        "found": 2,
        "within_1_percent": 1,
        "found_where_none_is_legible": 1,
    }
    assert count_false(drawn) == {"frames": 2, "found": 1}


def test_table_is_complete():
    """160 frames, each once; the distance is that of the marked rows."""
    marked = load_marked(Path())
    assert len({each.path for each in marked}) == len(marked) == 160
    assert sum(each.spacing_px is not None for each in marked if each.part == "fit") >= 100
    for line in MARKS.read_text().splitlines()[1:]:
        *_, first, last, intervals, spacing = line.split(",")
        if spacing:
            distance = (float(last) - float(first)) / int(intervals)
            assert float(spacing) == pytest.approx(distance, abs=0.02)


@pytest.mark.parametrize("number", range(0, 160, 16))
def test_marked_frames_are_found(planes_dir, number):
    """Every sixteenth frame: the distance is within 1 % of the marked one, or there is none."""
    frame = load_marked(planes_dir)[number]
    found = find_scale_bar(decode_frame(frame.path.read_bytes()).pixels)
    if frame.spacing_px is None:
        assert found is None
    else:
        assert found is not None
        assert found.spacing_px == pytest.approx(frame.spacing_px, rel=0.01)


def test_committed_report_says_what_was_measured():
    """It covers all frames; no false scale and no wrong distance was found."""
    report = json.loads(Path("evaluation/results/scale_bar.json").read_text())
    assert report["hc18"]["frames"] >= 1100
    assert report["hc18"]["found"] == 0
    for part in report["parts"].values():
        assert part["within_1_percent"] == part["found"]


@pytest.mark.slow
def test_measurement_runs_on_a_part(planes_dir, tmp_path):
    """With `--every 40` it measures a few frames and writes its report."""
    assert (
        main(["--every", "40", "--out", str(tmp_path), "--data", str(planes_dir.parent / "hc18")])
        == 0
    )
    assert json.loads((tmp_path / "scale_bar.json").read_text())["hc18"]["found"] == 0
