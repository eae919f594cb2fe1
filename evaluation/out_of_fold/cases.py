"""Measure the held-out images of each fold, clean and changed; each picture gives one case.

Three kinds of picture must not be refused: HC18's images, the same images with text and callipers
burned in, and heads of other devices. The latter have no truth in millimetres, and their annotated
ellipses differ by about 3 % among annotators. So a head of another device counts as measured
without error if its ellipse overlaps the annotated one well, and is left out otherwise.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from evaluation.accuracy_summary import fill_ellipse
from evaluation.degradations import burn_in_marks, degrade_all
from evaluation.metrics import count_confusion
from evaluation.out_of_fold.case import (
    CLEAN,
    MARKS,
    OTHER_DEVICE,
    Case,
    analyze_pixels,
    to_case,
)
from evaluation.out_of_fold.models import FoldModel
from headcirc.geometry import PixelSpacing, to_ellipse_perimeter
from headcirc.pipeline import Pipeline
from training.data.hc18 import HC18Image, load_pixels, to_true_ellipse
from training.data.planes import HEAD, Plane

LOWEST_DICE = 0.9
"""A head of another device whose ellipse overlaps the annotated one less is left out."""
REFERENCE_MM = 180.0
"""Circumference that heads of other devices are given, whose pixel size is unknown."""


def collect(model: FoldModel) -> list[Case]:
    """Measure a fold's held-out pictures, without an uncertainty model."""
    pipeline = model.load()
    plain = replace(pipeline, manifest=replace(pipeline.manifest, uncertainty=None))
    cases = [
        case
        for image in tqdm(model.images, f"fold {model.fold}", unit="image", mininterval=10)
        for case in to_cases(plain, image)
    ]
    heads = [plane for plane in model.planes if plane.kind == HEAD]
    for plane in tqdm(heads, f"fold {model.fold}, other devices", unit="image", mininterval=10):
        case = to_other_device_case(plain, plane)
        cases += [] if case is None else [case]
    return cases


def to_cases(pipeline: Pipeline, image: HC18Image) -> Iterator[Case]:
    """Yield the cases of one HC18 image: clean, with marks, and with each degradation."""
    pixels = load_pixels(image.path)
    head = to_true_ellipse(load_pixels(image.annotation_path))
    spacing = PixelSpacing(image.pixel_size_mm, image.pixel_size_mm)
    pictures = [
        (CLEAN, 0.0, pixels, head),
        (MARKS, 0.0, burn_in_marks(pixels, head, image.name), head),
        *degrade_all(pixels, head, image.name),
    ]
    for kind, severity, picture, _ in pictures:
        yield to_case(image, kind, severity, analyze_pixels(pipeline, picture, spacing))


def to_other_device_case(pipeline: Pipeline, plane: Plane) -> Case | None:
    """Return the case of a head of another device, or None if nobody knows how good its ellipse is.

    That is so without an annotated ellipse, without an answer, and where both overlap too little.
    """
    if plane.ellipse is None:
        return None
    pixels = load_pixels(plane.path)
    analysis = analyze_pixels(pipeline, pixels, to_assumed_spacing(plane))
    head = analysis.head
    if head is None or head.measurement is None:
        return None
    found, true = (fill_ellipse(each, *pixels.shape) for each in (head.ellipse, plane.ellipse))
    if count_confusion(found, true).dice < LOWEST_DICE:
        return None
    measured_mm = head.measurement.head_circumference_mm
    return Case(
        name=plane.file,
        exam=plane.group,
        kind=OTHER_DEVICE,
        severity=0.0,
        true_mm=measured_mm,
        measured_mm=measured_mm,
        interval=None,
        features=head.uncertainty.features,
        acceptable=analysis.quality.acceptable,
        warnings=analysis.quality.warnings,
    )


def to_assumed_spacing(plane: Plane) -> PixelSpacing:
    """Return the pixel size with which the annotated head has a circumference of `REFERENCE_MM`."""
    assert plane.ellipse is not None, "a plane without an ellipse has no size"
    axes_px = plane.ellipse.semi_axis_major_px, plane.ellipse.semi_axis_minor_px
    size_mm = REFERENCE_MM / to_ellipse_perimeter(*axes_px)
    return PixelSpacing(size_mm, size_mm)


def write_cases(
    path: Path, cases: Mapping[int, Sequence[Case]], networks: Mapping[int, str]
) -> None:
    """Write the cases of each fold as JSON, with the SHA-256 of the graph that measured them.

    Cases have no interval yet.
    """
    record = {
        str(fold): {"network": networks[fold], "cases": [asdict(case) for case in each]}
        for fold, each in cases.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def read_cases(path: Path, networks: Mapping[int, str]) -> dict[int, list[Case]]:
    """Read the file of `write_cases`, of the same networks.

    Raises
    ------
    FileNotFoundError
        Nothing was measured yet.
    ValueError
        The file has other folds, or its pictures were measured by other networks.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No {path.name}: run `fit` first, without --again.")
    record = json.loads(path.read_text())
    if {fold: each["network"] for fold, each in record.items()} != {
        str(fold): sha256 for fold, sha256 in networks.items()
    }:
        raise ValueError(f"{path.name} is of other networks. Run `fit` again, without --again.")
    return {
        int(fold): [Case(**case | {"warnings": tuple(case["warnings"])}) for case in each["cases"]]
        for fold, each in record.items()
    }
