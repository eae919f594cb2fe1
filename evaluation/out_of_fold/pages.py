"""Write the tables of the committed reports into the documents.

No figure there is typed by hand. `evaluation.out_of_fold.text` makes the blocks.
"""

import csv
import json
from pathlib import Path
from typing import Any

from evaluation.out_of_fold.earlier import PARTS, to_common_table
from evaluation.out_of_fold.text import to_blocks
from harness.documents import replace_block
from harness.paths import EVALUATION_RESULTS_DIR, ROOT
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR

RESULT_NAME, FIT_NAME = "out_of_fold.json", "out_of_fold_uncertainty.json"
HEADS_NAME = "out_of_fold_heads.csv"
PHANTOMS_NAME = "phantoms.json"
CARD = ROOT / "models" / "attention-resunet-half" / "README.md"
UNCERTAINTY_PAGE = ROOT / "docs" / "uncertainty.md"
PLACES = (
    ("accuracy", ROOT / "docs" / "accuracy.md"),
    ("accuracy", CARD),
    ("earlier", ROOT / "docs" / "accuracy.md"),
    ("planes", ROOT / "docs" / "accuracy_and_trust.md"),
    ("refusals", UNCERTAINTY_PAGE),
    ("refusal-cost", UNCERTAINTY_PAGE),
)
"""The name of each block, and a document that has it between its markers."""


def read_blocks(results_dir: Path = EVALUATION_RESULTS_DIR) -> dict[str, str]:
    """Return the blocks of the reports in a folder, by name.

    Raises
    ------
    FileNotFoundError
        A report is missing.
    """
    measured, fitted, phantoms = (
        _read(results_dir / name) for name in (RESULT_NAME, FIT_NAME, PHANTOMS_NAME)
    )
    shipped = load_manifest(SHIPPED_MODEL_DIR)
    name = f"`{shipped.name}` {shipped.version}"
    earlier = {part: _read_rows(results_dir / f"accuracy_{part}.csv") for part in PARTS}
    common = to_common_table(earlier, _read_rows(results_dir / HEADS_NAME))
    return to_blocks(measured, fitted, phantoms, shipped=name) | {"earlier": common}


def write_pages() -> None:
    """Put the blocks of the committed reports between the markers of their documents.

    Raises
    ------
    FileNotFoundError
        A report or a document is missing.
    ValueError
        A document lacks the markers of a block.
    """
    blocks = read_blocks()
    for name, path in PLACES:
        path.write_text(replace_block(path.read_text(), name, blocks[name]))


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


def _read(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    return report
