import itertools
import json

import pytest

from training.data.folds import FOLDS_PATH, Folds, main, to_held_out_items, to_training_items
from training.data.hc18 import SPLIT_PATH, load_images
from training.data.planes import KINDS, load_planes


@pytest.fixture(scope="module")
def items(hc18_dir, planes_dir):
    return [*load_images(hc18_dir), *load_planes(planes_dir)]


def test_no_exam_and_no_patient_is_in_two_folds():
    """The five lists are disjoint."""
    folds = Folds()
    for first, second in itertools.combinations(range(5), 2):
        assert not folds.exams[first] & folds.exams[second]
        assert not folds.groups[first] & folds.groups[second]


def test_every_image_is_held_out_exactly_once(items):
    """The held-out parts are all the data, and a fold is trained on the other images."""
    folds = Folds()
    held_out = [to_held_out_items(items, folds, fold) for fold in range(5)]
    assert sum(map(len, held_out)) == len(items)
    assert set().union(*held_out) == set(items)
    for fold, part in enumerate(held_out):
        assert set(to_training_items(items, folds, fold)) == set(items) - set(part)
    assert to_training_items(items, folds, None) == items


def test_no_patient_or_country_is_on_both_sides_of_a_fold(hc18_dir, planes_dir):
    """Each number before the underscore in a file name is either in training or held out."""
    folds, planes, images = Folds(), load_planes(planes_dir), load_images(hc18_dir)
    for fold in range(5):
        for everything, to_key in (
            (planes, lambda plane: plane.country or plane.file.split("/")[1].split("_")[0]),
            (images, lambda image: image.name.split("_")[0]),
        ):
            inside = {to_key(each) for each in to_training_items(everything, folds, fold)}
            outside = {to_key(each) for each in to_held_out_items(everything, folds, fold)}
            assert outside
            assert not inside & outside


def test_folds_have_similar_sizes_and_contain_every_kind(items):
    """Each fold has a fifth of HC18, of each size range, and planes of every kind."""
    folds = Folds()
    for fold in range(5):
        held_out = to_held_out_items(items, folds, fold)
        sizes_mm = [item.head_circumference_mm for item in held_out if hasattr(item, "exam")]
        assert len(sizes_mm) == pytest.approx(801 / 5, abs=8)
        assert sum(size_mm < 100 for size_mm in sizes_mm) >= 10
        assert {item.kind for item in held_out if hasattr(item, "kind")} == set(KINDS)


def test_committed_folds_can_be_reproduced(hc18_dir, planes_dir, capsys):
    """The command prints the committed file exactly."""
    assert main(["--hc18", str(hc18_dir), "--planes", str(planes_dir)]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == json.loads(FOLDS_PATH.read_text())
    assert printed == FOLDS_PATH.read_text()


def test_split_holds_out_calibration_and_test_exams_in_every_fold():
    """Each fold trains on the older split's train part, and on four fifths of the planes."""
    split, folds = json.loads(SPLIT_PATH.read_text()), Folds.with_split()
    for fold in range(5):
        assert folds.exams[fold] == {*split["calibration"], *split["test"]}
    assert folds.groups == Folds().groups
