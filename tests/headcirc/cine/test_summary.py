import numpy as np
import pytest

from headcirc.answers import Head, HeadEllipse, Image, Interval, Quality
from headcirc.cine import summary
from headcirc.cine.answers import CineFrame, FrameFault
from headcirc.cine.summary import summarise_track, to_weighted_median

ELLIPSE = HeadEllipse(0.0, 0.0, 100.0, 80.0, 0.0)
IMAGE = Image(800, 540, 0.1, 0.1, "request")


def to_frame(
    index, value_mm, *, half_mm=3.0, acceptable=True, plane=0.99, level=0.9, has_head=True
):
    """Return the line of a frame that gave a circumference."""
    interval = None
    if value_mm is not None and half_mm is not None:
        interval = Interval(level, max(value_mm - half_mm, 0.0), value_mm + half_mm)
    head = Head(
        ellipse=ELLIPSE,
        head_circumference_px=500.0,
        area_mm2=None,
        head_circumference_mm=value_mm,
        head_circumference_raw_mm=value_mm,
        head_circumference_interval_mm=interval,
        biparietal_diameter_mm=None,
        occipitofrontal_diameter_mm=None,
        cephalic_index=None,
    )
    return CineFrame(
        frame=index,
        time_ms=40.0 * index,
        image=IMAGE,
        head=head if has_head else None,
        head_plane_probability=plane,
        quality=Quality(acceptable, ()),
        error=None,
    )


def to_track(values_mm, **facts):
    return [to_frame(index, value, **facts) for index, value in enumerate(values_mm)]


def to_damaged(index):
    return CineFrame(
        frame=index,
        time_ms=None,
        image=None,
        head=None,
        head_plane_probability=None,
        quality=None,
        error=FrameFault("unreadable-image", "damaged"),
    )


def to_half_mm(found):
    interval = found.head_circumference_interval_mm
    return (interval.high - interval.low) / 2


def test_equal_frames_give_their_circumference_and_the_interval_of_one():
    """A thousand copies of a frame say no more than the frame."""
    for count in (3, 30, 1000):
        found = summarise_track(to_track([180.0] * count))
        assert found.head_circumference_mm == 180.0
        assert to_half_mm(found) == pytest.approx(3.0)
        assert (found.frames_agreeing, found.frames_measured) == (count, count)


def test_outliers_move_no_number():
    """A plain average of these frames would be 30 mm off."""
    found = summarise_track(to_track([180.0, 180.5, 179.5, 181.0, 179.0, 300.0, 320.0]))
    assert found.head_circumference_mm == pytest.approx(180.5)
    assert (found.frames_agreeing, found.frames_measured) == (5, 7)
    assert found.code is None


def test_frames_that_are_not_acceptable_do_not_count():
    """However many there are."""
    good, bad = to_track([180.0] * 4), to_track([250.0] * 40, acceptable=False)
    found = summarise_track([*bad, *good])
    assert found.head_circumference_mm == 180.0
    assert (found.frames, found.frames_measured) == (44, 4)


def test_a_frame_with_a_narrow_interval_weighs_more():
    """One over the square of its half-width, as the variance of its error would."""
    frames = [*to_track([184.0] * 3, half_mm=6.0), *to_track([180.0], half_mm=2.0)]
    assert summarise_track(frames).head_circumference_mm == 180.0


def test_the_spread_between_frames_widens_the_interval():
    """Both parts in quadrature: 1.645 standard deviations, and one frame's half-width."""
    generator = np.random.default_rng(7)
    values = 180 + generator.normal(0, 2.0, 4001)
    found = summarise_track(to_track(values, half_mm=8.0))
    assert found.frame_spread_mm == pytest.approx(1.645 * 2.0, rel=0.05)
    assert to_half_mm(found) == pytest.approx(np.hypot(8.0, found.frame_spread_mm))
    assert found.head_circumference_interval_mm.level == 0.9


