import io
import math

import numpy as np
import pytest
from PIL import Image

from headcirc.caption import UNRELIABLE_RGB
from headcirc.geometry import Ellipse, to_ellipse_perimeter
from headcirc.overlay import ELLIPSE_RGB, UNRELIABLE_ELLIPSE_RGB
from tests.support.synthetic import HEAD, draw_head, to_file

CONTENT = to_file(draw_head())


def post(client, route="/v1/analyses", content=CONTENT, **fields):
    return client.post(route, files={"image": ("scan.png", content)}, data=fields)


def test_analysis_has_the_contract_s_fields_and_the_true_size(client):
    """A drawn head measures its circumference, and every field of the contract is there."""
    answer = post(client, pixel_size_mm="0.13")
    assert answer.status_code == 201
    body = answer.json()
    expected_mm = 0.13 * to_ellipse_perimeter(220, 170)
    head = body["head"]
    assert head["head_circumference_mm"] == pytest.approx(expected_mm, rel=0.003)
    assert head["biparietal_diameter_mm"] == pytest.approx(0.13 * 340, rel=0.004)
    assert head["occipitofrontal_diameter_mm"] == pytest.approx(0.13 * 440, rel=0.004)
    assert head["cephalic_index"] == pytest.approx(170 / 220, rel=0.004)
    assert head["area_mm2"] == pytest.approx(math.pi * 220 * 170 * 0.13**2, rel=0.006)
    assert head["ellipse"]["center_x_px"] == pytest.approx(HEAD.center_x_px, abs=0.5)
    assert head["ellipse"]["angle_deg"] == pytest.approx(math.degrees(HEAD.angle_rad), abs=1)
    assert head["head_circumference_interval_mm"] is None
    assert body["gestational_age"]["hadlock_1984"]["text"] == "18w6d"
    assert body["growth"] is None
    assert body["image"] == {
        "width_px": 800,
        "height_px": 540,
        "orientation": 1,
        "pixel_size_x_mm": 0.13,
        "pixel_size_y_mm": 0.13,
        "pixel_size_source": "request",
        "dicom": None,
        "pixel_size_confidence": None,
    }
    assert body["quality"] == {"acceptable": True, "warnings": []}
    assert set(body["timing_ms"]) == {
        "decode", "preprocess", "queue", "inference", "postprocess", "total",
    }  # fmt: skip
    assert answer.headers["location"] == body["links"]["self"] == f"/v1/analyses/{body['id']}"


def test_repeated_question_costs_no_inference(client, pipeline):
    """The second answer is 200, the same body, and the network was not run again."""
    first = post(client, pixel_size_mm="0.13")
    calls = len(pipeline.backend.calls)
    second = post(client, pixel_size_mm="0.13")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert len(pipeline.backend.calls) == calls


def test_other_pixel_size_is_another_question(client):
    """The id depends on what was stated."""
    first = post(client, pixel_size_mm="0.13").json()
    assert post(client, pixel_size_mm="0.14").json()["id"] != first["id"]


def test_unequal_pixels_are_mapped_as_a_whole(client):
    """A circle of pixels 0.1 mm wide and 0.2 mm high is an ellipse twice as high as wide."""
    content = to_file(draw_head(Ellipse(400, 270, 150, 150, 0)))
    fields = {"pixel_size_x_mm": "0.1", "pixel_size_y_mm": "0.2"}
    head = post(client, content=content, **fields).json()["head"]
    assert head["occipitofrontal_diameter_mm"] == pytest.approx(60, rel=0.005)
    assert head["biparietal_diameter_mm"] == pytest.approx(30, rel=0.005)


def test_kept_analysis_and_its_pictures_can_be_fetched(client):
    """Body, mask and overlay come back; the mask is 0 or 255 in the picture's own size."""
    body = post(client, pixel_size_mm="0.13").json()
    links = body["links"]
    assert client.get(links["self"]).json() == body
    mask = Image.open(io.BytesIO(client.get(links["mask"]).content))
    assert (mask.mode, mask.size) == ("L", (800, 540))
    pixels = np.asarray(mask)
    assert set(np.unique(pixels)) == {0, 255}
    assert (pixels > 0).sum() == pytest.approx(math.pi * 220 * 170, rel=0.01)
    overlay = Image.open(io.BytesIO(client.get(links["overlay"]).content))
    assert (overlay.mode, overlay.width) == ("RGB", 800)
    assert overlay.height > 540
    number = client.get(links["head_circumference"]).json()
    assert number["head_circumference_mm"] == body["head"]["head_circumference_mm"]


