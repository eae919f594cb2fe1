import pytest

from tools.docs.diagrams import DIAGRAMS_DIR, to_stamp

SOURCES = sorted(DIAGRAMS_DIR.glob("*.dot"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_picture_was_drawn_from_its_source(source):
    """The committed SVG holds the hash of the committed source; `make diagrams` draws it again."""
    assert to_stamp(source) in source.with_suffix(".svg").read_text()


def test_every_picture_has_a_source():
    """No SVG lies beside the diagrams without its `.dot`."""
    assert {path.stem for path in DIAGRAMS_DIR.glob("*.svg")} == {path.stem for path in SOURCES}
