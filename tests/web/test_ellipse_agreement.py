"""The page's live figures are the library's: the same formula on both sides."""

import json
import math
import shutil
import subprocess

import numpy as np
import pytest

from headcirc.geometry import Ellipse, PixelSpacing
from headcirc.measurement import measure_head

SCRIPT = """
import { fromService, measure } from "./service/headcirc_service/web/ellipse_geometry.js";
let text = "";
for await (const part of process.stdin) text += part;
const found = JSON.parse(text).map(([ellipse, pixel]) => measure(fromService(ellipse), pixel));
process.stdout.write(JSON.stringify(found));
"""


def draw_cases(number: int) -> list[tuple[dict, dict]]:
    """Return ellipses and pixel sizes, from circles to a quarter, square pixels and others."""
    rng = np.random.default_rng(0)
    cases = []
    for index in range(number):
        major = rng.uniform(20, 400)
        ellipse = {
            "center_x_px": rng.uniform(0, 800),
            "center_y_px": rng.uniform(0, 540),
            "semi_major_px": major,
            "semi_minor_px": major * (1.0 if index == 0 else rng.uniform(0.25, 1)),
            "angle_deg": rng.uniform(0, 180),
        }
        x_mm = rng.uniform(0.05, 0.4)
        y_mm = x_mm if index % 2 == 0 else rng.uniform(0.05, 0.4)
        cases.append((ellipse, {"xMm": x_mm, "yMm": y_mm}))
    return cases


def test_page_and_library_measure_the_same():
    """To a billionth, where pixels are not square too."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian's package nodejs; make system-deps)")
    cases = draw_cases(200)
    command = [node, "--input-type=module", "--eval", SCRIPT]
    asked = json.dumps(cases)
    run = subprocess.run(command, check=True, capture_output=True, text=True, input=asked)
    for (ellipse, pixel), found in zip(cases, json.loads(run.stdout), strict=True):
        shape = Ellipse(
            ellipse["center_x_px"],
            ellipse["center_y_px"],
            ellipse["semi_major_px"],
            ellipse["semi_minor_px"],
            math.radians(ellipse["angle_deg"]),
        )
        expected = measure_head(shape, PixelSpacing(row_mm=pixel["yMm"], column_mm=pixel["xMm"]))
        assert found == {
            "hc": pytest.approx(expected.head_circumference_mm, rel=1e-9),
            "bpd": pytest.approx(expected.biparietal_diameter_mm, rel=1e-9),
            "ofd": pytest.approx(expected.occipitofrontal_diameter_mm, rel=1e-9),
        }
