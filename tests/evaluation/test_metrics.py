import math

import numpy as np
import pytest

from evaluation.metrics import (
    BIN_EDGES_MM,
    Confusion,
    count_confusion,
    measure_areas_under_curves,
    measure_surface_distances,
    summarise_errors,
    summarise_errors_by_bin,
    to_bin_members,
)
from headcirc.agreement.estimates import estimate
from headcirc.geometry import Ellipse, PixelSpacing
from headcirc.raster import to_ellipse_coverage

UNEQUAL = PixelSpacing(row_mm=0.2, column_mm=0.1)


def square(top, left, side=20, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_identical_masks_agree_in_every_figure():
    """A mask compared with itself has every overlap 1 and every distance 0."""
    mask = square(10, 10)
    confusion = count_confusion(mask, mask)
    assert (confusion.dice, confusion.iou, confusion.precision, confusion.recall) == (1, 1, 1, 1)
    distances = measure_surface_distances(mask, mask, UNEQUAL)
    assert (distances.hausdorff_mm, distances.hausdorff_95_mm, distances.average_mm) == (0, 0, 0)


def test_disjoint_masks_have_no_overlap():
    """Masks that share no pixel have Dice, IoU, precision and recall 0."""
    confusion = count_confusion(square(0, 0), square(30, 40))
    assert (confusion.dice, confusion.iou, confusion.precision, confusion.recall) == (0, 0, 0, 0)


def test_confusion_counts_every_pixel_once():
    """A 20 x 20 square moved by 5 columns shares 300 pixels and misses 100 on either side."""
    confusion = count_confusion(square(10, 15), square(10, 10))
    assert confusion == Confusion(300, 100, 100, 60 * 80 - 500)
    assert confusion.dice == pytest.approx(600 / 800)
    assert confusion.iou == pytest.approx(300 / 500)
    assert confusion.precision == confusion.recall == pytest.approx(0.75)


def test_masks_of_different_size_are_refused():
    """Masks of different shapes are never broadcast."""
    with pytest.raises(ValueError, match="different shapes"):
        count_confusion(np.ones((1, 80), bool), square(0, 0))


def test_empty_masks_have_dice_0_and_no_distance():
    """Without a prediction, Dice is 0; precision and distances are not measured."""
    empty, truth = np.zeros((60, 80), bool), square(10, 10)
    confusion = count_confusion(empty, truth)
    assert (confusion.dice, confusion.iou, confusion.precision, confusion.recall) == (0, 0, None, 0)
    assert count_confusion(empty, empty).dice == 0
    assert count_confusion(truth, empty).recall is None
    assert measure_surface_distances(empty, truth, UNEQUAL) is None
    assert measure_surface_distances(truth, empty, UNEQUAL) is None


@pytest.mark.parametrize(
    ("down", "right", "away_mm"), [(4, 0, 0.8), (0, 4, 0.4), (3, 8, math.hypot(0.6, 0.8))]
)
def test_hausdorff_of_a_shifted_square_follows_the_pixel_spacing(down, right, away_mm):
    """The distance is that of the shift, with rows and columns in their own mm."""
    moved = measure_surface_distances(square(10 + down, 10 + right), square(10, 10), UNEQUAL)
    assert moved.hausdorff_mm == pytest.approx(away_mm)
    assert 0 < moved.average_mm < moved.hausdorff_95_mm <= moved.hausdorff_mm


def test_single_pixels_have_the_distance_between_them():
    """For two pixels 3 rows and 4 columns apart, all distances are equal."""
    first, second = square(10, 10, side=1), square(13, 14, side=1)
    distances = measure_surface_distances(first, second, UNEQUAL)
    expected = math.hypot(3 * 0.2, 4 * 0.1)
    assert distances.hausdorff_mm == pytest.approx(expected)
    assert distances.hausdorff_95_mm == pytest.approx(expected)
    assert distances.average_mm == pytest.approx(expected)


def test_edges_of_concentric_discs_are_a_radius_apart():
    """Concentric discs of 30 and 40 pixels are 10 pixels apart, to half a pixel."""
    discs = [to_ellipse_coverage(Ellipse(50, 50, r, r, 0), 101, 101) > 0.5 for r in (30, 40)]
    distances = measure_surface_distances(*discs, PixelSpacing(0.1, 0.1))
    assert distances.average_mm == pytest.approx(1.0, abs=0.05)
    assert distances.hausdorff_mm == pytest.approx(1.0, abs=0.1)


def test_the_95_percent_hausdorff_ignores_a_spike():
    """A thin spike moves the Hausdorff distance but not its 95th percentile."""
    truth = square(10, 10, side=40)
    spiked = truth.copy()
    spiked[30, 50:70] = True
    spacing = PixelSpacing(1.0, 1.0)
    distances = measure_surface_distances(spiked[:, :52], truth[:, :52], spacing)
    assert distances.hausdorff_mm == 2
    assert distances.hausdorff_95_mm == 0
    assert measure_surface_distances(spiked, truth, spacing).hausdorff_mm == 20


def test_a_frame_filled_by_the_head_has_its_border_as_edge():
    """Outside the frame there is no head, so a full mask still has an edge."""
    full = np.ones((10, 10), bool)
    assert measure_surface_distances(full, full, UNEQUAL).hausdorff_mm == 0


def test_areas_under_curves_of_known_orders():
    """A perfect order has areas 1; the reverse has ROC 0; one constant value has ROC 0.5."""
    truth = np.array([[True, True], [False, False]])
    perfect = measure_areas_under_curves(truth.astype(np.float32), truth)
    assert (perfect.roc, perfect.precision_recall) == (1, 1)
    assert measure_areas_under_curves(1 - truth.astype(np.float32), truth).roc == 0
    flat = measure_areas_under_curves(np.full((2, 2), 0.3, np.float32), truth)
    assert (flat.roc, flat.precision_recall) == (0.5, 0.5)


def test_areas_under_curves_need_both_kinds_of_pixel():
    """A frame with only head or no head has no areas."""
    scores = np.zeros((2, 2), np.float32)
    assert measure_areas_under_curves(scores, np.ones((2, 2), bool)) is None
    assert measure_areas_under_curves(scores, np.zeros((2, 2), bool)) is None


def test_error_statistics_of_hand_worked_numbers():
    """Errors -2, 0, 2, 4: bias 1, SD sqrt(20/3), limits 1 -+ 1.96 SD, absolute ones 2."""
    summary = {
        name: each.value for name, each in summarise_errors([-2, 0, 2, 4], [1, 2, 3, 4]).items()
    }
    deviation = math.sqrt(20 / 3)
    assert summary["bias_mm"] == pytest.approx(1)
    assert summary["mean_absolute_error_mm"] == pytest.approx(2)
    assert summary["median_absolute_error_mm"] == pytest.approx(2)
    assert summary["standard_deviation_mm"] == pytest.approx(deviation)
    assert summary["limit_of_agreement_low_mm"] == pytest.approx(1 - 1.96 * deviation)
    assert summary["limit_of_agreement_high_mm"] == pytest.approx(1 + 1.96 * deviation)
    assert summary["absolute_error_95th_percentile_mm"] == pytest.approx(3.7)
    assert summary["worst_absolute_error_mm"] == 4


def test_images_without_answer_are_left_out_and_counted():
    """None does not change the mean but is counted."""
    mean = estimate([1.0, None, 3.0, math.nan], [1, 2, 3, 4])
    assert (mean.value, mean.n, mean.exams, mean.excluded) == (2.0, 2, 2, 2)


def test_nothing_measured_gives_no_figure():
    """Without a value there is no mean, and with one value no deviation."""
    nothing = estimate([None, None], [1, 2])
    assert (nothing.value, nothing.low, nothing.high, nothing.excluded) == (None, None, None, 2)
    single = summarise_errors([1.5], [7])
    assert single["bias_mm"].value == 1.5
    assert single["standard_deviation_mm"].value is None
    assert single["limit_of_agreement_low_mm"].value is None


def test_images_of_an_exam_are_drawn_together():
    """With one exam every resample is the whole sample, so the interval has no width."""
    values = [1.0, 5.0, 9.0]
    together = estimate(values, [10, 10, 10])
    assert together.low == together.high == together.value == 5
    apart = estimate(values, [1, 2, 3])
    assert apart.low < 5 < apart.high


def test_paired_exams_widen_the_interval():
    """Twenty images of ten exams give a wider interval than twenty of twenty."""
    values = np.repeat(np.arange(10.0), 2)
    by_exam = estimate(values, np.repeat(np.arange(10), 2))
    by_image = estimate(values, np.arange(20))
    assert by_exam.high - by_exam.low > 1.2 * (by_image.high - by_image.low)


def test_same_seed_gives_the_same_interval():
    """The interval is the same in every run and changes with the seed."""
    values, exams = np.random.default_rng(0).normal(size=30), np.arange(30) // 2
    assert estimate(values, exams) == estimate(values, exams)
    assert estimate(values, exams) != estimate(values, exams, seed=1)


def test_the_interval_of_a_mean_is_near_the_normal_one():
    """For 400 independent values the half width is 1.96 standard errors, to 10 %."""
    values = np.random.default_rng(3).normal(size=400)
    mean = estimate(values, np.arange(400))
    half = 1.96 * values.std(ddof=1) / 20
    assert (mean.high - mean.low) / 2 == pytest.approx(half, rel=0.1)


def test_band_includes_its_lower_edge():
    """100.0 mm is in [100, 150), 99.9 in [0, 100), 300.0 and 346.4 in the last band."""
    members = [each.tolist() for each in to_bin_members([99.9, 100.0, 149.9, 150.0, 300.0, 346.4])]
    assert members == [[0], [1, 2], [3], [], [], [4, 5]]


def test_bands_count_every_image_once():
    """Each band has its own images and errors; the last band has no upper edge."""
    bins = summarise_errors_by_bin([100.0, 120.0, 260.0], [1.0, None, -3.0], [1, 2, 3])
    assert [each.images for each in bins] == [0, 2, 0, 0, 1, 0]
    assert [each.low_mm for each in bins] == list(BIN_EDGES_MM[:-1])
    assert bins[-1].high_mm is None
    assert bins[1].errors["bias_mm"].value == 1.0
    assert bins[1].errors["bias_mm"].excluded == 1
    assert bins[4].errors["mean_absolute_error_mm"].value == 3.0
    assert bins[0].errors["bias_mm"].value is None
