"""Draw README's picture: the example phantom, its overlay and the measured values.

`python examples/picture.py --out docs/result.png` measures `examples/phantom.png` with the shipped
model and draws input and overlay side by side.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).parent.parent))  # allows running from any folder

from examples.phantom import load_parameters, true_head_circumference_mm
from headcirc.overlay import draw_overlay
from headcirc.pipeline import load_pipeline

EXAMPLE = Path(__file__).with_name("phantom.png")
EXAMPLE_INDEX = 7
CAPTION_ROWS = 64
FONT_PX = 26


def draw_result() -> Image.Image:
    """Measure the example; draw frame and overlay above a caption with the values."""
    parameters = load_parameters()[EXAMPLE_INDEX]
    analysis = load_pipeline().analyze(EXAMPLE.read_bytes(), pixel_spacing=parameters.spacing)
    head = analysis.head
    assert head is not None, "the shipped model finds the example's head"
    assert head.measurement is not None, "the example's pixel size is stated"
    pixels = analysis.frame.pixels
    overlay = draw_overlay(pixels, head.mask.pixels, head.ellipse)
    plain = np.repeat(pixels[..., None], 3, axis=2)
    caption = np.zeros((CAPTION_ROWS, 2 * pixels.shape[1], 3), np.uint8)
    picture = Image.fromarray(np.vstack((np.hstack((plain, overlay)), caption)))
    measured = head.measurement
    left = f"phantom, drawn with HC {true_head_circumference_mm(parameters):.1f} mm"
    right = (
        f"HC {measured.head_circumference_mm:.1f} mm   "
        f"BPD {measured.biparietal_diameter_mm:.1f} mm   "
        f"OFD {measured.occipitofrontal_diameter_mm:.1f} mm"
    )
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_PX)
    top = pixels.shape[0] + (CAPTION_ROWS - FONT_PX) // 2
    pen.text((20, top), left, fill="white", font=font)
    pen.text((pixels.shape[1] + 20, top), right, fill="white", font=font)
    return picture


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Draw README's picture of a result.")
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    draw_result().save(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
