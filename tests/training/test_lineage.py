import json
from dataclasses import asdict

import pytest

from training.data.folds import Folds
from training.lineage import Seen, require_unseen

FOLDS = Folds({"exams": [[1, 2], [3, 4]], "groups": [["Egypt"], ["Ghana"]]})


def test_network_that_saw_the_rest_may_teach():
    """Exams and groups of other folds are no obstacle."""
    require_unseen(Seen(exams=(3, 4), groups=("Ghana",)), FOLDS, 0, who="the teacher")


@pytest.mark.parametrize("seen", [Seen(exams=(2, 3)), Seen(groups=("Egypt",)), None])
def test_network_that_saw_a_held_out_image_may_not(seen):
    """Nor may one that does not list what it saw, as of versions 1.3.0 and 2.1.0."""
    with pytest.raises(ValueError, match="the teacher"):
        require_unseen(seen, FOLDS, 0, who="the teacher")


def test_network_that_ships_may_be_taught_by_all():
    """It holds nothing back."""
    require_unseen(None, FOLDS, None, who="the teacher")


def test_what_a_teacher_saw_is_handed_on():
    """A student of a student of fold 0's teacher has seen what that one saw."""
    teacher = Seen(exams=(1,), groups=("Egypt",))
    student = Seen(exams=(3,), is_with_unlabelled=True).joined(teacher, "a" * 64)
    second = Seen(exams=(4,)).joined(student, "b" * 64)
    assert second == Seen((1, 3, 4), ("Egypt",), True, ("a" * 64, "b" * 64))
    with pytest.raises(ValueError, match="1 exams and 1 patients"):
        require_unseen(second, FOLDS, 0, who="the teacher")


def test_record_survives_json():
    """What is written beside a run is what is checked later."""
    seen = Seen((1, 2), ("Egypt",), True, ("a" * 64,))
    assert Seen.from_json(json.loads(json.dumps(asdict(seen)))) == seen