def read_pixels(client, link: str, **query: str) -> np.ndarray:
    answer = client.get(link, params=query)
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_caption_stands_below_the_overlay_and_can_be_left_out(client):
    """The picture is the same to the last pixel; the caption adds rows and no columns."""
    link = post(client, pixel_size_mm="0.13").json()["links"]["overlay"]
    captioned, bare = read_pixels(client, link), read_pixels(client, link, caption="false")
    assert bare.shape == (540, 800, 3)
    assert captioned.shape[1] == 800
    assert (captioned[:540] == bare).all()
    assert len(captioned) > 560
    assert (read_pixels(client, link, caption="true") == captioned).all()
    refused = client.get(link, params={"caption": "perhaps"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid-parameter")


def test_overlay_of_an_unreliable_result_looks_unreliable(client):
    """With an implausible pixel size the same head is drawn in another colour, and so captioned."""
    links = [post(client, pixel_size_mm=each).json()["links"] for each in ("0.13", "2")]
    colors = {ELLIPSE_RGB: [], UNRELIABLE_ELLIPSE_RGB: [], UNRELIABLE_RGB: []}
    for each in links:
        overlay = read_pixels(client, each["overlay"])
        for color, counts in colors.items():
            counts.append(np.count_nonzero((overlay == color).all(axis=2)))
    assert [bool(count) for count in colors[ELLIPSE_RGB]] == [True, False]
    assert [bool(count) for count in colors[UNRELIABLE_ELLIPSE_RGB]] == [False, True]
    assert [bool(count) for count in colors[UNRELIABLE_RGB]] == [False, True]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_picture_that_was_measured_is_upright_and_says_how_it_was_turned(client, kind, orientation):
    """Bright where the ellipse is, at every orientation and in every format that carries one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = to_file(draw_head(Ellipse(200.0, 150.0, 90.0, 60.0, 0.5)), kind, exif=exif)
    body = post(client, content=content).json()
    assert body["image"]["orientation"] == orientation
    picture = read_pixels(client, body["links"]["image"])
    assert picture.shape == (body["image"]["height_px"], body["image"]["width_px"])
    ellipse = body["head"]["ellipse"]
    x, y = round(ellipse["center_x_px"]), round(ellipse["center_y_px"])
    assert picture[y, x] > 200
    assert picture[y, picture.shape[1] - 1 - x] < 50
    assert picture[picture.shape[0] - 1 - y, x] < 50


def test_upright_size_is_told_for_a_picture_stored_on_its_side(client):
    """EXIF orientation is applied before anything is measured or drawn."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = to_file(draw_head(), "JPEG", exif=exif, quality=95)
    body = post(client, content=content, pixel_size_mm="0.13").json()
    assert (body["image"]["width_px"], body["image"]["height_px"]) == (540, 800)
    mask = Image.open(io.BytesIO(client.get(body["links"]["mask"]).content))
    assert mask.size == (540, 800)


def test_without_pixel_size_millimetres_are_null(client):
    """The head is there in pixels; its millimetres are null and a warning says why."""
    answer = post(client)
    body = answer.json()
    assert answer.status_code == 201
    assert body["head"]["head_circumference_mm"] is None
    assert body["head"]["area_mm2"] is None
    assert body["image"]["pixel_size_source"] is None
    assert "pixel-size-missing" in body["quality"]["warnings"]
    problem = client.get(body["links"]["head_circumference"])
    assert (problem.status_code, problem.json()["code"]) == (409, "pixel-size-missing")


def test_no_head_is_a_result_and_its_pictures_are_empty(client):
    """A black picture gives head null, an all-zero mask and the frame over its caption."""
    body = post(client, content=to_file(np.zeros((54, 80), np.uint8)), pixel_size_mm="0.1").json()
    assert body["head"] is None
    assert body["quality"] == {"acceptable": False, "warnings": ["no-head-found"]}
    mask = np.asarray(Image.open(io.BytesIO(client.get(body["links"]["mask"]).content)))
    assert not mask.any()
    overlay = np.asarray(Image.open(io.BytesIO(client.get(body["links"]["overlay"]).content)))
    assert not overlay[:54].any()
    assert overlay[54:].any()
    problem = client.get(body["links"]["head_circumference"])
    assert (problem.status_code, problem.json()["code"]) == (409, "no-head-found")


def test_one_shot_routes_answer_at_once(client):
    """Number and mask come without a second request."""
    number = post(client, "/v1/head-circumference", pixel_size_mm="0.13")
    assert number.status_code == 200
    expected_mm = 0.13 * to_ellipse_perimeter(220, 170)
    assert number.json()["head_circumference_mm"] == pytest.approx(expected_mm, rel=0.003)
    mask = post(client, "/v1/mask")
    assert (mask.status_code, mask.headers["content-type"]) == (200, "image/png")


def test_one_shot_routes_refuse_what_they_cannot_promise(client):
    """No head, or no pixel size, is 422 where a number was promised."""
    black = to_file(np.zeros((54, 80), np.uint8))
    for route in ("/v1/head-circumference", "/v1/mask"):
        problem = post(client, route, black, pixel_size_mm="0.1")
        assert (problem.status_code, problem.json()["code"]) == (422, "no-head-found")
    problem = post(client, "/v1/head-circumference")
    assert (problem.status_code, problem.json()["code"]) == (422, "pixel-size-missing")


def test_nothing_is_kept_when_the_time_to_live_is_zero(make_client):
    """With TTL 0 the answer comes, and asking for it again is 404."""
    client = make_client(result_ttl_s=0)
    body = post(client, pixel_size_mm="0.13").json()
    assert client.get(body["links"]["self"]).status_code == 404
    assert post(client, pixel_size_mm="0.13").status_code == 201
