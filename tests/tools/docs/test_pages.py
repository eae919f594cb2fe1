from pathlib import Path

import pytest

from tools.docs.pages import (
    BrokenPageError,
    find_pages,
    require_navigation,
    rewrite_links,
    stage_pages,
)

PAGE = Path("docs/accuracy.md")
CARD = "../models/attention-resunet-half/README.md"


def rewrite(text, target_dir):
    return rewrite_links(text, PAGE, find_pages(), target_dir)


@pytest.mark.parametrize(
    ("written", "built"),
    [
        ("[a](uncertainty.md#interval)", "[a](uncertainty.md#interval)"),
        (f"[a]({CARD}#data)", "[a](model_card.md#data)"),
        ("[a](../LICENSE)", "a (`LICENSE`)"),
        ("[`LICENSE`](../LICENSE)", "`LICENSE`"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("[a](#the-figures)", "[a](#the-figures)"),
        (f"```\n[a]({CARD})\n```\n", f"```\n[a]({CARD})\n```\n"),
    ],
)
def test_links_lead_to_pages_of_the_site(tmp_path, written, built):
    """A link to a page is kept, a link to a file becomes its path, code stays as it is."""
    assert rewrite(written, tmp_path) == built


def test_pictures_are_copied_into_the_site(tmp_path):
    """A picture outside `docs/` is shown from a copy."""
    assert rewrite("![a](result.png)", tmp_path) == "![a](pictures/docs/result.png)"
    assert (tmp_path / "pictures/docs/result.png").read_bytes() == Path(
        "docs/result.png"
    ).read_bytes()


@pytest.mark.parametrize("written", ["[a](gone.md)", "![a](gone.png)"])
def test_link_to_a_missing_file_stops_the_build(tmp_path, written):
    """The page and the missing file are named."""
    with pytest.raises(BrokenPageError, match=r"docs/accuracy\.md links to docs/gone"):
        rewrite(written, tmp_path)


def test_navigation_lists_every_page_once(tmp_path):
    """The committed navigation fits; a page too many or too few is named."""
    names = [*stage_pages(tmp_path), "http_reference.md"]
    require_navigation(Path("zensical.toml"), names)
    for wrong in ([*names, "new.md"], names[1:], [*names, names[0]]):
        with pytest.raises(BrokenPageError, match="differ"):
            require_navigation(Path("zensical.toml"), wrong)
