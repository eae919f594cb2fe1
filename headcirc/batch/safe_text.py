"""Text that others chose, made safe for a terminal and for a spreadsheet.

A file's name and a server's answer may hold control characters, which a terminal obeys, or begin
like a formula, which a spreadsheet computes.
"""

FORMULA_MARKS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula; the last four are full-width."""


def escape_controls(text: str) -> str:
    r"""Return text in which all that is not visible, such as ESC, is written as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def guard_formula(text: str) -> str:
    """Return text that no spreadsheet computes: one that begins like a formula gets a `'`."""
    return f"'{text}" if text.startswith(FORMULA_MARKS) else text