def test_the_interval_is_never_narrower_than_that_of_the_best_frame():
    """Whatever the frames: their errors are not independent."""
    generator = np.random.default_rng(3)
    for _ in range(200):
        count = int(generator.integers(3, 40))
        frames = [
            to_frame(index, value, half_mm=half)
            for index, (value, half) in enumerate(
                zip(
                    180 + generator.normal(0, 1, count),
                    generator.uniform(1.5, 6, count),
                    strict=False,
                )
            )
        ]
        found = summarise_track(frames)
        best = found.best.head_circumference_interval_mm
        assert to_half_mm(found) >= (best.high - best.low) / 2 - 1e-9


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (to_track([180.0, 181.0]), summary.TOO_FEW_FRAMES),
        (to_track([150.0, 165.0, 180.0, 195.0, 210.0]), summary.FRAMES_DISAGREE),
        (to_track([180.0] * 9, acceptable=False), summary.NO_ACCEPTABLE_FRAME),
        (to_track([None] * 9), summary.PIXEL_SIZE_MISSING),
        (to_track([None] * 9, has_head=False), summary.NO_HEAD_FOUND),
        ([to_damaged(0), to_damaged(1)], summary.NO_FRAME_READ),
    ],
)
def test_no_number_without_frames_that_agree(frames, code):
    """And a code that says why."""
    found = summarise_track(frames)
    assert found.head_circumference_mm is None
    assert found.head_circumference_interval_mm is None
    assert found.code == code


def test_two_heads_of_which_neither_prevails_give_no_number():
    """As many frames of one plane as of another."""
    found = summarise_track(to_track([150.0] * 5 + [200.0] * 5))
    assert found.code == summary.FRAMES_DISAGREE
    assert found.frames_agreeing == 0


def test_the_best_frame_agrees_and_has_the_narrowest_interval_for_its_size():
    """A confident frame beside the others is not the best."""
    frames = [
        to_frame(0, 180.0, half_mm=4.0),
        to_frame(1, 180.5, half_mm=2.5),
        to_frame(2, 181.0, half_mm=3.0),
        to_frame(3, 179.5, half_mm=3.0),
        to_frame(4, 240.0, half_mm=2.0),
        to_frame(5, 180.0, half_mm=1.0, acceptable=False),
    ]
    best = summarise_track(frames).best
    assert (best.frame, best.time_ms, best.agrees) == (1, 40.0, True)
    assert best.reason == summary.NARROWEST_AGREEING
    assert "narrowest interval" in best.detail


@pytest.mark.parametrize(
    ("frames", "index", "reason"),
    [
        (to_track([150.0, 200.0], half_mm=2.0), 1, summary.NARROWEST_ACCEPTABLE),
        (
            [to_frame(0, None, plane=0.8), to_frame(1, None, plane=0.9)],
            1,
            summary.MOST_LIKELY_ACCEPTABLE,
        ),
        (
            [to_frame(0, 180.0, plane=0.4, acceptable=False), to_damaged(1)],
            0,
            summary.NOT_ACCEPTABLE,
        ),
    ],
)
def test_the_reason_says_what_the_best_frame_is_best_of(frames, index, reason):
    best = summarise_track(frames).best
    assert (best.frame, best.reason) == (index, reason)


def test_no_best_frame_without_a_head():
    assert summarise_track(to_track([None] * 3, has_head=False)).best is None


def test_a_model_without_intervals_gives_a_number_without_one():
    """Frames agree within three per cent then."""
    found = summarise_track(to_track([180.0, 181.0, 182.0, 200.0], half_mm=None))
    assert found.head_circumference_mm == pytest.approx(181.5)
    assert found.head_circumference_interval_mm is None
    assert found.frames_agreeing == 3


def test_a_sites_level_is_kept():
    found = summarise_track(to_track([180.0] * 3, level=0.8))
    assert found.head_circumference_interval_mm.level == 0.8


def test_fewer_frames_than_stated_are_noted():
    """One frame, or two per cent, may be missing: containers round."""
    frames = to_track([180.0] * 90)
    assert summarise_track(frames, announced=91).warnings == ()
    assert summarise_track(frames, announced=100).warnings == (summary.CINE_CUT_OFF,)


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([1, 2, 3], [1, 1, 1], 2),
        ([3, 1, 2, 4], [1, 1, 1, 1], 2.5),
        ([1, 2, 3], [1, 1, 5], 3),
        ([5], [2], 5),
        ([1, 9], [3, 1], 1),
    ],
)
def test_weighted_median_has_half_of_the_weight_on_each_side(values, weights, expected):
    assert to_weighted_median(values, weights) == expected
