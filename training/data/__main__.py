"""Download and verify HC18, and print its committed tables: `python -m training.data`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from training.data.hc18 import load_images, make_split
from training.data.hc18_download import load_pixel_table, run

COMMANDS = {
    "split": "print the split by exam as JSON",
    "download": "download HC18 from its public record, then verify it",
    "verify": "compare the decoded pixels with hc18_pixels.csv",
    "table": "print hc18_pixels.csv",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command on HC18."""
    parser = argparse.ArgumentParser(prog="python -m training.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.add_argument("--data", type=Path, required=True, help="HC18's folder")
    chosen = parser.parse_args(arguments)
    if chosen.command != "split":
        return run(chosen.command, chosen.data)
    listed = load_pixel_table()
    parts = make_split([image for image in load_images(chosen.data) if image.name in listed])
    lines = ",\n".join(f'  "{part}": {json.dumps(exams)}' for part, exams in parts.items())
    sys.stdout.write(f"{{\n{lines}\n}}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
