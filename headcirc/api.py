"""The public Python API: load a model, measure pictures, read the result.

`import headcirc` offers these names and imports this module when one of them is first used.
"""

import io
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from headcirc.answers import AnalysisFacts, GestationalAge, Growth, to_analysis_facts
from headcirc.cine.answers import CineLine
from headcirc.cine.lines import measure_cine
from headcirc.errors import InputError, UnreadableImageError
from headcirc.geometry import Ellipse, PixelSpacing, ScaleMarks, StatedScale
from headcirc.growth import require_gestational_age
from headcirc.overlay import Picture, to_png
from headcirc.pipeline import SHIPPED_MODEL_DIR, Analysis, Head, Pipeline, load_pipeline
from headcirc.readers.pixel_size import to_scale_marks, to_stated_spacing
from headcirc.reports.drawing import Drawing, to_picture, to_svg
from headcirc.reports.fhir import to_bundle
from headcirc.reports.fhir_elements import ImagingSource
from headcirc.reports.fhir_imaging import choose_imaging, read_imaging_source
from headcirc.reports.growth_chart import EarlierPoint, draw_growth_chart

Source = str | os.PathLike[str] | bytes | NDArray[Any]
"""A path, the bytes of a file, or pixels: (rows, columns) grey or (rows, columns, 3) RGB, uint8."""
Part = TypeVar("Part")
GREY_DIMENSIONS, COLOR_SHAPE = 2, (3,)


