"""Read the shutdown settings of `headcirc serve` from its source."""

import re
from pathlib import Path


def find_graceful_s() -> int:
    """Return how many seconds the server waits for running requests at shutdown."""
    (found,) = re.findall(
        r"timeout_graceful_shutdown=(\d+)", Path("headcirc/cli/serve.py").read_text()
    )
    return int(found)
