"""The pipeline: the stages in the order in which data passes through them.

`prepare`, `infer` and `finish` are separate, so that a batcher can sit between them. `analyze`
calls all three.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headcirc.backends import Backend, load_backend, load_shared_backend
from headcirc.caption import ResultFacts, add_caption
from headcirc.cpus import count_available_cpus
from headcirc.ellipse import fit_head_ellipse
from headcirc.errors import InferenceError, ModelArtifactError
from headcirc.geometry import (
    FROM_SCALE_BAR,
    CalibratedRegion,
    Ellipse,
    Frame,
    GridMapping,
    HeadMask,
    PixelSpacing,
    ScaleMarks,
    StatedScale,
    to_ellipse_perimeter,
)
from headcirc.growth import KnownAge, choose_age, is_extreme, is_plausible
from headcirc.mask import to_frame_grid, to_head_mask
from headcirc.measurement import (
    ChosenCalibration,
    HeadMeasurement,
    choose_calibration,
    measure_head,
)
from headcirc.model.graph import Graph
from headcirc.model.manifest import Manifest, load_manifest
from headcirc.model.prediction import Prediction
from headcirc.model.site import SiteFacts, load_site
from headcirc.network_input import to_greys, to_network_input
from headcirc.overlay import Picture, draw_overlay
from headcirc.quality.assessment import (
    DICOM_CALIBRATION_UNUSABLE,
    DICOM_PIXEL_SPACING_USED,
    EXTREME_Z_SCORE,
    Quality,
    assess_quality,
    find_image_warnings,
)
from headcirc.quality.augmentation import infer_with_augmentation
from headcirc.quality.uncertainty import Interval, Uncertainty, measure_uncertainty, to_interval
from headcirc.readers import DEFAULT_MAXIMUM_PIXELS, decode_frame
from headcirc.readers.pixel_size import to_stated_spacing
from headcirc.scale_bar import ScaleBar, find_scale_bar, require_scale_bar

SHIPPED_MODEL_DIR = Path(__file__).parent / "model" / "shipped"
SHARERS = 2
"""Calls at the same time for which a shared backend is made. More would take more memory each."""
Timing = Mapping[str, float]
"""Milliseconds by stage. It is complete when it is made; nobody writes to it later."""


@dataclass(frozen=True)
class Prepared:
    """A frame, ready for the network.

    Attributes
    ----------
    frame : Frame
    network_input : (1, 1, h, w) float32, network grid
    mapping : GridMapping
    timing_ms : mapping of str to float
        By stage.
    pixel_aspect : float
        Width over height of a pixel of the frame, with which `network_input` was made.
    """

    frame: Frame
    network_input: NDArray[np.float32]
    mapping: GridMapping
    timing_ms: Timing
    pixel_aspect: float = 1.0


@dataclass(frozen=True)
class Head:
    """What was found: mask and ellipse in the frame, and millimetres where the scale is known.

    The interval is None where there are no millimetres, or the model states none.
    """

    mask: HeadMask
    ellipse: Ellipse
    measurement: HeadMeasurement | None
    uncertainty: Uncertainty
    interval: Interval | None

    @property
    def head_circumference_px(self) -> float:
        """Return the ellipse's perimeter in frame pixels."""
        return to_ellipse_perimeter(
            self.ellipse.semi_axis_major_px, self.ellipse.semi_axis_minor_px
        )


@dataclass(frozen=True)
class Analysis:
    """The whole answer.

    Attributes
    ----------
    frame : Frame
    head : Head or None
        None if no head was found.
    region : CalibratedRegion or None
        The region that the head was measured in; None without a head or a pixel size.
    quality : Quality
    timing_ms : mapping of str to float
        By stage.
    model : str
        Name and version of the model that measured.
    site : SiteFacts or None
        The site's recalibration that was applied.
    pixel_aspect : float
        Width over height of a pixel, as the network saw it; an explanation needs the same.
    head_plane_probability : float or None
        Probability that the picture shows a head plane; None if the network has no such output.
    gestational_age : KnownAge or None
        As the caller or the DICOM file states it; it changes no measurement.
    """

    frame: Frame
    head: Head | None
    region: CalibratedRegion | None
    quality: Quality
    timing_ms: Timing = field(default_factory=dict)
    model: str = "unknown"
    site: SiteFacts | None = None
    pixel_aspect: float = 1.0
    head_plane_probability: float | None = None
    gestational_age: KnownAge | None = None

    @property
    def known_region(self) -> CalibratedRegion | None:
        """Return the region whose pixel size is stated with the result.

        Without a head, that is the only calibrated region, because of several none is chosen.
        """
        calibrations = self.frame.calibrations
        if self.head is not None or len(calibrations) != 1:
            return self.region
        return calibrations[0]

    def draw_overlay(self, *, caption: bool = True) -> Picture:
        """Return (rows, columns, 3) uint8: the frame with what was found drawn over it.

        The caption stands below the frame and adds rows.
        """
        mask = None if self.head is None else self.head.mask.pixels
        ellipse = None if self.head is None else self.head.ellipse
        picture = draw_overlay(self.frame.pixels, mask, ellipse, acceptable=self.quality.acceptable)
        return add_caption(picture, self._to_facts()) if caption else picture

    def _to_facts(self) -> ResultFacts:
        head, region = self.head, self.known_region
        measured = None if head is None else head.measurement
        interval = None if head is None else head.interval
        return ResultFacts(
            acceptable=self.quality.acceptable,
            warnings=self.quality.warnings,
            model=self.model,
            site="" if self.site is None else self.site.describe(),
            pixel_size_mm=(
                None if region is None else (region.spacing.column_mm, region.spacing.row_mm)
            ),
            head_circumference_px=None if head is None else head.head_circumference_px,
            head_circumference_mm=None if measured is None else measured.head_circumference_mm,
            interval=(
                None if interval is None else (interval.level, interval.low_mm, interval.high_mm)
            ),
        )


