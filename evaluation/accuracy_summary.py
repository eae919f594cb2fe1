"""Compare answers with the truth: one row per image, then summaries, bands and the verdict.

All functions are pure: they call no service and read or write no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.metrics import (
    AreasUnderCurves,
    BoolMask,
    count_confusion,
    measure_surface_distances,
    summarise_errors,
    summarise_errors_by_bin,
    to_bin_members,
)
from harness.served import ServedAnswer
from headcirc.agreement.estimates import estimate
from headcirc.geometry import Ellipse, PixelSpacing
from headcirc.raster import to_ellipse_coverage
from training.data.hc18 import HC18Image

HALF_COVERED = 0.5
LOWEST_ELLIPSE_DICE = 0.97
LARGEST_MEAN_ABSOLUTE_ERROR_MM = 2.2
LARGEST_BIAS_MM = 0.4
MEAN_FIGURES = (
    "ellipse_dice",
    "ellipse_hausdorff_mm",
    "mask_dice",
    "mask_iou",
    "mask_precision",
    "mask_recall",
    "mask_hausdorff_mm",
    "mask_hausdorff_95_mm",
    "mask_average_surface_distance_mm",
    "auc_roc",
    "auc_pr",
)
"""The columns of a row that are reported as the mean over the images."""
SHOWN_IN_BINS = ("mean_absolute_error_mm", "median_absolute_error_mm", "bias_mm")


@dataclass(frozen=True)
class ImageResult:
    """The truth, the answer and the figures of one image.

    `error_mm` is measured minus true. `ellipse_*` compare the answer's ellipse, `mask_*` the
    served mask, and `auc_*` the probability map, with the filled true ellipse. A figure that could
    not be measured is None.
    """

    name: str
    exam: int
    true_hc_mm: float
    measured_hc_mm: float | None
    error_mm: float | None
    ellipse_dice: float
    ellipse_hausdorff_mm: float | None
    mask_dice: float
    mask_iou: float
    mask_precision: float | None
    mask_recall: float | None
    mask_true_positive_px: int
    mask_false_positive_px: int
    mask_false_negative_px: int
    mask_true_negative_px: int
    mask_hausdorff_mm: float | None
    mask_hausdorff_95_mm: float | None
    mask_average_surface_distance_mm: float | None
    warnings: str
    acceptable: bool
    auc_roc: float | None = None
    auc_pr: float | None = None
    head_plane_probability: float | None = None


def fill_ellipse(ellipse: Ellipse, rows: int, columns: int) -> BoolMask:
    """Return the pixels, (rows, columns), that an ellipse covers by more than half."""
    return to_ellipse_coverage(ellipse, rows, columns) > HALF_COVERED


def to_image_result(image: HC18Image, truth: BoolMask, answer: ServedAnswer) -> ImageResult:
    """Compare one answer with the truth; without an ellipse the ellipse Dice is 0.

    Parameters
    ----------
    image : HC18Image
        Its true circumference comes from HC18's table.
    truth : (rows, columns) bool, frame grid
        The true ellipse, filled.
    answer : ServedAnswer
    """
    spacing = PixelSpacing(image.pixel_size_mm, image.pixel_size_mm)
    found = answer.ellipse
    filled = None if found is None else fill_ellipse(found, *truth.shape)
    ellipse_dice = 0.0 if filled is None else count_confusion(filled, truth).dice
    ellipse = None if filled is None else measure_surface_distances(filled, truth, spacing)
    confusion = count_confusion(answer.mask, truth)
    mask = measure_surface_distances(answer.mask, truth, spacing)
    measured_mm = answer.head_circumference_mm
    return ImageResult(
        name=image.name,
        exam=image.exam,
        true_hc_mm=image.head_circumference_mm,
        measured_hc_mm=measured_mm,
        error_mm=None if measured_mm is None else measured_mm - image.head_circumference_mm,
        ellipse_dice=ellipse_dice,
        ellipse_hausdorff_mm=ellipse and ellipse.hausdorff_mm,
        mask_dice=confusion.dice,
        mask_iou=confusion.iou,
        mask_precision=confusion.precision,
        mask_recall=confusion.recall,
        mask_true_positive_px=confusion.true_positive,
        mask_false_positive_px=confusion.false_positive,
        mask_false_negative_px=confusion.false_negative,
        mask_true_negative_px=confusion.true_negative,
        mask_hausdorff_mm=mask and mask.hausdorff_mm,
        mask_hausdorff_95_mm=mask and mask.hausdorff_95_mm,
        mask_average_surface_distance_mm=mask and mask.average_mm,
        warnings=" ".join(answer.warnings),
        acceptable=answer.acceptable,
        head_plane_probability=answer.head_plane_probability,
    )


def to_area_columns(areas: AreasUnderCurves | None) -> dict[str, float | None]:
    """Return the areas under the curves, by column name."""
    return {"auc_roc": areas and areas.roc, "auc_pr": areas and areas.precision_recall}


def summarise(rows: Sequence[ImageResult]) -> dict[str, Any]:
    """Return each figure with its interval, the pixel totals, and the images without an answer."""
    exams = [row.exam for row in rows]
    figures = summarise_errors([row.error_mm for row in rows], exams)
    for name in MEAN_FIGURES:
        figures[name] = estimate([getattr(row, name) for row in rows], exams)
    counts = ("true_positive", "false_positive", "false_negative", "true_negative")
    return {
        "figures": {name: asdict(figure) for name, figure in figures.items()},
        "mask_pixels": {
            name: sum(getattr(row, f"mask_{name}_px") for row in rows) for name in counts
        },
        "without_answer": [row.name for row in rows if row.measured_hc_mm is None],
        "not_acceptable": [row.name for row in rows if not row.acceptable],
    }


def summarise_bins(rows: Sequence[ImageResult]) -> list[dict[str, Any]]:
    """Return the errors and ellipse Dice of each band of true head circumference."""
    true_hc_mm, exams = [row.true_hc_mm for row in rows], [row.exam for row in rows]
    errors_mm = [row.error_mm for row in rows]
    bins = []
    for errors, members in zip(
        summarise_errors_by_bin(true_hc_mm, errors_mm, exams),
        to_bin_members(true_hc_mm),
        strict=True,
    ):
        dice = estimate([rows[i].ellipse_dice for i in members], [exams[i] for i in members])
        without_answer = sum(errors_mm[i] is None for i in members)
        bins.append(
            asdict(errors) | {"without_answer": without_answer, "ellipse_dice": asdict(dice)}
        )
    return bins


def judge_floors(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Compare a summary with the floors; a figure that is None meets no floor."""
    figures = {name: figure["value"] for name, figure in summary["figures"].items()}
    error_mm, bias_mm = figures["mean_absolute_error_mm"], figures["bias_mm"]
    without_answer = len(summary["without_answer"])
    verdicts = [
        ("ellipse_dice", figures["ellipse_dice"], ">=", LOWEST_ELLIPSE_DICE),
        ("mean_absolute_error_mm", error_mm, "<=", LARGEST_MEAN_ABSOLUTE_ERROR_MM),
        ("absolute_bias_mm", None if bias_mm is None else abs(bias_mm), "<=", LARGEST_BIAS_MM),
        ("images_without_answer", without_answer, "<=", 0),
    ]
    checks = [
        {"figure": name, "value": value, "relation": relation, "floor": floor}
        | {"met": _is_met(value, relation, floor)}
        for name, value, relation, floor in verdicts
    ]
    return {"met": all(check["met"] for check in checks), "checks": checks}


