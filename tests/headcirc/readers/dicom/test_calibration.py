import math

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from headcirc.errors import PixelSizeConflictError
from headcirc.geometry import Ellipse, PixelSpacing, ScaleMarks
from headcirc.measurement import measure_head
from headcirc.readers import decode_frame
from tests.support.depth_scale import draw_scale
from tests.support.dicom_files import (
    CM_PER_PX,
    CURVE,
    DOPPLER,
    make_dicom,
    make_region,
)
from tests.support.synthetic import draw_head, to_synthetic_pipeline

ROWS, COLUMNS = 600, 1000
HEAD = Ellipse(400.0, 270.0, 220.0, 170.0, 0.5)
"""In the coordinates of the picture's region."""
BOX = (100, 40, 899, 579)
MM = 10 * CM_PER_PX
WHOLE = (0, 0, COLUMNS - 1, ROWS - 1)
UNUSABLE = "dicom-calibration-unusable"


def draw_screen(head=HEAD, box=BOX, *, text=True):
    """Return a screen with a head in a region, and bright text and traces beside it."""
    screen = np.zeros((ROWS, COLUMNS), np.uint8)
    left, top, right, bottom = box
    screen[top : bottom + 1, left : right + 1] = draw_head(
        head, rows=bottom - top + 1, columns=right - left + 1
    )
    if text:
        screen[5:30, 20:900:7] = 255
        screen[100:500, 20:80:5] = 255
    return screen


def analyze(content, **options):
    return to_synthetic_pipeline().analyze(content, **options)


def to_expected_mm(row_mm=MM, column_mm=MM):
    return measure_head(HEAD, PixelSpacing(row_mm, column_mm)).head_circumference_mm


def measure(content, **options):
    """Return the circumference, None without one, and the warnings."""
    analysis = analyze(content, **options)
    assert analysis.head is not None
    measured = analysis.head.measurement
    return None if measured is None else measured.head_circumference_mm, analysis.quality.warnings


def measure_screen(regions, screen=None, **changes):
    return measure(
        make_dicom(draw_screen() if screen is None else screen, regions=regions, **changes)
    )


def test_region_gives_the_millimetres_and_the_frame():
    """The head is measured to 0.3 %; only the region's pixels are the frame."""
    analysis = analyze(make_dicom(draw_screen(), regions=[make_region(BOX)]))
    measured = analysis.head.measurement.head_circumference_mm
    assert measured == pytest.approx(to_expected_mm(), rel=0.003)
    assert analysis.quality.warnings == ()
    assert analysis.frame.pixels.shape == (540, 800)
    assert analysis.region.source == "dicom"
    source = analysis.frame.source
    assert (source.left_px, source.top_px) == (100, 40)
    assert analysis.head.ellipse.center_x_px + source.left_px == pytest.approx(500, abs=0.5)
    assert (source.header.Rows, source.header.Columns) == (ROWS, COLUMNS)


@pytest.mark.parametrize("signs", [(-1, 1), (1, -1), (-1, -1)])
def test_unequal_and_negative_deltas_are_understood(signs):
    """The sign is the direction in which values grow; the axes keep their own sizes."""
    delta = (signs[0] * 0.02, signs[1] * 0.013)
    measured, warnings = measure_screen([make_region(BOX, delta)])
    assert measured == pytest.approx(to_expected_mm(row_mm=0.13, column_mm=0.2), rel=0.004)
    assert warnings == ()


def test_traces_beside_the_picture_stay_outside():
    """A spectrum and a curve have other units; their regions change nothing."""
    regions = [
        make_region((0, 0, 60, 599), (1.0, 1.0), units=(4, 7), kind=DOPPLER),
        make_region(BOX),
        make_region((100, 580, 899, 599), (0.01, 0.0), units=(4, 0), kind=CURVE),
    ]
    measured, warnings = measure_screen(regions)
    assert measured == pytest.approx(to_expected_mm(), rel=0.003)
    assert warnings == ()


LEFT, RIGHT = (0, 0, 399, 399), (500, 0, 899, 399)


