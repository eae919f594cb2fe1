import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from examples.phantom import draw_phantom
from examples.phantom_parameters import load_parameters, true_head_circumference_mm
from harness.service_process import start_service
from headcirc.cli.commands import main
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.support.dicom_files import make_dicom, make_region
from tests.support.synthetic import to_file

PARAMETERS = load_parameters()[7]
SIZE_MM = PARAMETERS.pixel_size_x_mm
GROWTH = (0.94, 0.97, 0.99, 1.0, 1.0, 1.0, 1.01)
"""Head sizes from frame to frame: the plane moves into the head."""


@pytest.fixture(scope="module")
def frames():
    """Phantoms of heads that grow, one of them in shadow, between frames without a head."""
    empty = np.full((PARAMETERS.rows, PARAMETERS.columns), 8, np.uint8)
    drawn = [
        draw_phantom(
            replace(
                PARAMETERS,
                occipitofrontal_diameter_mm=scale * PARAMETERS.occipitofrontal_diameter_mm,
                biparietal_diameter_mm=scale * PARAMETERS.biparietal_diameter_mm,
                wedge_strength=0.9 if index == 4 else 0.0,
            )
        )
        for index, scale in enumerate(GROWTH)
    ]
    return [empty, *drawn, empty]


@pytest.fixture(scope="module")
def cine(frames, tmp_path_factory):
    box = (0, 0, PARAMETERS.columns - 1, PARAMETERS.rows - 1)
    delta = (SIZE_MM / 10, SIZE_MM / 10)
    path = tmp_path_factory.mktemp("cine") / "cine.dcm"
    path.write_bytes(make_dicom(frames, regions=[make_region(box, delta)], FrameTime=40))
    return path


def test_a_phantom_sweep_gives_the_heads_circumference_and_its_files(cine, tmp_path, capsys):
    """The number, the table, the plot and the best frame; frames without a head do not count."""
    table, plot, best = (tmp_path / name for name in ("track.csv", "track.svg", "best.png"))
    outputs = ["--csv", str(table), "--plot", str(plot), "--best", str(best)]
    assert main(["cine", str(cine), *outputs]) == 0
    said = capsys.readouterr().out.splitlines()
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == [str(index) for index in range(9)]
    assert [row["time_ms"] for row in rows][:3] == ["0.00", "40.00", "80.00"]
    assert [rows[index]["acceptable"] for index in (0, 8)] == ["false", "false"]
    assert "no-head-found" in rows[0]["warnings"]
    true_mm = true_head_circumference_mm(PARAMETERS)
    value_mm = float(said[0].split()[1])
    assert value_mm == pytest.approx(true_mm, rel=0.03)
    assert "acceptable frames agree; 9 frames were read, 7 show a head" in said[1]
    assert said[2].startswith("Best frame: ")
    assert plot.read_text().startswith("<svg")
    with Image.open(best) as picture:
        assert picture.width == PARAMETERS.columns


def test_the_lines_are_printed_as_json(cine, capsys):
    assert main(["cine", str(cine), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["type"] for each in lines] == ["start", *["frame"] * 9, "summary"]


def test_pictures_are_a_cine_and_need_a_pixel_size(frames, tmp_path, capsys):
    """In the order of their names; without a size there is no number and the status says so."""
    for index in range(4):
        (tmp_path / f"{index}.png").write_bytes(to_file(frames[index + 3]))
    assert main(["cine", str(tmp_path), "--pixel-size-mm", str(SIZE_MM)]) == 0
    assert "4 of 4 acceptable frames agree" in capsys.readouterr().out
    assert main(["cine", str(tmp_path)]) == 1
    assert "No pixel size is known" in capsys.readouterr().out


def test_a_service_gives_the_same_lines(cine, capsys):
    """The same numbers over HTTP."""
    assert main(["cine", str(cine), "--json"]) == 0
    here = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    with start_service(SHIPPED_MODEL_DIR) as service:
        assert main(["cine", str(cine), "--json", "--server", service.url]) == 0
    there = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert there[1:-1] == here[1:-1]
    assert there[-1]["head_circumference_mm"] == here[-1]["head_circumference_mm"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--plot", "{cine}"], "would be replaced"),
        (["--server", "http://127.0.0.1:9", "--best", "best.png"], "--best needs the model"),
        (["--server", "http://127.0.0.1:9", "--precision", "fp32"], "the server's to choose"),
        (["--api-key-file", "key"], "--api-key-file is for a service"),
        (["--pixel-size-mm", "0.3"], "the DICOM file states"),
    ],
)
def test_what_cannot_be_done_is_said(cine, options, reason, capsys):
    arguments = [each.format(cine=cine) for each in options]
    assert main(["cine", str(cine), *arguments]) == 2
    assert reason in capsys.readouterr().err
