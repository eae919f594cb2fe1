"""Write how planes of other devices are judged into `docs/accuracy_and_trust.md`.

`python -m evaluation.planes_text` reads the results of `evaluation.planes` and the out-of-fold
probabilities of HC18's images, and writes the block between the page's markers.
"""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.planes import HELD_OUT_NAME, RESULT_NAME
from harness.documents import replace_block
from harness.paths import EVALUATION_RESULTS_DIR
from headcirc.model.manifest import Manifest, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR
from training.data.hc18 import HC18_KIND
from training.data.planes import HEAD, KINDS

DOCUMENT = Path(__file__).parent.parent / "docs" / "accuracy_and_trust.md"
BLOCK = "planes"
SMALL_MM = 100.0
"""Heads below it are mostly of the first trimester."""
PLURALS = {"head": "heads", "abdomen": "abdomens", "femur": "femurs", "thorax": "thoraxes"}
Report = Mapping[str, Any]


def to_share(part: int, whole: int) -> str:
    """Return a count and its share of a whole, in per cent."""
    return f"{part} of {whole} ({100 * part / whole:.1f} %)"


def to_table(kinds: Report) -> str:
    """Return a table with a row for each kind of plane."""
    lines = ["| | pictures | found | acceptable | acceptable, % |", "|---|---|---|---|---|"]
    for kind in KINDS:
        pictures, found, acceptable = (
            kinds[kind][name] for name in ("pictures", "found", "acceptable")
        )
        share = f"{100 * acceptable / pictures:.1f}"
        lines.append(f"| {PLURALS[kind]} | {pictures} | {found} | {acceptable} | {share} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class JudgedHead:
    """True circumference and out-of-fold head-plane probability of an image of HC18."""

    true_mm: float
    probability: float


def to_mistakes(kinds: Report, hc18: Sequence[JudgedHead], manifest: Manifest) -> str:
    """Return the list of mistakes that the counts show.

    Parameters
    ----------
    kinds : mapping
        Counts of `evaluation.planes` for each kind of plane.
    hc18 : sequence of JudgedHead
    manifest : Manifest
        States the limits of the shipped model.
    """
    others = [kinds[kind] for kind in KINDS if kind != HEAD]
    pictures, found, acceptable = (
        sum(kind[name] for kind in others) for name in ("pictures", "found", "acceptable")
    )
    heads = kinds[HEAD]
    limits = manifest.head_plane
    assert limits is not None, "the shipped model has the head-plane output"
    lowest, acceptable_from = limits.minimum_probability, limits.acceptable_probability
    small = [head for head in hc18 if head.true_mm < SMALL_MM]
    (unanswered, refused), (small_unanswered, small_refused) = (
        [sum(head.probability < limit for head in group) for limit in (lowest, acceptable_from)]
        for group in (hc18, small)
    )
    return "\n".join(
        (
            f"- **A plane without a head can still be accepted**: {to_share(acceptable, pictures)}."
            " Look at the overlay.",
            f"- **Some planes without a head still get an outline**: {to_share(found, pictures)}. "
            "All except those above are marked as not acceptable.",
            "- **Some heads of other devices are refused**, which means not acceptable: "
            f"{to_share(heads['pictures'] - heads['acceptable'], heads['pictures'])}.",
            "- **Some HC18 heads are called other planes**: for "
            f"{to_share(unanswered, len(hc18))} the probability of a head plane is below "
            f"{lowest:g}, and they get no number. For {to_share(refused, len(hc18))}, these"
            f" included, it is below {acceptable_from:g}, and they are not acceptable.",
            f"- **Small heads are affected most.** Of heads below {SMALL_MM:g} mm, "
            f"{to_share(small_refused, len(small))} are not acceptable for this reason, and "
            f"{to_share(small_unanswered, len(small))} get no number. Of the larger heads, "
            f"{to_share(refused - small_refused, len(hc18) - len(small))} are not acceptable.",
        )
    )


def to_block(report: Report, hc18: Sequence[JudgedHead], manifest: Manifest) -> str:
    """Return the Markdown of all figures; `to_mistakes` explains the arguments."""
    pictures = sum(report["kinds"][kind]["pictures"] for kind in KINDS)
    return "\n\n".join(
        (
            f"{pictures:,} planes, `{manifest.name}` {manifest.version}, {report['precision']}, "
            f"measured {report['date'][:10]} (`python -m evaluation.planes`):",
            to_table(report["kinds"]),
            to_mistakes(report["kinds"], hc18, manifest),
        )
    )


def read_heads(path: Path) -> list[JudgedHead]:
    """Return HC18's images from the table of out-of-fold probabilities."""
    with path.open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["kind"] == HC18_KIND]
    return [
        JudgedHead(float(row["head_circumference_mm"]), float(row["head_plane_probability"]))
        for row in rows
    ]


def read_block() -> str:
    """Return the block for the committed results."""
    report = json.loads((EVALUATION_RESULTS_DIR / RESULT_NAME).read_text())
    hc18 = read_heads(EVALUATION_RESULTS_DIR / HELD_OUT_NAME)
    return to_block(report, hc18, load_manifest(SHIPPED_MODEL_DIR))


def main() -> int:
    """Write the block into the page."""
    DOCUMENT.write_text(replace_block(DOCUMENT.read_text(), BLOCK, read_block()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
