"""The pixel size from the depth scale in the picture, over HTTP."""

import numpy as np
import pytest

from headcirc.geometry import Ellipse, to_ellipse_perimeter
from tests.support.depth_scale import COLUMNS, ROWS, draw_scale
from tests.support.synthetic import draw_head, to_file

HEAD = Ellipse(500.0, 320.0, 220.0, 170.0, 0.5)
PICTURE = draw_head(HEAD, rows=ROWS, columns=COLUMNS)
SCALED = to_file(draw_scale(40.0, pixels=PICTURE, long_every=10))
PLAIN = to_file(PICTURE)


def post(client, route="/v1/analyses", content=SCALED, **fields):
    return client.post(route, files={"image": ("scan.png", content)}, data=fields)


def test_pixel_size_is_found_by_the_depth_scale(client):
    """Marks 5 mm and 40 px apart make a pixel 0.125 mm; the answer says where it is from."""
    body = post(client, scale_mark_mm="5").json()
    image = body["image"]
    assert image["pixel_size_x_mm"] == image["pixel_size_y_mm"] == pytest.approx(0.125, rel=2e-3)
    assert image["pixel_size_source"] == "scale-bar"
    assert 0.95 <= image["pixel_size_confidence"] <= 1
    expected_mm = 0.125 * to_ellipse_perimeter(220, 170)
    assert body["head"]["head_circumference_mm"] == pytest.approx(expected_mm, rel=0.01)


def test_result_with_a_scale_is_kept_like_others(client):
    """The id depends on the stated distance; the kept result is the same."""
    first = post(client, scale_mark_mm="5").json()
    assert client.get(first["links"]["self"]).json() == first
    assert post(client, pixel_size_mm="0.125").json()["id"] != first["id"]
    assert post(client, scale_mark_mm="5").status_code == 200


@pytest.mark.parametrize(
    ("content", "fields", "code", "words"),
    [
        (PLAIN, {"scale_mark_mm": "5"}, "scale-bar-not-found", "No depth scale was found"),
        (SCALED, {"scale_mark_mm": "10"}, "scale-bar-not-found", "suggest 5 mm"),
        (SCALED, {"scale_mark_mm": "0"}, "invalid-pixel-size", "0.5 to 100 mm"),
        (SCALED, {"scale_mark_mm": "nan"}, "invalid-pixel-size", "0.5 to 100 mm"),
        (SCALED, {"scale_mark_mm": "wide"}, "invalid-pixel-size", "scale_mark_mm must be"),
        (
            SCALED,
            {"scale_mark_mm": "5", "pixel_size_mm": "0.1"},
            "invalid-pixel-size",
            "Both a pixel size and scale_mark_mm",
        ),
        (SCALED, {"scale_mark_mm": ["5", "5"]}, "invalid-pixel-size", "more than once"),
    ],
)
def test_scale_that_cannot_be_used_is_refused(client, content, fields, code, words):
    """There is no millimetre from a scale that is not certain, or was stated otherwise."""
    answer = post(client, content=content, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert words in answer.json()["detail"]


def test_empty_field_counts_as_left_out(client):
    """As for every field of the form."""
    assert post(client, scale_mark_mm="").json()["image"]["pixel_size_source"] is None


def test_proposal_says_where_the_marks_are(client):
    """The rows of the marks, their distance and a suggestion; nothing is measured or kept."""
    body = post(client, "/v1/scale-bar").json()
    assert (body["width_px"], body["height_px"], body["orientation"]) == (COLUMNS, ROWS, 1)
    found = body["depth_scale"]
    assert found["spacing_px"] == pytest.approx(40.0, rel=2e-3)
    assert found["suggested_mark_mm"] == 5.0
    assert np.diff(found["marks_px"]) == pytest.approx(40.0, abs=1.0)
    assert 26 <= found["column_px"] <= 32


def test_without_certainty_there_is_no_proposal(client):
    """A picture without a scale has none."""
    answer = post(client, "/v1/scale-bar", PLAIN)
    assert (answer.status_code, answer.json()["depth_scale"]) == (200, None)


def test_proposal_of_no_picture_is_refused(client):
    """As of the routes that measure."""
    assert post(client, "/v1/scale-bar", b"text").status_code == 415
