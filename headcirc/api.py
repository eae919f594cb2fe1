"""The public Python API: load a model, measure pictures, read the result.

`import headcirc` offers these names and imports this module when one of them is first used.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headcirc.errors import InputError, UnreadableImageError
from headcirc.geometry import Ellipse, PixelSpacing, ScaleMarks, StatedScale
from headcirc.overlay import Picture, to_png
from headcirc.pipeline import SHIPPED_MODEL_DIR, Analysis, Head, Pipeline, load_pipeline
from headcirc.readers.pixel_size import to_scale_marks, to_stated_spacing

Source = str | os.PathLike[str] | bytes | NDArray[Any]
"""A path, the bytes of a file, or pixels: (rows, columns) grey or (rows, columns, 3) RGB, uint8."""
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
    """

    analysis: Analysis | None
    path: Path | None = None
    error: InputError | OSError | None = None

    @property
    def head_circumference_mm(self) -> float | None:
        """Return the perimeter of the ellipse on the outer edge of the skull, in mm.

        None without a head, or without a pixel size.
        """
        return self._get_millimetres("head_circumference_mm")

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
        if self.analysis is None:
            assert self.error is not None, "a result has an analysis or an error"
            raise self.error
        return self.analysis.draw_overlay()

    def save_overlay(self, path: str | os.PathLike[str]) -> None:
        """Write the overlay as a PNG file."""
        Path(path).write_bytes(to_png(self.overlay()))

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
        self, source: Source, *, pixel_size_mm: float | StatedScale | None = None
    ) -> Measurement:
        """Measure the head in one picture.

        Parameters
        ----------
        source : path, bytes or array
            A file (PNG, JPEG, BMP, TIFF, WebP), its content, or its pixels: (rows, columns) grey
            or (rows, columns, 3) RGB, uint8.
        pixel_size_mm : float, PixelSpacing or ScaleMarks, optional
            Width and height of a pixel in mm. Without it there are no millimetres. `ScaleMarks`
            takes it from the depth scale in the picture.

        Returns
        -------
        Measurement
            A picture without a head gives a result too, with the warning `no-head-found`.

        Raises
        ------
        InputError
            The picture cannot be decoded, is too large, or the pixel size is not plausible.
        InferenceError
            The runtime failed.
        OSError
            The file cannot be opened.
        """
        spacing = _to_spacing(pixel_size_mm)
        content, path = _read(source)
        return Measurement(self.pipeline.analyze(content, pixel_spacing=spacing), path)

    def measure_many(
        self, sources: Iterable[Source], *, pixel_size_mm: float | StatedScale | None = None
    ) -> Iterator[Measurement]:
        """Measure pictures one after the other, as the results are asked for.

        Parameters
        ----------
        sources : iterable of path, bytes or array
            As `measure` takes them.
        pixel_size_mm : float, PixelSpacing or ScaleMarks, optional
            Applies to every picture.

        Yields
        ------
        Measurement
            In the order of `sources`. A picture that cannot be read has its `error` set and does
            not stop the others.

        Raises
        ------
        InvalidPixelSizeError
            The pixel size is not plausible. Raised at the call, before anything is measured.
        """
        spacing = _to_spacing(pixel_size_mm)
        return (self._measure_or_report(source, spacing) for source in sources)

    def _measure_or_report(self, source: Source, spacing: StatedScale | None) -> Measurement:
        try:
            return self.measure(source, pixel_size_mm=spacing)
        except (InputError, OSError) as error:
            path = Path(source) if isinstance(source, str | os.PathLike) else None
            return Measurement(None, path, error)


def load_model(
    folder: str | os.PathLike[str] | None = None,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
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

    Raises
    ------
    ModelArtifactError
        The folder holds no model, or a damaged one.
    BackendUnavailableError
        The runtime is not installed or cannot run here.
    """
    return Model(
        load_pipeline(
            SHIPPED_MODEL_DIR if folder is None else Path(folder),
            backend=backend,
            precision=precision,
            threads=threads,
        )
    )


def _to_spacing(pixel_size_mm: float | StatedScale | None) -> StatedScale | None:
    if isinstance(pixel_size_mm, ScaleMarks):
        return to_scale_marks(pixel_size_mm.mark_mm)
    if isinstance(pixel_size_mm, PixelSpacing):
        return to_stated_spacing(
            pixel_size_x_mm=pixel_size_mm.column_mm, pixel_size_y_mm=pixel_size_mm.row_mm
        )
    return to_stated_spacing(pixel_size_mm)


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
