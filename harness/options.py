"""Command-line options that the evaluations and benchmarks share."""

import argparse
from pathlib import Path

from harness.paths import DEFAULT_DATA_DIR, FOLDS_DIR


def add_folder_options(parser: argparse.ArgumentParser, results_dir: Path) -> None:
    """Add `--data` and `--out`; results go to `results_dir` by default."""
    parser.add_argument("--data", type=Path, default=Path(DEFAULT_DATA_DIR), help="HC18's folder")
    parser.add_argument("--out", type=Path, default=results_dir, help="folder for the results")


def add_model_option(parser: argparse.ArgumentParser, model_dir: Path) -> None:
    """Add `--model`, the folder of the model to measure."""
    parser.add_argument("--model", type=Path, default=model_dir, help="model folder")


def add_folds_option(parser: argparse.ArgumentParser) -> None:
    """Add `--folds`, the folder of the folds' models, with a subfolder for each fold."""
    parser.add_argument(
        "--folds", type=Path, default=FOLDS_DIR, help="folder of the models (make fold-models)"
    )


def add_every_option(parser: argparse.ArgumentParser) -> None:
    """Add `--every N`, which measures every n-th image only."""
    parser.add_argument("--every", type=int, default=1, help="measure every n-th image only")
