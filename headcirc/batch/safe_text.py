"""Make text from others safe for a terminal and for a spreadsheet.

A file's name or a server's answer may hold control characters, which a terminal executes, or begin
like a formula, which a spreadsheet computes.
"""

import re
from collections.abc import Callable

FORMULA_MARKS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Characters that begin a formula in a spreadsheet; the last four are full-width."""
CELL_WITH_FORMULA = re.compile(
    '^(?=[\t\r\n])|(?:^|(?<=[;\t\r\n]))(?=[\\s"]*[=+\\-@\uff1d\uff0b\uff0d\uff20])'
)
"""Where a formula begins: at the text's start, or behind what ends a cell in a spreadsheet that
separates by semicolons or tabs. Such a spreadsheet takes no notice of quotes amid its cell, so that
quoting the text does not help."""
TRUE, FALSE = "true", "false"


def escape_controls(text: str) -> str:
    r"""Return text in which invisible characters are escaped, such as ESC as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def guard_formula(text: str) -> str:
    """Return text that no spreadsheet computes, whichever separator it reads tables with.

    A `'` goes before each formula. A guarded text stays as it is.
    """
    return CELL_WITH_FORMULA.sub("'", text)


def to_cell(value: str | bool | float | None, write_number: Callable[[float], str]) -> str:
    """Return a value as text for a CSV table: empty for None, and no text with a formula.

    Parameters
    ----------
    value : str, bool, float or None
    write_number : callable
        Write a number, with as many digits as mean something.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, int | float):
        return write_number(value)
    return guard_formula(value)