@pytest.mark.parametrize(("box", "other"), [(LEFT, RIGHT), (RIGHT, LEFT)])
def test_of_two_pictures_the_one_with_the_head_gives_the_scale(box, other):
    """What lies between them is black for the network."""
    head = Ellipse(200, 190, 110, 85, 0.4)
    screen = draw_screen(head, box, text=False)
    screen[0:400, 410:490] = 255
    regions = [make_region(other, (0.05, 0.05)), make_region(box, (0.02, 0.02))]
    analysis = analyze(make_dicom(screen, regions=regions))
    expected = measure_head(head, PixelSpacing(0.2, 0.2)).head_circumference_mm
    assert analysis.head.measurement.head_circumference_mm == pytest.approx(expected, rel=0.01)
    assert not analysis.frame.pixels[:400, 410:490].any()


def test_head_in_a_picture_without_a_scale_has_no_millimetres():
    """The scale of the picture beside it is not used."""
    head = Ellipse(200, 190, 110, 85, 0.4)
    regions = [make_region(LEFT), make_region(RIGHT, units=(0, 0))]
    measured, warnings = measure_screen(regions, draw_screen(head, RIGHT, text=False))
    assert measured is None
    assert {UNUSABLE, "pixel-size-missing"} <= {*warnings}


def test_head_across_two_pictures_has_no_millimetres():
    """No region contains it."""
    head = Ellipse(449, 200, 150, 120, 0.0)
    screen = draw_screen(head, (0, 0, 899, 399), text=False)
    regions = [make_region((0, 0, 449, 399)), make_region((450, 0, 899, 399), (0.02, 0.02))]
    measured, warnings = measure_screen(regions, screen)
    assert measured is None
    assert UNUSABLE in warnings


def test_overlapping_regions_must_agree():
    """A colour box inside the picture has its scale; one of another scale is a contradiction."""
    box = make_region((450, 240, 550, 340), kind=(1, 2))
    assert measure_screen([make_region(BOX), box])[1] == ()
    inside = make_region((120, 60, 880, 560), (CM_PER_PX * 1.02,) * 2)
    measured, warnings = measure_screen([make_region(BOX), inside])
    assert measured is None
    assert UNUSABLE in warnings


@pytest.mark.parametrize("kind", [(1, 2), (1, 1)])
def test_region_may_end_with_the_pixel_after_the_last(kind):
    """X1 == Columns is an end that does not count; two pixels more are a picture that shrank."""
    screen = draw_screen(box=WHOLE, text=False)
    for excess, unusable in ((0, False), (1, False), (2, True)):
        region = make_region((0, 0, COLUMNS - 1 + excess, ROWS - 1 + excess), kind=kind)
        frame = decode_frame(make_dicom(screen, regions=[region]))
        assert frame.has_unusable_calibration is unusable
        assert frame.pixels.shape == (ROWS, COLUMNS)
        assert len(frame.calibrations) == (0 if unusable else 1)


