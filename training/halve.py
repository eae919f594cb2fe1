"""Halve the size of a checkpoint: `python -m training.halve --checkpoint FILE --out FILE`.

The kernels are rounded to half precision. Everything that is made from the file computes in float32
with the rounded kernels. The checkpoint of a wide network ships in this form.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.checkpoint import load_record, load_trained, save_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a checkpoint, round it, write it."""
    parser = argparse.ArgumentParser(prog="python -m training.halve", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="weights (safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="file to write (safetensors)")
    chosen = parser.parse_args(arguments)
    record = load_record(chosen.checkpoint)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(load_trained(chosen.checkpoint), chosen.out, is_half=True, record=record)
    print(f"{chosen.out.name}: {chosen.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
