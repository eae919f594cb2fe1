from pathlib import Path

import pytest

PAGE = Path("docs/deploy.md").read_text()


@pytest.mark.parametrize("path", sorted(Path("deploy/gateway").iterdir()), ids=lambda p: p.name)
def test_page_shows_the_file_that_is_tried(path):
    """What is copied from the page is what the slow tests start."""
    assert f"\n{path.read_text()}```\n" in PAGE
