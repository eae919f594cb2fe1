import pytest

from tools.docs.assets import find_foreign_assets


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img src="HTTP://example.org/x.png">',
        '<img srcset="a.png 1x, https://example.org/b.png 2x">',
        '<p style="background: url(https://example.org/x.png)">',
        '<style>@import "https://fonts.example/x.css";</style>',
    ],
)
def test_page_that_loads_from_another_host_is_found(tmp_path, text):
    """Scripts, style sheets, pictures and styles, however they are written."""
    (tmp_path / "page.html").write_text(text)
    (found,) = find_foreign_assets(tmp_path)
    assert found.startswith("page.html: ")


def test_style_sheet_that_loads_a_font_is_found(tmp_path):
    """An address in a style sheet counts like one in a page."""
    (tmp_path / "x.css").write_text("@font-face { src: url('https://fonts.example/x.woff2') }")
    assert find_foreign_assets(tmp_path) == ["x.css: https://fonts.example/x.woff2"]


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://example.org">a link that a reader may follow</a>',
        '<link rel="canonical" href="https://example.org/page">',
        '<script src="assets/x.js"></script><img src="data:image/png;base64,AA==">',
        '<style>p { background: url("data:image/svg+xml,x") }</style>',
    ],
)
def test_links_and_own_files_are_allowed(tmp_path, text):
    """Only what a browser loads by itself counts."""
    (tmp_path / "page.html").write_text(text)
    assert find_foreign_assets(tmp_path) == []
