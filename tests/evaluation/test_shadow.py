import pytest

from evaluation.ellipse_fits import FITS
from evaluation.shadow import SHARES, judge, measure, plot, summarise
from tests.support.drawn_hc18 import HEAD_MM, write_image
from tests.support.synthetic import to_synthetic_pipeline


def to_fits(clean_mm, shadowed_mm):
    return {
        name: {
            str(share): {"mean_absolute_error_mm": shadowed_mm if share else clean_mm}
            for share in SHARES
        }
        for name in FITS
    }


@pytest.mark.parametrize(("shadowed_mm", "met"), [(3.9, True), (4.0, True), (4.1, False)])
def test_error_under_shadow_may_be_twice_the_clean_one(shadowed_mm, met):
    """Exactly twice the clean error still meets the limit."""
    verdict = judge(to_fits(2.0, shadowed_mm))
    assert verdict["met"] is met
    assert verdict["ratio_to_clean"] == pytest.approx(shadowed_mm / 2)


def test_plot_is_written(tmp_path):
    """The plot is written as a file."""
    path = tmp_path / "shadow.png"
    plot(to_fits(2.0, 3.0), "title", path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_every_fit_is_measured_at_every_share(tmp_path):
    """Without shadow, every fit of a drawn head is right to 1 %; 40 % shadow makes it smaller."""
    errors_mm = measure([(to_synthetic_pipeline(), write_image(tmp_path, 10))])
    assert set(errors_mm) == set(FITS)
    for by_share in errors_mm.values():
        assert list(by_share) == [str(share) for share in SHARES]
        (clean_mm,), (shadowed_mm,) = by_share["0.0"], by_share["0.4"]
        assert abs(clean_mm) < 0.01 * HEAD_MM
        assert not shadowed_mm > clean_mm


def test_missing_answer_improves_no_row():
    """An image that one fit misses at one share is left out everywhere, and counted."""
    errors_mm = {name: {str(share): [1.0, 9.0] for share in SHARES} for name in FITS}
    errors_mm["least squares"]["0.3"] = [1.0, float("nan")]
    found = summarise(errors_mm)
    assert (found["compared"], found["left_out"]) == (1, 1)
    for name, by_share in found["fits"].items():
        for share, summary in by_share.items():
            assert summary["mean_absolute_error_mm"] == 1
            assert summary["no_answer"] == ((name, share) == ("least squares", "0.3"))


def test_without_an_image_to_compare_there_is_no_report():
    """Means over no image would be no figures."""
    errors_mm = {name: {str(share): [float("nan")] for share in SHARES} for name in FITS}
    with pytest.raises(ValueError, match="No image"):
        summarise(errors_mm)
