"""Measure the held-out images of each fold over HTTP, by a service with the fold's model."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from tqdm import tqdm

from evaluation.accuracy import load_truth
from evaluation.accuracy_summary import ImageResult, fill_ellipse, to_image_result
from evaluation.metrics import count_confusion
from evaluation.out_of_fold.cases import REFERENCE_MM, to_assumed_spacing
from evaluation.out_of_fold.models import FoldModel
from harness.served import REQUEST_TIMEOUT_S, ServedAnswer, ask, fetch_model, serve
from training.data.hc18 import HC18Image, load_pixels
from training.data.planes import Plane


@dataclass(frozen=True)
class HeadResult:
    """An HC18 image's fold, its figures, and its interval in mm (None without one)."""

    fold: int
    figures: ImageResult
    interval_low_mm: float | None
    interval_high_mm: float | None


@dataclass(frozen=True)
class PlaneResult:
    """The answer for a plane of another device.

    Attributes
    ----------
    fold : int
    file, kind, group : str
        As in the planes' table; the group is the patient or the country.
    is_annotated, is_found, acceptable : bool
        Annotated: the table has an ellipse of the head.
    head_plane_probability : float or None
    warnings : str
    ellipse_dice : float or None
        Overlap with the annotated ellipse; None without one of both.
    size_ratio : float or None
        Measured over annotated circumference.
    interval_low_ratio, interval_high_ratio : float or None
        Bounds of the interval over the annotated circumference.
    """

    fold: int
    file: str
    kind: str
    group: str
    is_annotated: bool
    is_found: bool
    acceptable: bool
    head_plane_probability: float | None
    warnings: str
    ellipse_dice: float | None
    size_ratio: float | None
    interval_low_ratio: float | None
    interval_high_ratio: float | None


@dataclass(frozen=True)
class FoldResults:
    """Everything measured of one fold; `model` is described as the service describes it."""

    fold: int
    model: dict[str, str]
    heads: list[HeadResult]
    planes: list[PlaneResult]


def measure_fold(model: FoldModel) -> FoldResults:
    """Serve a fold's model and measure its held-out images.

    Raises
    ------
    ServiceFailedError
        The service stopped, or returned an error.
    """
    with (
        serve(model.model_dir) as url,
        httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S) as client,
    ):
        return FoldResults(
            model.fold,
            fetch_model(client),
            _measure_heads(client, model.fold, model.images),
            _measure_planes(client, model.fold, model.planes),
        )


def _measure_heads(
    client: httpx.Client, fold: int, images: Sequence[HC18Image]
) -> list[HeadResult]:
    results = []
    for image in tqdm(images, f"fold {fold}", unit="image", mininterval=10):
        answer = ask(client, image.path.read_bytes(), image.pixel_size_mm)
        interval = answer.interval_mm or (None, None)
        results.append(
            HeadResult(fold, to_image_result(image, load_truth(image), answer), *interval)
        )
    return results


def _measure_planes(client: httpx.Client, fold: int, planes: Sequence[Plane]) -> list[PlaneResult]:
    results = []
    for plane in tqdm(planes, f"fold {fold}, other devices", unit="image", mininterval=10):
        spacing = None if plane.ellipse is None else to_assumed_spacing(plane)
        size_mm = None if spacing is None else spacing.column_mm
        answer = ask(client, plane.path.read_bytes(), size_mm)
        results.append(to_plane_result(fold, plane, answer))
    return results


def to_plane_result(fold: int, plane: Plane, answer: ServedAnswer) -> PlaneResult:
    """Compare the answer for a plane with its annotated ellipse, if it has one.

    The plane was posted with the pixel size of `to_assumed_spacing`.
    """
    dice, ratios = None, (None, None, None)
    if plane.ellipse is not None and answer.ellipse is not None:
        shape = load_pixels(plane.path).shape
        found, true = (fill_ellipse(each, *shape) for each in (answer.ellipse, plane.ellipse))
        dice = count_confusion(found, true).dice
        sizes_mm = (answer.head_circumference_mm, *(answer.interval_mm or (None, None)))
        ratios = tuple(each and each / REFERENCE_MM for each in sizes_mm)
    return PlaneResult(
        fold,
        plane.file,
        plane.kind,
        plane.group,
        plane.ellipse is not None,
        answer.ellipse is not None,
        answer.acceptable,
        answer.head_plane_probability,
        " ".join(answer.warnings),
        dice,
        *ratios,
    )
