import csv
import io

import pytest

from headcirc.batch.safe_text import FORMULA_MARKS, escape_controls, guard_formula, to_cell


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


ATTACKS = [
    "=1+1",
    "a;=1+1",
    "a; =1+1",
    'a;"=1+1"',
    "a\t=1+1",
    "a\n=1+1",
    'a,"\r\n@SUM(1)',
    ";;-1",
    "\t=1",
    ' "=1+1',
    "a;\uff1d1",
]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("text", ATTACKS)
def test_no_cell_is_a_formula_whatever_separates_them(text, separator):
    """In the first column, and in another one, where quotes do not count in such a spreadsheet."""
    table = io.StringIO()
    csv.writer(table).writerows([[to_cell(text, str), "b"], ["b", to_cell(text, str)]])
    cells = [
        each
        for row in csv.reader(io.StringIO(table.getvalue(), newline=""), delimiter=separator)
        for each in row
    ]
    assert len(cells) >= 2
    # Spreadsheets drop spaces and quotes at the beginning of a cell.
    assert not [each for each in cells if each.lstrip(' "').startswith(FORMULA_MARKS)]


@pytest.mark.parametrize("text", ["a;b=1", "scan-1 (2).png", "1.5;2", "A; B", "a-b;c+d"])
def test_ordinary_text_stays(text):
    assert guard_formula(text) == text


@pytest.mark.parametrize("text", ATTACKS)
def test_guarded_text_is_guarded_once(text):
    """A name is guarded before it becomes a cell."""
    assert guard_formula(guard_formula(text)) == guard_formula(text)


@pytest.mark.parametrize(
    ("value", "cell"), [(None, ""), (True, "true"), (-0.5, "-0.50"), (3, "3.00"), ("-0.5", "'-0.5")]
)
def test_value_becomes_a_cell(value, cell):
    """A number may begin with its sign; text may not."""
    assert to_cell(value, "{:.2f}".format) == cell