@dataclass(frozen=True)
class Pipeline:
    """A loaded model and the stages around it; safe to use from several threads."""

    manifest: Manifest
    backend: Backend
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS
    site: SiteFacts | None = None
    shared_backend: Backend | None = None
    """The same network for `SHARERS` calls at the same time, if it was asked for and saves time."""

    @property
    def graph(self) -> Graph:
        """Return the form of the network that runs."""
        return self.manifest.graphs[self.backend.precision]

    def prepare(
        self,
        content: bytes,
        *,
        pixel_spacing: StatedScale | None = None,
        frame_index: int | None = None,
    ) -> Prepared:
        """Decode a file and make the network's input.

        Raises
        ------
        InputError
            As `decode_frame`; `ScaleBarError` too if the scale is to be read from the picture.
        """
        watch = Stopwatch()
        frame = decode_frame(
            content,
            pixel_spacing=pixel_spacing if isinstance(pixel_spacing, PixelSpacing) else None,
            frame_index=frame_index,
            maximum_pixels=self.maximum_pixels,
        )
        marks = pixel_spacing if isinstance(pixel_spacing, ScaleMarks) else None
        return self.prepare_frame(frame, marks=marks, watch=watch)

    def prepare_frame(
        self, frame: Frame, *, marks: ScaleMarks | None = None, watch: "Stopwatch | None" = None
    ) -> Prepared:
        """Make the network's input of a decoded frame.

        Parameters
        ----------
        frame : Frame
        marks : ScaleMarks, optional
            Of the depth scale in the picture, which gives the pixel size where the file has none.
        watch : Stopwatch, optional
            Started before the frame was decoded.

        Raises
        ------
        ScaleBarError
        """
        watch = watch or Stopwatch()
        if marks is not None and not frame.calibrations:
            frame = calibrate_by_scale(frame, marks)
        decode_ms, pixel_aspect = watch.lap_ms(), frame.pixel_aspect
        network_input, mapping = to_network_input(
            frame.pixels, self.manifest.input, frame_pixel_aspect=pixel_aspect
        )
        timing_ms = {"decode": decode_ms, "preprocess": watch.lap_ms()}
        return Prepared(frame, network_input, mapping, timing_ms, pixel_aspect)

    def find_scale(
        self, content: bytes, *, frame_index: int | None = None
    ) -> tuple[Frame, ScaleBar | None]:
        """Decode a file and find the depth scale beside the picture; measure nothing.

        Raises
        ------
        InputError
            As `decode_frame`.
        """
        frame = decode_frame(content, frame_index=frame_index, maximum_pixels=self.maximum_pixels)
        return frame, find_scale_bar(frame.pixels)

    def infer(
        self, network_input: NDArray[np.float32], *, is_alone: bool = True
    ) -> list[Prediction]:
        """Return n predictions for (n, 1, h, w), with test-time augmentation where unsure.

        Parameters
        ----------
        network_input : (n, 1, h, w) float32, network grid
        is_alone : bool
            False if other calls run at the same time: then `shared_backend` runs, where there is
            one. The predictions are the same.

        Raises
        ------
        InferenceError
            The backend gave NaN or infinity, which would be reported as no head.
        """
        shared = None if is_alone else self.shared_backend
        run_network = (shared or self.backend).infer
        predictions = infer_with_augmentation(run_network, network_input, self.manifest)
        if not all(each.is_finite() for each in predictions):
            raise InferenceError(
                f"The backend {self.backend.name!r} on {self.backend.device!r} answered with NaN "
                "or infinity; probabilities are needed. Start it again, or name another backend."
            )
        return predictions

    def finish(
        self,
        prepared: Prepared,
        prediction: Prediction,
        *,
        gestational_age_days: int | None = None,
    ) -> Analysis:
        """Make mask, ellipse, millimetres and warnings from the network's outputs.

        The gestational age is the caller's; without one, that of the DICOM file counts.

        Raises
        ------
        PixelSizeConflictError
            The stated pixel size differs from that of the DICOM file.
        """
        watch = Stopwatch()
        in_file_days, has_unusable_age = _read_file_age(prepared.frame)
        age = choose_age(gestational_age_days, in_file_days)
        probabilities = to_frame_grid(prediction.probability_map, prepared.mapping)
        image_warnings = find_image_warnings(
            has_narrow_range=prepared.frame.has_narrow_range,
            head_plane_probability=prediction.head_plane_probability,
            head_plane=self.manifest.head_plane,
            has_unusable_age=has_unusable_age,
            has_age_conflict=age is not None and age.is_in_conflict,
        )
        plane, facts = prediction.head_plane_probability, self.manifest.head_plane
        may_be_head = facts is None or not facts.excludes_head(plane)
        mask = to_head_mask(probabilities, self.manifest.mask) if may_be_head else None
        head, region, quality = self._find_head(
            prepared, prediction.probability_map, probabilities, mask, image_warnings, age=age
        )
        timing_ms = {**prepared.timing_ms, "postprocess": watch.lap_ms()}
        return Analysis(
            prepared.frame,
            head,
            region,
            quality,
            timing_ms,
            model=f"{self.manifest.name} {self.manifest.version}",
            pixel_aspect=prepared.pixel_aspect,
            head_plane_probability=prediction.head_plane_probability,
            site=self.site,
            gestational_age=age,
        )

    def _find_head(
        self,
        prepared: Prepared,
        probability_map: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        mask: HeadMask | None,
        image_warnings: tuple[str, ...],
        *,
        age: KnownAge | None,
    ) -> tuple[Head | None, CalibratedRegion | None, Quality]:
        facts, known = self.manifest.mask, self.manifest.uncertainty
        frame, mapping = prepared.frame, prepared.mapping
        ellipse = None
        if mask is not None:
            ellipse = fit_head_ellipse(probabilities, mask, facts.threshold)
        if mask is None or ellipse is None:
            noted = (*image_warnings, *_to_calibration_warnings(frame))
            quality = assess_quality(mask, ellipse, facts, image_warnings=noted)
            return None, None, quality
        chosen = choose_calibration(frame, ellipse)
        region = chosen.region
        measured = None if region is None else measure_head(ellipse, region.spacing)
        measured_mm = None if measured is None else measured.head_circumference_mm
        content = mapping.crop(prepared.network_input[0, 0])
        uncertainty = measure_uncertainty(
            to_greys(content, self.manifest.input),
            mapping.crop(probability_map),
            mapping,
            mask,
            ellipse,
            facts=known,
            head_circumference_mm=measured_mm,
        )
        if measured is not None and self.site is not None:
            measured = measured.correct(self.site)
            measured_mm = measured.head_circumference_mm
        interval = to_interval(measured_mm, uncertainty, facts=known, site=self.site)
        quality = assess_quality(
            mask,
            ellipse,
            facts,
            head_circumference_mm=measured_mm,
            cephalic_index=None if measured is None else measured.cephalic_index,
            uncertainty=uncertainty,
            limits=None if known is None else known.limits,
            image_warnings=(
                *image_warnings,
                *_to_growth_warnings(measured_mm, age),
                *_to_calibration_warnings(frame, chosen),
            ),
        )
        return Head(mask, ellipse, measured, uncertainty, interval), region, quality

    def analyze(
        self,
        content: bytes,
        *,
        pixel_spacing: StatedScale | None = None,
        gestational_age_days: int | None = None,
        frame_index: int | None = None,
    ) -> Analysis:
        """Measure the head in one file, from bytes to millimetres; raises `InputError`s."""
        prepared = self.prepare(content, pixel_spacing=pixel_spacing, frame_index=frame_index)
        watch = Stopwatch()
        (prediction,) = self.infer(prepared.network_input)
        inference_ms = watch.lap_ms()
        analysis = self.finish(prepared, prediction, gestational_age_days=gestational_age_days)
        timing_ms = {**analysis.timing_ms, "inference": inference_ms}
        return replace(analysis, timing_ms=timing_ms)


