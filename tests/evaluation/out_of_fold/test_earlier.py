import pytest

from evaluation.out_of_fold.earlier import to_common_table


def make_row(name, error_mm, *, true_mm=100.0, dice=0.98):
    """Return a row of a results table; an empty error is no answer."""
    return {
        "name": name,
        "true_hc_mm": str(true_mm),
        "error_mm": "" if error_mm is None else str(error_mm),
        "ellipse_dice": "" if error_mm is None else str(dice),
    }


@pytest.fixture
def table():
    """Return the cells of both rows; `c` has no answer out of fold, `d` no row there."""
    earlier = {
        "test": [
            make_row(name, error) for name, error in (("a", 1), ("b", -3), ("c", 9), ("d", 9))
        ],
        "calibration": [make_row("e", 2, dice=0.9), make_row("f", -2, dice=0.9)],
    }
    held_out = [
        make_row("a", -2, dice=0.97), make_row("b", 6, dice=0.95), make_row("c", None),
        make_row("e", 1), make_row("f", 2),
    ]  # fmt: skip
    _, _, *rows = to_common_table(earlier, held_out).splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_only_images_that_both_answer_have_figures(table):
    """The errors 1 and 3 mm, then 2 and 6 mm; `c` counts among the images, `d` does not."""
    assert table[0][:2] == ["test exams, 3", "3, 2"]
    assert table[0][2:6] == ["2.00, 4.00", "2.00, 4.00", "98.00, 96.00", "0, 1"]


def test_parts_are_apart(table):
    """The errors 2 and 2 mm, then 1 and 2 mm."""
    assert table[1][:3] == ["calibration exams, 2", "2, 2", "2.00, 1.50"]
    assert table[1][4] == "90.00, 98.00"
