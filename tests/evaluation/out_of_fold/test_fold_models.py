import json

import pytest

from evaluation.out_of_fold.models import FoldModel, load_fold_models, pair
from headcirc.errors import ModelArtifactError
from headcirc.model.manifest import MANIFEST_NAME
from headcirc.pipeline import SHIPPED_MODEL_DIR
from training.data.folds import Folds
from training.data.hc18 import HC18Image
from training.data.planes import Plane


def to_image(exam, folder):
    name = f"{exam:03d}_HC.png"
    return HC18Image(name, exam, 0.1, 180.0, folder / name, folder / name)


def to_plane(patient, folder):
    return Plane(f"head/{patient}.png", "head", "Barcelona", patient, None, None, folder)


def write_model(folder, fold, seen):
    (folder / str(fold)).mkdir()
    manifest = {"name": "tiny", "version": "1", "training": {"seen": seen} if seen else {}}
    (folder / str(fold) / MANIFEST_NAME).write_text(json.dumps(manifest))


def to_seen(exams=(), groups=()):
    return {
        "exams": list(exams),
        "groups": list(groups),
        "is_with_unlabelled": True,
        "teachers": [],
    }


def test_each_model_gets_the_data_of_its_fold(tmp_path):
    """Exams, patients and countries go to the fold that holds them out; no other gets them."""
    folds = Folds()
    first, second = (min(folds.exams[fold]) for fold in (0, 1))
    patients = [sorted(folds.groups[fold])[0] for fold in (0, 1)]
    write_model(tmp_path, 0, to_seen(folds.exams[1], folds.groups[1]))
    write_model(tmp_path, 1, to_seen(folds.exams[0], folds.groups[0]))
    images = [to_image(exam, tmp_path) for exam in (first, second)]
    planes = [to_plane(patient, tmp_path) for patient in patients]
    models = pair(tmp_path, [0, 1], images, planes)
    assert [[image.exam for image in model.images] for model in models] == [[first], [second]]
    assert [[plane.group for plane in model.planes] for model in models] == [
        [patients[0]],
        [patients[1]],
    ]


@pytest.mark.parametrize("of", ["exams", "groups", "nothing"])
def test_model_that_saw_held_out_data_is_refused(tmp_path, of):
    """One exam or patient of the fold is too many; no list of the seen data is no proof."""
    folds = Folds()
    seen = {
        "exams": to_seen(exams=[min(folds.exams[2])]),
        "groups": to_seen(groups=[min(folds.groups[2])]),
        "nothing": None,
    }[of]
    write_model(tmp_path, 2, seen)
    with pytest.raises(ModelArtifactError, match="fold 2"):
        pair(tmp_path, [2], [], [])


def test_without_models_the_command_that_makes_them_is_named(tmp_path):
    """The folder may be empty, because nothing was exported yet."""
    with pytest.raises(FileNotFoundError, match="make fold-models"):
        load_fold_models(tmp_path, tmp_path, tmp_path)


def test_graph_is_chosen_without_loading_it():
    """It is the one that the pipeline runs."""
    model = FoldModel(0, SHIPPED_MODEL_DIR, [], [])
    assert model.choose_graph() == model.load().graph
