"""Pictures with known answers, and a backend that measures them without a trained network."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from headcirc.geometry import Ellipse
from headcirc.model.graph import Graph
from headcirc.model.manifest import InputFacts, Manifest, MaskFacts
from headcirc.model.prediction import Prediction
from headcirc.pipeline import Pipeline
from headcirc.raster import to_ellipse_coverage

FACTS = InputFacts(
    width_px=256, height_px=256, pixel_aspect=800 / 540, mean=0.156, standard_deviation=0.172
)
MASK_FACTS = MaskFacts(
    threshold=0.5,
    minimum_head_share=0.005,
    minimum_mean_probability=0.6,
    acceptable_mean_probability=0.94,
    sure_mean_probability=0.95,
    ellipticity_power=4,
)
HEAD = Ellipse(400.0, 270.0, 220.0, 170.0, 0.5)
SMALL_HEAD = Ellipse(36.0, 25.0, 22.0, 17.0, 0.5)
"""A head in a picture of 54 rows and 80 columns that is not symmetric."""


@dataclass
class BrightnessBackend:
    """A real backend whose network is the identity: bright pixels are head."""

    name: str = "brightness"
    precision: str = "fp32"
    device: str = "cpu"
    calls: list[int] = field(default_factory=list)
    head_plane_probability: float | None = None

    def infer(self, network_input: np.ndarray) -> list[Prediction]:
        """Undo the normalisation and return grey values in [0, 1] as probabilities."""
        self.calls.append(len(network_input))
        maps = network_input[:, 0] * FACTS.standard_deviation + FACTS.mean
        return [Prediction(each, self.head_plane_probability) for each in maps]


def to_manifest(onnx_path: Path = Path("model.onnx")) -> Manifest:
    """Return the manifest of a model without files."""
    return Manifest(
        name="synthetic",
        version="0.0.0",
        width=16,
        parameters=1,
        input=FACTS,
        mask=MASK_FACTS,
        graphs={"fp32": Graph("fp32", onnx_path, "0" * 64)},
    )


def to_synthetic_pipeline() -> Pipeline:
    """Return a pipeline that measures bright ellipses."""
    return Pipeline(to_manifest(), BrightnessBackend())


def draw_head(ellipse: Ellipse = HEAD, *, rows: int = 540, columns: int = 800) -> np.ndarray:
    """Draw a white ellipse with soft edges on black."""
    picture = np.rint(255 * to_ellipse_coverage(ellipse, rows, columns)).astype(np.uint8)
    assert picture.any(), "the head must be inside the picture"
    return picture


def to_file(pixels: np.ndarray | Image.Image, format_name: str = "PNG", **options: object) -> bytes:
    """Encode an array or image as a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()
