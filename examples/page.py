"""Write the web page's example phantoms and their list into the service's package data.

    python examples/page.py

They are part of the service's package, so that an installed service has them.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # allows running from any folder

from examples.phantom import to_filename, write_phantoms
from examples.phantom_parameters import load_parameters, true_head_circumference_mm

PAGE_DIR = Path(__file__).resolve().parents[1] / "service" / "headcirc_service" / "web" / "examples"
TITLES = {
    7: "Mid-size head",
    0: "Small head",
    4: "Pixels not square",
    16: "Large head, faint sides",
}
"""Index in `phantoms.json` to the title on the page."""


def to_list() -> list[dict[str, str | float]]:
    """Return the page's facts of each phantom."""
    every = load_parameters()
    return [
        {
            "file": to_filename(index),
            "title": title,
            "pixel_size_x_mm": every[index].pixel_size_x_mm,
            "pixel_size_y_mm": every[index].pixel_size_y_mm,
            "head_circumference_mm": round(true_head_circumference_mm(every[index]), 2),
        }
        for index, title in TITLES.items()
    ]


def main() -> None:
    """Write the pictures and the list."""
    for index in TITLES:
        write_phantoms(PAGE_DIR, index)
    (PAGE_DIR / "examples.json").write_text(json.dumps(to_list(), indent=2) + "\n")


if __name__ == "__main__":
    main()
