"""What `headcirc serve` does when it is told to end, read from its source."""

import re
from pathlib import Path


def find_graceful_s() -> int:
    """Return how long the server lets what is in flight end."""
    (found,) = re.findall(
        r"timeout_graceful_shutdown=(\d+)", Path("headcirc/cli/serve.py").read_text()
    )
    return int(found)