@dataclass(frozen=True)
class Measurement:
    """The result for one picture; what could not be measured is None, never 0.

    Attributes
    ----------
    analysis : Analysis or None
        Everything that the pipeline found: frame, mask, ellipse, uncertainty, timing.
    path : Path or None
        The file that was measured; None for bytes and pixels.
    error : Exception or None
        Why the picture could not be read. Only `Model.measure_many` gives such a result.
    answer : AnalysisFacts or None
        What the service would answer, field by field; None if the picture could not be read.
    """

    analysis: Analysis | None
    path: Path | None = None
    error: InputError | OSError | None = None
    answer: AnalysisFacts | None = None

    @property
    def head_circumference_mm(self) -> float | None:
        """Return the perimeter of the ellipse on the outer edge of the skull, in mm.

        None without a head, or without a pixel size.
        """
        return self._get_millimetres("head_circumference_mm")

    @property
    def head_circumference_raw_mm(self) -> float | None:
        """Return the head circumference without the correction of a site file, in mm."""
        return self._get_millimetres("head_circumference_raw_mm")

    @property
    def biparietal_diameter_mm(self) -> float | None:
        """Return the ellipse's minor axis in mm, outer edge to outer edge."""
        return self._get_millimetres("biparietal_diameter_mm")

    @property
    def occipitofrontal_diameter_mm(self) -> float | None:
        """Return the ellipse's major axis in mm, outer edge to outer edge."""
        return self._get_millimetres("occipitofrontal_diameter_mm")

    @property
    def cephalic_index(self) -> float | None:
        """Return the biparietal over the occipitofrontal diameter."""
        return self._get_millimetres("cephalic_index")

    @property
    def interval_mm(self) -> tuple[float, float] | None:
        """Return the lower and upper bound of the head circumference in mm.

        `docs/uncertainty.md` says how often the interval holds the annotated value.
        """
        interval = None if self._head is None else self._head.interval
        return None if interval is None else (interval.low_mm, interval.high_mm)

    @property
    def gestational_age(self) -> GestationalAge | None:
        """Return the gestational age from the circumference, by two published methods.

        None without millimetres.
        """
        return None if self.answer is None else self.answer.gestational_age

    @property
    def growth(self) -> Growth | None:
        """Return z-scores and centiles by the INTERGROWTH-21st standard.

        None if neither the caller nor the DICOM file states a gestational age.
        """
        return None if self.answer is None else self.answer.growth

    @property
    def head_circumference_px(self) -> float | None:
        """Return the ellipse's perimeter in pixels; None without a head."""
        return None if self._head is None else self._head.head_circumference_px

    @property
    def ellipse(self) -> Ellipse | None:
        """Return the fitted ellipse in pixels; None without a head."""
        return None if self._head is None else self._head.ellipse

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Return (rows, columns) bool, True inside the head; None without a head."""
        return None if self._head is None else self._head.mask.pixels

    @property
    def head_plane_probability(self) -> float | None:
        """Return the probability that the picture shows a head plane.

        None if the model does not judge the kind of plane.
        """
        return None if self.analysis is None else self.analysis.head_plane_probability

    @property
    def acceptable(self) -> bool:
        """Return whether the quality checks let a person rely on the result."""
        return self.analysis is not None and self.analysis.quality.acceptable

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the codes of the quality checks that failed, such as `no-head-found`."""
        return () if self.analysis is None else tuple(self.analysis.quality.warnings)

    def overlay(self) -> Picture:
        """Draw the outline and the ellipse over the picture, with a caption below it.

        Returns
        -------
        (rows + caption rows, columns, 3) uint8, RGB

        Raises
        ------
        InputError, OSError
            The picture could not be read.
        """
        return _require(self.analysis, self.error).draw_overlay()

    def save_overlay(self, path: str | os.PathLike[str]) -> None:
        """Write the overlay as a PNG file."""
        Path(path).write_bytes(to_png(self.overlay()))

    def growth_chart(self, earlier: Sequence[tuple[int, float]] = ()) -> Drawing:
        """Draw the circumference into the centiles of the growth standard.

        Parameters
        ----------
        earlier : sequence of (gestational age in days, circumference in mm)
            Measured before; they are drawn too.

        Returns
        -------
        Drawing
            `reports.drawing.to_picture` makes pixels of it, and `to_svg` a document.

        Raises
        ------
        NoHeadFoundError, PixelSizeMissingError, GestationalAgeMissingError
            There is nothing to draw.
        InputError, OSError
            The picture could not be read, or an earlier point is later than this one.
        """
        points = [EarlierPoint(days, value_mm) for days, value_mm in earlier]
        return draw_growth_chart(_require(self.answer, self.error), points)

    def save_growth_chart(
        self, path: str | os.PathLike[str], earlier: Sequence[tuple[int, float]] = ()
    ) -> None:
        """Write the growth chart as SVG where the file's name ends so, otherwise as PNG."""
        drawing, target = self.growth_chart(earlier), Path(path)
        if target.suffix.lower() == ".svg":
            target.write_text(to_svg(drawing), encoding="utf-8")
        else:
            target.write_bytes(to_png(to_picture(drawing)))

    def to_fhir(
        self,
        *,
        subject: str | None = None,
        focus: str | None = None,
        imaging: ImagingSource | None = None,
    ) -> dict[str, Any]:
        """Return the result as a FHIR R4 Bundle, in plain JSON types.

        Parameters
        ----------
        subject, focus : str, optional
            References, such as `Patient/123`: whose record it is, and the fetus where the subject
            is the mother.
        imaging : ImagingSource, optional
            Identifiers of the DICOM object that was measured; a DICOM file states its own.

        Raises
        ------
        InputError, OSError
            The picture could not be read, or a reference or an identifier cannot be used.
        """
        answer = _require(self.answer, self.error)
        source = None if self.analysis is None else self.analysis.frame.source
        imaging = choose_imaging(imaging, read_imaging_source(source))
        return to_bundle(answer, subject=subject, focus=focus, imaging=imaging)

    def _repr_png_(self) -> bytes | None:
        """Show the overlay in a notebook."""
        return None if self.analysis is None else to_png(self.overlay())

    @property
    def _head(self) -> Head | None:
        return None if self.analysis is None else self.analysis.head

    def _get_millimetres(self, name: str) -> float | None:
        measured = None if self._head is None else self._head.measurement
        return None if measured is None else float(getattr(measured, name))


