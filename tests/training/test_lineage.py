import json
from dataclasses import asdict

import pytest

from training.checkpoint import CHECKPOINT_NAME, MODELS_DIR
from training.data.folds import Folds
from training.lineage import Seen, read_older_seen, require_unseen

FOLDS = Folds({"exams": [[1, 2], [3, 4]], "groups": [["Egypt"], ["Ghana"]]})


def test_network_trained_on_other_folds_may_teach():
    """Exams and groups of other folds are allowed."""
    require_unseen(Seen(exams=(3, 4), groups=("Ghana",)), FOLDS, 0, who="the teacher")


@pytest.mark.parametrize("seen", [Seen(exams=(2, 3)), Seen(groups=("Egypt",)), None])
def test_network_trained_on_held_out_data_may_not_teach(seen):
    """A network without a list of its data, as in versions 1.3.0 and 2.1.0, is refused too."""
    with pytest.raises(ValueError, match="the teacher"):
        require_unseen(seen, FOLDS, 0, who="the teacher")


def test_network_without_a_held_out_fold_accepts_every_teacher():
    """It holds out no data."""
    require_unseen(None, FOLDS, None, who="the teacher")


def test_data_of_teachers_are_inherited():
    """A student of a student depends on the data of the first teacher."""
    teacher = Seen(exams=(1,), groups=("Egypt",))
    student = Seen(exams=(3,), is_with_unlabelled=True).joined(teacher, "a" * 64)
    second = Seen(exams=(4,)).joined(student, "b" * 64)
    assert second == Seen((1, 3, 4), ("Egypt",), True, ("a" * 64, "b" * 64))
    with pytest.raises(ValueError, match="1 exams and 1 patients"):
        require_unseen(second, FOLDS, 0, who="the teacher")


def test_record_of_training_data_survives_json():
    """The record that is written beside a run is equal after reading."""
    seen = Seen((1, 2), ("Egypt",), True, ("a" * 64,))
    assert Seen.from_json(json.loads(json.dumps(asdict(seen)))) == seen


def test_older_checkpoint_lists_the_train_part_only_if_its_record_says_so(tmp_path):
    """Version 1.3.0 was trained on the train part; a record of all exams lists none."""
    seen = read_older_seen(MODELS_DIR / "attention-resunet-16-split" / CHECKPOINT_NAME)
    split = Folds.with_split()
    assert len(seen.exams) == 484
    require_unseen(seen, split, 0, who="version 1.3.0")
    with pytest.raises(ValueError, match="exams"):
        require_unseen(seen, Folds(), 0, who="version 1.3.0")
    assert read_older_seen(tmp_path / CHECKPOINT_NAME) is None
    (tmp_path / "training.json").write_text('{"part": "train, calibration and test"}')
    assert read_older_seen(tmp_path / CHECKPOINT_NAME) is None
