"""Write reports as JSON, and blocks of Markdown between markers in documents."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as indented JSON.

    Raises
    ------
    ValueError
        A number is NaN or infinite, which JSON does not allow; the old file is kept.
    """
    text = json.dumps(report, indent=2, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def to_markers(name: str) -> tuple[str, str]:
    """Return the comments that mark the beginning and the end of a block."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def replace_block(text: str, name: str, block: str) -> str:
    """Replace the block between the markers of a document.

    Raises
    ------
    ValueError
        The document does not have both markers exactly once and in order.
    """
    begin, end = to_markers(name)
    _require_markers(text, name)
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def read_block(text: str, name: str) -> str:
    """Return the block between the markers of a document; raise as `replace_block` does."""
    begin, end = to_markers(name)
    _require_markers(text, name)
    return text.partition(begin)[2].partition(end)[0].strip()


def _require_markers(text: str, name: str) -> None:
    begin, end = to_markers(name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"The document must have {begin} once and, after it, {end} once.")
