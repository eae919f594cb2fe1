"""Default folders of the HC18 images and of the results."""

import os
from pathlib import Path

DEFAULT_DATA_DIR = os.environ.get("HC18_DIR", "../shared/data/hc18")  # noqa: TID251 - Makefile's
PLANES_DIR = Path(DEFAULT_DATA_DIR).parent / "planes"
"""Folder of the planes of other devices, beside HC18's."""
ROOT = Path(__file__).parent.parent
FOLDS_DIR = ROOT / "build" / "folds"
"""Where `make fold-models` exports the model of each fold."""
SPEED_RESULTS_DIR = ROOT / "benchmarks" / "results"
EVALUATION_RESULTS_DIR = ROOT / "evaluation" / "results"
