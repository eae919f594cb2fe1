import numpy as np
import pytest

from headcirc.agreement.estimates import to_conformal_quantile, to_share


def test_conformal_quantile_of_single_images_is_the_textbook_one():
    """For n exams of one image it is the score of rank ceil((n + 1) level)."""
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 100.0))
    assert to_conformal_quantile(scores, list(range(99)), 0.9) == 90
    assert to_conformal_quantile(scores[:9], list(range(9)), 0.9) == scores[:9].max()


def test_exams_have_equal_weight_whatever_their_number_of_images():
    """Twenty large scores of one exam weigh as much as one exam."""
    scores = np.concatenate((np.arange(19.0), np.full(20, 99.0)))
    exams = [*range(19), *[19] * 20]
    assert to_conformal_quantile(scores, exams, 0.9) == 18
    assert to_conformal_quantile(scores, list(range(39)), 0.9) == 99


def test_too_few_exams_are_refused():
    """Eight exams are too few for a level of 90 %."""
    with pytest.raises(ValueError, match="8 exams"):
        to_conformal_quantile(np.arange(8.0), list(range(8)), 0.9)


def test_share_has_wilsons_interval():
    """By hand (Wilson 1927): 81 of 263 is 30.8 %, 25.5 to 36.6 %; the bounds stay in 0 to 1."""
    share = to_share(81, 263)
    assert (share.share, share.low, share.high) == pytest.approx((0.308, 0.2553, 0.3662), abs=1e-3)
    assert to_share(0, 10).low == 0
    assert to_share(10, 10).high == pytest.approx(1)
    assert to_share(0, 0).share is None
