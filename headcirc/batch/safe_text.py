"""Make text from others safe for a terminal and for a spreadsheet.

A file's name or a server's answer may hold control characters, which a terminal executes, or begin
like a formula, which a spreadsheet computes.
"""

FORMULA_MARKS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Characters that begin a formula in a spreadsheet; the last four are full-width."""


def escape_controls(text: str) -> str:
    r"""Return text in which invisible characters are escaped, such as ESC as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def guard_formula(text: str) -> str:
    """Return text that no spreadsheet computes: a `'` goes before a formula."""
    return f"'{text}" if text.startswith(FORMULA_MARKS) else text
