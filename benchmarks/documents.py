"""Blocks of Markdown that a program writes, between markers, into documents that people write."""


def to_markers(name: str) -> tuple[str, str]:
    """Return the comments before and after a block."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def replace_block(text: str, name: str, block: str) -> str:
    """Return a document with another block between its markers.

    Raises
    ------
    ValueError
        The document has not both markers, once each and in order.
    """
    begin, end = to_markers(name)
    _require_markers(text, name)
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def read_block(text: str, name: str) -> str:
    """Return what stands between a document's markers; raises as `replace_block` does."""
    begin, end = to_markers(name)
    _require_markers(text, name)
    return text.partition(begin)[2].partition(end)[0].strip()


def _require_markers(text: str, name: str) -> None:
    begin, end = to_markers(name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"The document needs {begin} and, after it, {end}, once each.")