BROKEN = {
    "beyond the picture": {"RegionLocationMaxX1": COLUMNS + 40},
    "ends before it begins": {"RegionLocationMaxX1": 50},
    "no corner": {"RegionLocationMinY0": None},
    "no unit": {"PhysicalUnitsXDirection": None},
    "no delta": {"PhysicalDeltaY": None},
    "no kind": {"RegionSpatialFormat": None},
    "no width": {"PhysicalDeltaX": 0.0},
    "not a number": {"PhysicalDeltaX": math.nan},
    "infinite": {"PhysicalDeltaY": math.inf},
    "metres": {"PhysicalDeltaX": 13.0},
    "too small": {"RegionLocationMaxX1": 110},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_region_that_cannot_be_true_gives_no_millimetres(change):
    """The head is still found in the whole screen; Pixel Spacing does not step in."""
    screen = draw_screen(text=False)
    measured, warnings = measure_screen([make_region(BOX, **change)], screen, PixelSpacing=[MM, MM])
    assert measured is None
    assert {UNUSABLE, "pixel-size-missing"} <= {*warnings}


@pytest.mark.parametrize("units", [(0, 0), (3, 0), (4, 3), (1, 1), (10, 10), (8, 8)])
def test_units_other_than_centimetres_are_no_lengths(units):
    region = make_region(BOX, units=units)
    assert measure_screen([region])[0] is None
    assert UNUSABLE in measure_screen([region])[1]
    measured, warnings = measure_screen([region], PixelSpacing=[MM, MM])
    assert measured == pytest.approx(to_expected_mm(), rel=0.003)
    assert warnings == ("dicom-pixel-spacing-used",)


@pytest.mark.parametrize("scale", [1.3, 1.5, 2.0])
def test_picture_that_was_enlarged_after_its_region_was_written_is_noticed(hc18_dir, scale):
    """The region's border then runs through speckle; its delta would be wrong by the scale."""
    import cv2

    noticed, clean = 0, 0
    paths = sorted((hc18_dir / "training_set").glob("*_HC.png"))[:20]
    for path in paths:
        screen = np.zeros((ROWS, COLUMNS), np.uint8)
        screen[30:570, 100:900] = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[:540, :800]
        region = make_region((100, 30, 899, 569))
        clean += decode_frame(make_dicom(screen, regions=[region])).has_unusable_calibration
        larger = cv2.resize(screen, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        noticed += decode_frame(make_dicom(larger, regions=[region])).has_unusable_calibration
    assert clean == 0
    assert noticed >= 0.9 * len(paths)


def test_region_of_a_frame_of_its_own_counts_before_the_common_one():
    """Functional groups state what differs from frame to frame (enhanced objects)."""
    frames = [draw_screen(), draw_screen()]
    groups = []
    for delta in (0.013, 0.02):
        group = Dataset()
        group.SequenceOfUltrasoundRegions = [make_region(BOX, (delta, delta))]
        groups.append(group)
    content = make_dicom(
        frames, regions=[make_region(BOX, (0.5, 0.5))], PerFrameFunctionalGroupsSequence=groups
    )
    for index, mm in ((0, 0.13), (1, 0.2)):
        measured, _ = measure(content, frame_index=index)
        assert measured == pytest.approx(to_expected_mm(mm, mm), rel=0.003)
    short = make_dicom(frames, PerFrameFunctionalGroupsSequence=groups[:1])
    assert UNUSABLE in measure(short, frame_index=1)[1]


def test_pixel_spacing_of_a_frame_is_in_its_pixel_measures():
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing = [0.13, 0.2]
    group.PixelMeasuresSequence = [measures]
    content = make_dicom(draw_screen(box=WHOLE, text=False), SharedFunctionalGroupsSequence=[group])
    frame = decode_frame(content)
    assert frame.calibrations[0].spacing == PixelSpacing(row_mm=0.13, column_mm=0.2)
    assert frame.calibrations[0].is_from_pixel_spacing


# --- Pixel Spacing ----------------------------------------------------------------------------


def test_pixel_spacing_is_used_with_a_warning():
    """First the rows, then the columns; the result stays acceptable."""
    screen = draw_screen(box=WHOLE, text=False)
    analysis = analyze(make_dicom(screen, PixelSpacing=[0.13, 0.2]))
    measured = analysis.head.measurement.head_circumference_mm
    assert measured == pytest.approx(to_expected_mm(row_mm=0.13, column_mm=0.2), rel=0.004)
    assert analysis.quality.warnings == ("dicom-pixel-spacing-used",)
    assert analysis.quality.acceptable
    assert analysis.region.source == "dicom"


def test_pixel_spacing_that_contradicts_the_region_makes_both_unusable():
    """Programs that scale pictures adapt one and forget the other."""
    agreeing = measure_screen([make_region(BOX)], PixelSpacing=[MM * 1.005, MM])
    assert agreeing[0] == pytest.approx(to_expected_mm(), rel=0.003)
    assert agreeing[1] == ()
    measured, warnings = measure_screen([make_region(BOX)], PixelSpacing=[MM * 2, MM * 2])
    assert measured is None
    assert UNUSABLE in warnings


@pytest.mark.parametrize("value", [[0, 0], [-0.1, 0.1], [0.1], [0.1, 0.1, 0.1], [40, 40]])
def test_impossible_pixel_spacing_is_unusable(value):
    measured, warnings = measure(make_dicom(draw_screen(text=False), PixelSpacing=value))
    assert measured is None
    assert UNUSABLE in warnings


def test_imager_pixel_spacing_is_never_used():
    """It is the spacing on an X-ray detector."""
    content = make_dicom(
        draw_screen(text=False),
        ImagerPixelSpacing=[MM, MM],
        NominalScannedPixelSpacing=[MM, MM],
        PixelAspectRatio=[1, 1],
    )
    measured, warnings = measure(content)
    assert measured is None
    assert warnings == ("pixel-size-missing",)


# --- what the caller states -------------------------------------------------------------------


def test_stated_pixel_size_must_be_that_of_the_file():
    """Within 1 % the stated one is used; beyond, one of them is wrong."""
    content = make_dicom(draw_screen(), regions=[make_region(BOX)])
    close = analyze(content, pixel_spacing=PixelSpacing(MM * 1.009, MM * 1.009))
    assert close.region.source == "request"
    for spacing in (PixelSpacing(MM * 1.02, MM), PixelSpacing(MM, MM * 0.98)):
        with pytest.raises(PixelSizeConflictError, match=r"0\.13 mm"):
            analyze(content, pixel_spacing=spacing)


def test_depth_scale_counts_only_where_the_file_states_no_pixel_size():
    """Its marks, 40 px and 5 mm apart, are 0.125 mm per pixel; the file's own 0.13 mm wins."""
    screen = draw_scale(40.0, pixels=draw_screen(text=False))
    own = analyze(make_dicom(screen, regions=[make_region(WHOLE)]), pixel_spacing=ScaleMarks(5.0))
    assert (own.region.source, own.region.confidence) == ("dicom", None)
    assert own.region.spacing.row_mm == pytest.approx(MM)
    bare = analyze(make_dicom(screen), pixel_spacing=ScaleMarks(5.0))
    assert bare.region.source == "scale-bar"
    expected_mm = to_expected_mm(0.125, 0.125)
    assert bare.head.measurement.head_circumference_mm == pytest.approx(expected_mm, rel=0.01)


def test_stated_pixel_size_helps_where_the_file_has_none_that_is_usable():
    """The warning stays, because nothing confirms what was stated."""
    stated = {"pixel_spacing": PixelSpacing(MM, MM)}
    bare = make_dicom(draw_screen(text=False))
    assert measure(bare, **stated)[1] == ()
    broken = make_dicom(draw_screen(text=False), regions=[make_region((0, 0, 4000, 4000))])
    measured, warnings = measure(broken, **stated)
    assert measured == pytest.approx(to_expected_mm(), rel=0.003)
    assert warnings == (UNUSABLE,)


def test_examples_of_pydicom_give_no_millimetres():
    """Two have regions that leave the picture, two have none at all."""
    unusable = {
        "examples_ybr_color.dcm": True,
        "examples_palette.dcm": True,
        "examples_rgb_color.dcm": False,
        "examples_jpeg2k.dcm": False,
    }
    for name, expected in unusable.items():
        with open(get_testdata_file(name), "rb") as example:
            frame = decode_frame(example.read(), frame_index=0)
        assert frame.has_unusable_calibration is expected
        assert frame.calibrations == ()


def test_header_for_reports_holds_no_pixels_and_nothing_private():
    """Reports copy the patient and the study from it; private attributes could hold anything."""
    content = make_dicom(draw_screen(), regions=[make_region(BOX)], StudyID="7")
    header = decode_frame(content).source.header
    assert "PixelData" not in header
    assert header.StudyID == "7"
    assert header.PatientName == "Doe^Jane^Identified"
    assert len(header.SequenceOfUltrasoundRegions) == 1


def test_private_attributes_change_nothing():
    """Also if they hide a region, or sequences without an end."""
    nested = Dataset()
    block = nested.private_block(0x0099, "NOBODY", create=True)
    block.add_new(1, "SQ", [make_region(BOX, (0.5, 0.5))])
    content = make_dicom(
        draw_screen(), regions=[make_region(BOX)], ReferencedImageSequence=[nested]
    )
    measured, warnings = measure(content)
    assert measured == pytest.approx(to_expected_mm(), rel=0.003)
    assert warnings == ()
