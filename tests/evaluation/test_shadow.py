import pytest

from evaluation.ellipse_fits import FITS
from evaluation.shadow import SHARES, judge, main, measure, plot
from tests.support.synthetic import to_synthetic_pipeline
from training.data.hc18 import load_part


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


def test_every_fit_is_measured_at_every_share(hc18_dir):
    """With two images, each fit has a summary for each share."""
    fits = measure(to_synthetic_pipeline(), load_part(hc18_dir, "train")[:2])
    assert set(fits) == set(FITS)
    assert all(set(by_share) == {str(share) for share in SHARES} for by_share in fits.values())


def test_a_part_must_be_named():
    """Without `--part` nothing is measured, and the test part is not read."""
    with pytest.raises(SystemExit):
        main([])