@dataclass(frozen=True)
class Model:
    """A loaded model; `load_model` makes one. It can be used from several threads.

    Attributes
    ----------
    pipeline : Pipeline
        The stages that measure, for those who need one of them alone.
    """

    pipeline: Pipeline

    @property
    def name(self) -> str:
        """Return the model's name."""
        return self.pipeline.manifest.name

    @property
    def version(self) -> str:
        """Return the version of the weights."""
        return self.pipeline.manifest.version

    @property
    def backend(self) -> str:
        """Return the runtime that the model runs on, such as `openvino`."""
        return self.pipeline.backend.name

    @property
    def precision(self) -> str:
        """Return the arithmetic of the network: `fp32`, `fp16` or `int8`."""
        return self.pipeline.backend.precision

    def measure(
        self,
        source: Source,
        *,
        pixel_size_mm: float | StatedScale | None = None,
        frame: int | None = None,
        gestational_age_days: int | None = None,
    ) -> Measurement:
        """Measure the head in one picture.

        Parameters
        ----------
        source : path, bytes or array
            A file (PNG, JPEG, BMP, TIFF, WebP, DICOM), its content, or its pixels: (rows, columns)
            grey or (rows, columns, 3) RGB, uint8.
        pixel_size_mm : float, PixelSpacing or ScaleMarks, optional
            Width and height of a pixel in mm. Without it only DICOM files, which state their own,
            have millimetres. `ScaleMarks` takes it from the depth scale in the picture, where the
            file states none.
        frame : int, optional
            The frame of a DICOM file of several frames, counted from 0.
        gestational_age_days : int, optional
            By last menstrual period or early scan. Without it there is no `Measurement.growth`.

        Returns
        -------
        Measurement
            A picture without a head gives a result too, with the warning `no-head-found`.

        Raises
        ------
        InputError
            The picture cannot be decoded or is too large, the pixel size or the gestational age is
            not plausible, or the pixel size is not that of the DICOM file.
        InferenceError
            The runtime failed.
        OSError
            The file cannot be opened.
        """
        spacing = _to_spacing(pixel_size_mm)
        age_days = require_gestational_age(gestational_age_days)
        content, path = _read(source)
        analysis = self.pipeline.analyze(
            content, pixel_spacing=spacing, frame_index=frame, gestational_age_days=age_days
        )
        answer = to_analysis_facts(analysis, self.pipeline)
        return Measurement(analysis, path, answer=answer)

    def measure_many(
        self,
        sources: Iterable[Source],
        *,
        pixel_size_mm: float | StatedScale | None = None,
        gestational_age_days: int | None = None,
    ) -> Iterator[Measurement]:
        """Measure pictures one after the other, as the results are asked for.

        Parameters
        ----------
        sources : iterable of path, bytes or array
            As `measure` takes them.
        pixel_size_mm : float, PixelSpacing or ScaleMarks, optional
        gestational_age_days : int, optional
            Both apply to every picture.

        Yields
        ------
        Measurement
            In the order of `sources`. A picture that cannot be read has its `error` set and does
            not stop the others.

        Raises
        ------
        InvalidPixelSizeError, InvalidGestationalAgeError
            One of them is not plausible. Raised at the call, before anything is measured.
        """
        spacing = _to_spacing(pixel_size_mm)
        age_days = require_gestational_age(gestational_age_days)
        return (self._measure_or_report(source, spacing, age_days) for source in sources)

    def measure_cine(
        self,
        source: Source | Sequence[Source],
        *,
        pixel_size_mm: float | StatedScale | None = None,
    ) -> Generator[CineLine]:
        """Measure every frame of a cine or video, as the lines are asked for.

        Parameters
        ----------
        source : path or bytes, or sequence of path, bytes or array
            A multi-frame DICOM file, an MP4 or an AVI; or pictures in turn.
        pixel_size_mm : float, PixelSpacing or ScaleMarks, optional
            Of all frames, as for `measure`.

        Yields
        ------
        CineStart, CineFrame or CineSummary
            A start, a line for each frame, and the summary. Close the iterator to stop earlier.

        Raises
        ------
        InputError
            The file cannot be measured, or not to its end.
        InferenceError
            The runtime failed.
        OSError
            A file cannot be opened.
        """
        spacing = _to_spacing(pixel_size_mm)
        several = isinstance(source, Sequence) and not isinstance(source, str | bytes)
        sources = cast(Sequence[Source], source if several else [source])
        with ExitStack() as stack:
            streams = [stack.enter_context(_open(each)) for each in sources]
            yield from measure_cine(self.pipeline, streams, pixel_spacing=spacing)

    def _measure_or_report(
        self, source: Source, spacing: StatedScale | None, age_days: int | None
    ) -> Measurement:
        try:
            return self.measure(source, pixel_size_mm=spacing, gestational_age_days=age_days)
        except (InputError, OSError) as error:
            path = Path(source) if isinstance(source, str | os.PathLike) else None
            return Measurement(None, path, error)


