import pytest

from evaluation import accuracy
from evaluation.unseen_exams import SPLIT_MODEL_DIR, TrainedOnError, require_unseen
from headcirc.model.manifest import load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR


def test_split_model_may_be_measured_on_every_part():
    """The split model was trained on the train part only."""
    assert load_manifest(SPLIT_MODEL_DIR).trained_on == ("train",)
    for part in ("train", "calibration", "test"):
        require_unseen(SPLIT_MODEL_DIR, part)


def test_model_is_refused_on_exams_that_it_was_trained_on():
    """The shipped weights are refused on calibration and test; the message names the remedy."""
    assert load_manifest(SHIPPED_MODEL_DIR).trained_on == ("train", "calibration", "test")
    require_unseen(SHIPPED_MODEL_DIR, "train")
    for part in ("calibration", "test"):
        with pytest.raises(
            TrainedOnError, match=rf"on the {part} exams.*models/attention-resunet-16-split"
        ):
            require_unseen(SHIPPED_MODEL_DIR, part)


def test_a_training_figure_is_refused_before_any_image_is_read(tmp_path, capsys):
    """The command refuses with status 2, although the data folder does not exist."""
    options = ["--model", str(SHIPPED_MODEL_DIR), "--data", str(tmp_path / "none")]
    assert accuracy.main(["--part", "test", *options]) == 2
    assert "was trained on the" in capsys.readouterr().err
