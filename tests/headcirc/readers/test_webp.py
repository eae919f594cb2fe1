import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from headcirc.readers import decode_frame
from tests.support.synthetic import SMALL_HEAD, draw_head, to_file

GREY = draw_head(SMALL_HEAD, rows=54, columns=80)
WITHOUT_LOSS = {"lossless": True, "exact": True}
SIDE_PX = 4_000
MOST_BYTES_A_PIXEL = 6
"""Colours and grey values take four; Pillow's decoder would take sixteen."""


def test_alpha_is_ignored():
    """Transparent pixels keep the grey value that they are stored with."""
    rgba = np.dstack([GREY, GREY, GREY, np.zeros_like(GREY)])
    assert (decode_frame(to_file(rgba, "WEBP", **WITHOUT_LOSS)).pixels == GREY).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation):
    """A WebP stands as a PNG of the same pixels and orientation does."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).convert("RGB")
    expected = decode_frame(to_file(picture, "PNG", exif=exif)).pixels
    found = decode_frame(to_file(picture, "WEBP", exif=exif, **WITHOUT_LOSS)).pixels
    assert np.array_equal(found, expected)


def test_large_picture_takes_little_memory():
    """The largest that is accepted took 620 MB."""
    content = to_file(Image.new("RGB", (SIDE_PX, SIDE_PX)), "WEBP", method=0)
    program = (
        "import resource as r, sys; from headcirc.readers import decode_frame; "
        "peak = lambda: r.getrusage(r.RUSAGE_SELF).ru_maxrss; content = sys.stdin.buffer.read(); "
        "before = peak(); decode_frame(content); print(peak() - before)"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=content, check=True, capture_output=True)
    assert int(ended.stdout) * 1024 < MOST_BYTES_A_PIXEL * SIDE_PX**2
