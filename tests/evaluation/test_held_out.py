import argparse
import json
from dataclasses import replace

import pytest

from evaluation import augmentation, choices, non_heads, reproduction, shadow
from evaluation.explanations import __main__ as explanations
from evaluation.held_out import LoadedFold, load_folds, to_fold_header, to_pairs
from evaluation.out_of_fold.text import to_fold_names
from headcirc.model.manifest import MANIFEST_NAME
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.support.synthetic import to_synthetic_pipeline
from training.data.folds import Folds
from training.data.hc18 import TABLE_NAME

COMMANDS = (augmentation, choices, explanations, non_heads, reproduction, shadow)


def write_model(folder, *, fold):
    """Write the shipped model as if it had been trained on the data of another fold."""
    folder.mkdir()
    folds, facts = Folds(), json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
    for graph in facts["graphs"].values():
        (folder / graph["file"]).symlink_to(SHIPPED_MODEL_DIR / graph["file"])
    facts["version"] = f"fold-{fold}"
    facts["training"]["seen"] = {
        "exams": sorted(folds.exams[4 - fold]),
        "groups": [],
        "is_with_unlabelled": False,
        "teachers": [],
    }
    (folder / MANIFEST_NAME).write_text(json.dumps(facts))


@pytest.fixture
def chosen(tmp_path):
    """Return a command line: models of folds 0 and 1, and HC18's table with exams of 0, 1 and 3."""
    exams = [exam for fold, count in ((0, 3), (1, 1), (3, 2)) for exam in first(fold, count)]
    rows = [f"{exam:03d}_HC.png,0.2,200.0" for exam in exams]
    header = "filename,pixel size(mm),head circumference (mm)"
    (tmp_path / TABLE_NAME).write_text("\n".join([header, *rows]))
    for fold in (0, 1):
        write_model(tmp_path / str(fold), fold=fold)
    return argparse.Namespace(folds=tmp_path, data=tmp_path)


def first(fold, count):
    return sorted(Folds().exams[fold])[:count]


def test_each_image_meets_the_model_of_its_fold(chosen):
    """Images of a fold without a model are left out."""
    folds = load_folds(argparse.ArgumentParser(), chosen)
    assert [each.pipeline.manifest.version for each in folds] == ["fold-0", "fold-1"]
    met = [(pipeline.manifest.version, image.exam) for pipeline, image in to_pairs(folds)]
    expected = [*(("fold-0", exam) for exam in first(0, 3)), ("fold-1", *first(1, 1))]
    assert met == expected


def test_every_takes_images_of_each_fold(chosen):
    """Every second of three images are two, and the only image of the other fold stays."""
    chosen.every = 2
    folds = load_folds(argparse.ArgumentParser(), chosen, precision="fp32")
    assert [len(each.images) for each in folds] == [2, 1]
    assert {each.pipeline.backend.precision for each in folds} == {"fp32"}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_end_without_models(command, tmp_path, capsys):
    """The remedy is named, the status is not that of a missed target, and nothing is written."""
    places = ["--folds", str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        command.main(places)
    assert stopped.value.code == 2
    assert "make fold-models" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_model_that_saw_its_images_is_refused(chosen, capsys):
    """Such figures would be training figures."""
    path = chosen.folds / "0" / MANIFEST_NAME
    facts = json.loads(path.read_text())
    facts["training"]["seen"]["exams"] = first(0, 1)
    path.write_text(json.dumps(facts))
    with pytest.raises(SystemExit):
        load_folds(argparse.ArgumentParser(), chosen)
    assert "fold 0" in capsys.readouterr().err


def test_header_names_the_graph_of_each_fold():
    """Two folds of three and of one image, with different graphs."""
    pipeline = to_synthetic_pipeline()
    graphs = [{"fp32": replace(pipeline.graph, sha256=digit * 64)} for digit in "ab"]
    first, second = (
        replace(pipeline, manifest=replace(pipeline.manifest, graphs=each)) for each in graphs
    )
    folds = [LoadedFold(0, None, first, [1, 2, 3]), LoadedFold(2, None, second, [4])]
    header = to_fold_header("python -m evaluation.shadow", folds, every=4)
    assert header["command"] == "python -m evaluation.shadow --every 4"
    assert header["images"] == 4
    assert [(each["fold"], each["sha256"][0], each["images"]) for each in header["folds"]] == [
        (0, "a", 3),
        (2, "b", 1),
    ]
    assert {"date", "machine"} <= header.keys()


@pytest.mark.parametrize(
    ("folds", "text"), [([2], "fold 2"), ([0, 2], "folds 0 and 2"), ([0, 1, 4], "folds 0, 1 and 4")]
)
def test_folds_are_named_in_a_sentence(folds, text):
    """One fold is singular; the last of several follows `and`."""
    assert to_fold_names(folds) == text
