import json

import pytest

from headcirc.errors import SiteFileError
from headcirc.model.site import SITE_SCHEMA_VERSION, load_site, to_site

FACTS = {
    "schema_version": SITE_SCHEMA_VERSION,
    "model": {"sha256": "a" * 64},
    "offset_mm": 4.4,
    "scale": 1,
    "interval_factor": 1.25,
    "level": 0.9,
    "cases": 41,
    "date": "2026-01-31",
    "guarantee": "words",
}


def test_site_file_is_read(tmp_path):
    """Its values, and the SHA-256 of the file."""
    path = tmp_path / "site.json"
    path.write_text(json.dumps(FACTS))
    site = load_site(path, model_sha256="a" * 64)
    assert site.correct(200.0) == pytest.approx(204.4)
    assert len(site.sha256) == 64
    assert site.describe() == (
        "Recalibrated for this site (41 cases, 2026-01-31): HC +4.4 mm, interval x 1.25."
    )


def test_factor_is_described():
    site = to_site(FACTS | {"offset_mm": 0.0, "scale": 1.026}, "")
    assert site.correct(200.0) == pytest.approx(205.2)
    assert "HC x 1.026, interval" in site.describe()
    assert "HC" not in to_site(FACTS | {"offset_mm": 0.0}, "").describe()


def test_correction_never_makes_a_circumference_negative():
    assert to_site(FACTS | {"offset_mm": -15.0}, "").correct(10.0) == 5


def test_site_file_of_another_model_is_refused(tmp_path):
    path = tmp_path / "site.json"
    path.write_text(json.dumps(FACTS))
    with pytest.raises(SiteFileError, match="made with the model aaaaaaaaaaaa…, and bbbbbbbbbbbb"):
        load_site(path, model_sha256="b" * 64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not of schema version"),
        (json.dumps(FACTS | {"schema_version": 99}), "not of schema version"),
        (json.dumps({k: v for k, v in FACTS.items() if k != "scale"}), "'scale'"),
        (json.dumps(FACTS | {"cases": "41"}), "cases is '41'"),
        (json.dumps(FACTS | {"cases": True}), "cases is True"),
        (json.dumps(FACTS | {"model": "m"}), "wrongly typed"),
        (json.dumps(FACTS | {"offset_mm": float("nan")}), "offset_mm is nan"),
        (json.dumps(FACTS | {"offset_mm": 44.0}), "offset_mm = 44; plausible"),
        (json.dumps(FACTS | {"scale": 0.1}), r"scale = 0\.1; plausible"),
        (json.dumps(FACTS | {"interval_factor": 0.0}), "interval_factor = 0; plausible"),
    ],
)
def test_damaged_site_file_is_refused(tmp_path, content, message):
    path = tmp_path / "site.json"
    path.write_text(content)
    with pytest.raises(SiteFileError, match=message):
        load_site(path, model_sha256="a" * 64)


def test_missing_site_file_is_refused_without_its_path(tmp_path):
    with pytest.raises(SiteFileError, match="cannot be read: No such file") as refused:
        load_site(tmp_path / "none.json", model_sha256="a" * 64)
    assert str(tmp_path) not in str(refused.value)
