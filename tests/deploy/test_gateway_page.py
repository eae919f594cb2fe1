from pathlib import Path

import pytest

PAGE = Path("docs/deploy.md").read_text()


@pytest.mark.parametrize("path", sorted(Path("deploy/gateway").iterdir()), ids=lambda p: p.name)
def test_page_shows_the_tested_gateway_file(path):
    """The configuration in the docs is the one that the slow tests start."""
    assert f"\n{path.read_text()}```\n" in PAGE
