import pytest

from headcirc.batch.safe_text import escape_controls, guard_formula


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("two\r\nlines\tand more", "two\\r\\nlines\\tand more"),
        ("\x9b31m", "\\x9b31m"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        ("ä 頭 1.png", "ä 頭 1.png"),
    ],
)
def test_no_control_character_is_left(text, expected):
    """ESC, C1 controls, line ends and changes of direction are written out; letters stay."""
    assert escape_controls(text) == expected


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_text_begins_no_formula(mark):
    """A text that begins like one is quoted, another one is not changed."""
    assert guard_formula(f"{mark}cmd|' /C calc'!A0") == f"'{mark}cmd|' /C calc'!A0"
    assert guard_formula(f"a{mark}") == f"a{mark}"