def _read_file_age(frame: Frame) -> tuple[int | None, bool]:
    """Return the gestational age of a DICOM file, and whether it states one without use."""
    if frame.source is None:
        return None, False
    days = frame.source.gestational_age_days
    if days is not None and not is_plausible(days):  # such as that of an earlier pregnancy
        return None, True
    return days, frame.source.has_unusable_gestational_age


def _to_growth_warnings(measured_mm: float | None, age: KnownAge | None) -> tuple[str, ...]:
    """Return the warning code about a head that does not fit the known age."""
    if measured_mm is None or age is None or not is_extreme(measured_mm, age.days):
        return ()
    return (EXTREME_Z_SCORE,)


def _to_calibration_warnings(
    frame: Frame, chosen: ChosenCalibration | None = None
) -> tuple[str, ...]:
    """Return the warning codes about the pixel size of the file and, with a head, of its region."""
    region = None if chosen is None else chosen.region
    is_unusable = frame.has_unusable_calibration if chosen is None else chosen.is_dicom_unusable
    checks = {
        DICOM_CALIBRATION_UNUSABLE: is_unusable,
        DICOM_PIXEL_SPACING_USED: region is not None and region.is_from_pixel_spacing,
    }
    return tuple(code for code, holds in checks.items() if holds)


def calibrate_by_scale(frame: Frame, marks: ScaleMarks) -> Frame:
    """Return the frame with the pixel size that its depth scale gives.

    Pixels are taken as square: a depth scale says nothing about their width.

    Raises
    ------
    ScaleBarError
        No scale can be trusted, or its marks contradict the stated distance.
    InvalidPixelSizeError
        No picture has pixels of the resulting size.
    """
    found = require_scale_bar(frame.pixels, marks.mark_mm)
    spacing = to_stated_spacing(marks.mark_mm / found.spacing_px)
    assert spacing is not None, "a size was stated"
    rows, columns = frame.pixels.shape
    region = CalibratedRegion(
        0, 0, columns - 1, rows - 1, spacing, FROM_SCALE_BAR, confidence=found.confidence
    )
    return replace(frame, calibrations=(region,))


