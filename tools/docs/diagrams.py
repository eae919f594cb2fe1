"""Draw the diagrams: each `docs/diagrams/NAME.dot` to `NAME.svg`, by Graphviz.

The picture holds the hash of its source, so that a test notices a source that was not drawn again.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

DIAGRAMS_DIR = Path("docs/diagrams")


def to_stamp(source: Path) -> str:
    """Return the comment that names the source of a picture."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"<!-- drawn from {source.name}, sha256 {digest} -->"


def draw_diagrams() -> None:
    """Draw every diagram.

    Raises
    ------
    FileNotFoundError
        Graphviz is not installed.
    """
    program = shutil.which("dot")
    if program is None:
        raise FileNotFoundError("dot is not installed: install Debian's package graphviz.")
    for source in sorted(DIAGRAMS_DIR.glob("*.dot")):
        drawn = subprocess.run(
            [program, "-Tsvg", source], capture_output=True, text=True, check=True
        ).stdout
        picture = f"{drawn.rstrip()}\n{to_stamp(source)}\n"
        source.with_suffix(".svg").write_text(picture)