def load_model(
    folder: str | os.PathLike[str] | None = None,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    site_file: str | os.PathLike[str] | None = None,
) -> Model:
    """Load a model and warm it up.

    Parameters
    ----------
    folder : path, optional
        Folder with `manifest.json` and the graphs; by default the model in this package.
    backend : str
        `auto`, `tensorrt`, `openvino`, `onnxruntime` or `onnxruntime-cuda`.
    precision : str
        `auto`, `fp16`, `int8` or `fp32`.
    threads : int, optional
        CPUs for the network; by default all that the process may use.
    site_file : path, optional
        File of `headcirc recalibrate`: the site's own offset and intervals.

    Raises
    ------
    ModelArtifactError
        The folder holds no model, or a damaged one.
    BackendUnavailableError
        The runtime is not installed or cannot run here.
    SiteFileError
        The site file is missing, damaged, or was made with another model.
    """
    return Model(
        load_pipeline(
            SHIPPED_MODEL_DIR if folder is None else Path(folder),
            backend=backend,
            precision=precision,
            threads=threads,
            site_file=None if site_file is None else Path(site_file),
        )
    )


def _require(part: Part | None, error: Exception | None) -> Part:
    """Return a part of a result, or raise why the picture could not be read."""
    if part is None:
        assert error is not None, "a result has an analysis or an error"
        raise error
    return part


def _to_spacing(pixel_size_mm: float | StatedScale | None) -> StatedScale | None:
    if isinstance(pixel_size_mm, ScaleMarks):
        return to_scale_marks(pixel_size_mm.mark_mm)
    if isinstance(pixel_size_mm, PixelSpacing):
        return to_stated_spacing(
            pixel_size_x_mm=pixel_size_mm.column_mm, pixel_size_y_mm=pixel_size_mm.row_mm
        )
    return to_stated_spacing(pixel_size_mm)


def _open(source: Source) -> BinaryIO:
    """Return a file that can be read from any place; one on the disk stays there."""
    if isinstance(source, str | os.PathLike):
        return Path(source).open("rb")
    return io.BytesIO(_read(source)[0])


def _read(source: Source) -> tuple[bytes, Path | None]:
    """Return the bytes of a file, and its path where it has one."""
    if isinstance(source, bytes):
        return source, None
    if isinstance(source, np.ndarray):
        return _to_file_content(source), None
    path = Path(source)
    return path.read_bytes(), path


def _to_file_content(pixels: NDArray[Any]) -> bytes:
    """Return pixels as a PNG, so that they are measured exactly as the file would be.

    Raises
    ------
    UnreadableImageError
        The array is not an 8-bit picture.
    """
    is_picture = pixels.ndim == GREY_DIMENSIONS or (
        pixels.ndim == GREY_DIMENSIONS + 1 and pixels.shape[GREY_DIMENSIONS:] == COLOR_SHAPE
    )
    if pixels.dtype != np.uint8 or not is_picture or pixels.size == 0:
        raise UnreadableImageError(
            f"An array {pixels.shape} of {pixels.dtype} was given; pixels are uint8, "
            "(rows, columns) grey or (rows, columns, 3) RGB."
        )
    return to_png(np.ascontiguousarray(pixels))