def _is_met(value: float | None, relation: str, floor: float) -> bool:
    if value is None:
        return False
    return value >= floor if relation == ">=" else value <= floor


def to_markdown(summary: Mapping[str, Any], bins: Sequence[Mapping[str, Any]]) -> str:
    """Return two Markdown tables: the figures and the bands."""
    lines = ["| figure | value | 95 % interval | images | not measured |", "|---|---|---|---|---|"]
    for name, figure in summary["figures"].items():
        interval = f"{_show(figure['low'])} to {_show(figure['high'])}"
        cells = (name, _show(figure["value"]), interval, figure["n"], figure["excluded"])
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    titles = ("true HC, mm", "images", "no answer", *SHOWN_IN_BINS, "ellipse_dice")
    lines += ["", "| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for each in bins:
        shown = [_show(each["errors"][name]["value"]) for name in SHOWN_IN_BINS]
        shown.append(_show(each["ellipse_dice"]["value"]))
        cells = (to_bin_label(each), each["images"], each["without_answer"], *shown)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def to_bin_label(band: Mapping[str, Any]) -> str:
    """Return a label for a band of circumference, for example `100 to 150`."""
    if band["high_mm"] is None:
        return f"{band['low_mm']:g} and more"
    return f"{band['low_mm']:g} to {band['high_mm']:g}"


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
