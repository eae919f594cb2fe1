import re
from pathlib import Path

import pytest
from headcirc_service.settings import Settings

PAGE = Path("docs/deploy.md").read_text()


@pytest.mark.parametrize(
    "path", sorted(Path("deploy/reverse_proxy").iterdir()), ids=lambda p: p.name
)
def test_page_shows_the_tested_reverse_proxy_file(path):
    """The configuration in the docs is the one that the slow tests start."""
    assert f"\n{path.read_text()}```\n" in PAGE


def test_page_names_two_things_with_two_words():
    """A gateway receives DICOM; what stands in front of the service is a reverse proxy."""
    text = re.sub(r"DICOM gateway|HEADCIRC_TRUSTED_GATEWAYS", "", PAGE)
    assert "gateway" not in text.lower()


@pytest.mark.parametrize(
    ("name", "pattern", "unit"),
    [
        ("nginx.conf", r"client_max_body_size (\d+)m;", 2**20),
        ("nginx.conf", r"client_body_buffer_size (\d+)m;", 2**20),
        ("Caddyfile", r"max_size (\d+)MB", 10**6),
        ("haproxy.cfg", r"req\.body_size gt (\d+) ", 1),
    ],
)
def test_limit_of_bodies_is_that_of_the_service(name, pattern, unit):
    """A reverse proxy lets the largest DICOM file through, and hardly more."""
    (found,) = re.findall(pattern, Path("deploy/reverse_proxy", name).read_text())
    largest_bytes = Settings().max_dicom_bytes
    assert largest_bytes <= int(found) * unit <= 1.05 * largest_bytes


def test_caddy_waits_as_long_for_a_body_as_the_service():
    """The others limit the time between two parts only."""
    (found,) = re.findall(r"read_body (\d+)s", Path("deploy/reverse_proxy/Caddyfile").read_text())
    assert 1000 * int(found) >= Settings().dicom_upload_timeout_ms