def load_pipeline(
    artifact_dir: Path = SHIPPED_MODEL_DIR,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    maximum_pixels: int = DEFAULT_MAXIMUM_PIXELS,
    site_file: Path | None = None,
    is_shared: bool = False,
) -> Pipeline:
    """Load a model and warm it up.

    Parameters
    ----------
    artifact_dir : Path
        Folder with `manifest.json` and what it names.
    backend : str
        `auto` or one of `headcirc.backends.registry.BACKENDS`.
    precision : str
        `auto`, `fp16`, `int8` or `fp32`; see `headcirc.backends`.
    threads : int, optional
        CPUs for inference; by default those that the process really has.
    maximum_pixels : int
        Of one picture.
    site_file : Path, optional
        File of `headcirc recalibrate`, made with the same graph.
    is_shared : bool
        Load what several threads need that call `infer` at the same time; it takes memory.

    Raises
    ------
    ModelArtifactError, BackendUnavailableError, SiteFileError
    """
    manifest = load_manifest(artifact_dir)
    cpus = threads or count_available_cpus()
    loaded = load_backend(backend, manifest, threads=cpus, precision=precision)
    pipeline = Pipeline(manifest, loaded, maximum_pixels)
    if is_shared and cpus >= SHARERS:
        shared = load_shared_backend(loaded, manifest, threads=cpus, sharers=SHARERS)
        pipeline = replace(pipeline, shared_backend=shared)
    if site_file is not None:
        site = load_site(site_file, model_sha256=pipeline.graph.sha256)
        pipeline = replace(pipeline, site=site)
    _warm_up(pipeline)
    return pipeline


def _warm_up(pipeline: Pipeline) -> None:
    """Run every stage but the reader once: libraries initialise at their first call.

    Raises
    ------
    ModelArtifactError
        The graph's outputs are not those that the manifest states.
    """
    facts = pipeline.manifest.input
    black = np.zeros((facts.height_px, facts.width_px), np.uint8)
    network_input, mapping = to_network_input(black, facts)
    (prediction,) = pipeline.infer(network_input)
    pipeline.infer(network_input, is_alone=False)
    if (prediction.head_plane_probability is None) != (pipeline.manifest.head_plane is None):
        raise ModelArtifactError(
            "Only one of manifest and graph has a head-plane output. Export the model again."
        )
    radius = np.hypot(*np.mgrid[-1 : 1 : facts.height_px * 1j, -1 : 1 : facts.width_px * 1j])
    disc = np.clip(8 - 16 * radius, 0, 1).astype(np.float32)
    pipeline.finish(Prepared(Frame(black), network_input, mapping, {}), Prediction(disc))


class Stopwatch:
    """Measures stages that follow one another."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()

    def lap_ms(self) -> float:
        """Return the time since the start or the last lap, and begin the next lap."""
        now_s = time.perf_counter()
        elapsed_ms = (now_s - self._began_s) * 1000
        self._began_s = now_s
        return elapsed_ms
