import json

import cv2
import numpy as np
import pytest

from headcirc.geometry import to_ellipse_perimeter
from training.data.folds import Folds
from training.data.hc18 import IMAGE_FOLDER, SPLIT_PATH
from training.data.hc18 import TABLE_NAME as HC18_TABLE
from training.data.planes import TABLE_NAME as PLANES_TABLE

ROWS, COLUMNS = 54, 80
PIXEL_SIZE_MM = 0.7


def draw_head(generator):
    """Return a small picture of a skull, its outline, centre, axes and angle."""
    center = [int(value) for value in generator.integers((34, 24), (46, 31))]
    axes = [int(value) for value in generator.integers((20, 14), (26, 19))]
    angle_deg = int(generator.integers(180))
    outline = np.zeros((ROWS, COLUMNS), np.uint8)
    cv2.ellipse(outline, center, axes, angle_deg, 0, 360, 255, 1)
    noise = generator.normal(0, 15, outline.shape)
    picture = np.clip(cv2.GaussianBlur(outline, (0, 0), 1) + 40 + noise, 0, 255)
    return picture.astype(np.uint8), outline, center, axes, angle_deg


@pytest.fixture(scope="session")
def folds_hc18_dir(tmp_path_factory):
    """Write HC18 with two exams of each of the first three committed folds, and two unlabelled."""
    folder, generator = tmp_path_factory.mktemp("folds-hc18"), np.random.default_rng(0)
    (folder / IMAGE_FOLDER).mkdir()
    (folder / "test_set").mkdir()
    lines = ["filename,pixel size(mm),head circumference (mm)"]
    for exams in Folds().exams[:3]:
        for exam in sorted(exams)[:2]:
            picture, outline, _, axes, _ = draw_head(generator)
            name = f"{exam:03d}_HC"
            cv2.imwrite(str(folder / IMAGE_FOLDER / f"{name}.png"), picture)
            cv2.imwrite(str(folder / IMAGE_FOLDER / f"{name}_Annotation.png"), outline)
            size_mm = to_ellipse_perimeter(*axes) * PIXEL_SIZE_MM
            lines.append(f"{name}.png,{PIXEL_SIZE_MM},{size_mm:.2f}")
    for number in range(2):
        cv2.imwrite(str(folder / "test_set" / f"{number:03d}_HC.png"), draw_head(generator)[0])
    (folder / HC18_TABLE).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def folds_planes_dir(tmp_path_factory):
    """Write a head and an abdomen of one patient of each of the first three committed folds."""
    folder, generator = tmp_path_factory.mktemp("folds-planes"), np.random.default_rng(1)
    lines = ["file,kind,source,center_x_px,center_y_px,semi_major_px,semi_minor_px,angle_deg"]
    for kind in ("head", "abdomen"):
        (folder / kind).mkdir()
    for groups in Folds().groups[:3]:
        source, number = min(group for group in groups if " " in group).split()
        picture, _, center, axes, angle_deg = draw_head(generator)
        head, abdomen = f"head/{number}_Plane3_1_of_2.jpg", f"abdomen/{number}_Plane2_1_of_1.jpg"
        cv2.imwrite(str(folder / head), picture)
        noise = generator.integers(0, 255, (ROWS, COLUMNS)).astype(np.uint8)
        cv2.imwrite(str(folder / abdomen), noise)
        lines.append(
            f"{head},head,{source},{center[0]},{center[1]},{axes[0]},{axes[1]},{angle_deg}"
        )
        lines.append(f"{abdomen},abdomen,{source},,,,,")
    (folder / PLANES_TABLE).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Write eight training and two calibration images, numbered as the committed split has them."""
    folder = tmp_path_factory.mktemp("hc18")
    (folder / IMAGE_FOLDER).mkdir()
    split, generator = json.loads(SPLIT_PATH.read_text()), np.random.default_rng(0)
    lines = ["filename,pixel size(mm),head circumference (mm)"]
    for exam in split["train"][:8] + split["calibration"][:2]:
        center = [int(value) for value in generator.integers((34, 24), (46, 31))]
        axes = [int(value) for value in generator.integers((20, 14), (26, 19))]
        outline = np.zeros((ROWS, COLUMNS), np.uint8)
        cv2.ellipse(outline, center, axes, int(generator.integers(180)), 0, 360, 255, 1)
        noise = generator.normal(0, 15, outline.shape)
        image = np.clip(cv2.GaussianBlur(outline, (0, 0), 1) + 40 + noise, 0, 255)
        name = f"{exam:03d}_HC"
        cv2.imwrite(str(folder / IMAGE_FOLDER / f"{name}.png"), image.astype(np.uint8))
        cv2.imwrite(str(folder / IMAGE_FOLDER / f"{name}_Annotation.png"), outline)
        circumference_mm = to_ellipse_perimeter(*axes) * PIXEL_SIZE_MM
        lines.append(f"{name}.png,{PIXEL_SIZE_MM},{circumference_mm:.2f}")
    (folder / HC18_TABLE).write_text("\n".join(lines) + "\n")
    return folder
