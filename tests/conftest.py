import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hc18_dir() -> Path:
    """Return HC18's folder, from HC18_DIR; skip where it is absent."""
    folder = Path(os.environ.get("HC18_DIR", "../shared/data/hc18"))  # noqa: TID251 - no service
    if not (folder / "training_set").is_dir():
        pytest.skip(f"HC18 is not in {str(folder)!r}; set HC18_DIR to its folder")
    return folder
