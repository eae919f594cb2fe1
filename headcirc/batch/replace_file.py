"""Files that are replaced completely or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"
"""Ends the name of a file that is being written."""


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a path to write to; the file moves to `path` when the `with` block ends without error.

    A link is followed. However the run ends, either the old or the new file is there.
    """
    target = path.resolve()
    unfinished = target.with_name(target.name + UNFINISHED)
    unfinished.unlink(missing_ok=True)
    try:
        yield unfinished
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
