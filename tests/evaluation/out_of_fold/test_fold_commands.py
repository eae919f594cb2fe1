import json
from dataclasses import replace

import pytest

from evaluation.out_of_fold import __main__ as commands
from evaluation.out_of_fold.measure import FoldResults
from headcirc.model.manifest import MANIFEST_NAME, load_manifest
from headcirc.pipeline import SHIPPED_MODEL_DIR
from tests.evaluation.out_of_fold.drawn_cases import to_folds
from tests.evaluation.out_of_fold.test_fold_results import to_head, to_planes


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command with models that hold nothing out.

    With `keeps`, the models of the call before stay as they are.
    """

    def call(command, *options, folds=3, keeps=False):
        models = []
        for fold in range(folds):
            folder = tmp_path / str(fold)
            folder.mkdir(exist_ok=True)
            manifest = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
            manifest.pop("uncertainty")
            if not keeps or not (folder / MANIFEST_NAME).is_file():
                (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
            models.append(commands.FoldModel(fold, folder, [], []))
        monkeypatch.setattr(commands, "load_fold_models", lambda *_: models)
        monkeypatch.setattr(commands, "find_networks", lambda _: dict.fromkeys(range(folds), "a"))
        places = ["--folds", str(tmp_path), "--out", str(tmp_path), "--data", str(tmp_path)]
        return commands.main([command, *places, *options]), capsys.readouterr().err

    return call


def test_two_folds_are_too_few_to_fit(run):
    """The command says how many are needed."""
    status, said = run("fit", folds=2)
    assert status == commands.EXIT_FAILED
    assert "Export at least 3" in said


def test_fit_again_needs_pictures_that_were_measured(run):
    """Without a file of cases the remedy is named, and no traceback is printed."""
    status, said = run("fit", "--again")
    assert status == commands.EXIT_FAILED
    assert "without --again" in said


def test_fit_to_too_few_pictures_is_an_error_with_a_message(run, tmp_path):
    """Folds without a picture cannot be fitted; status 1 would say that a target is missed."""
    record = {str(fold): {"network": "a", "cases": []} for fold in range(3)}
    (tmp_path / commands.CASES_NAME).write_text(json.dumps(record))
    status, said = run("fit", "--again")
    assert status == commands.EXIT_FAILED
    assert said.startswith("evaluation.out_of_fold: ")


def test_models_without_an_uncertainty_model_are_not_measured(run):
    """`fit` must run first."""
    status, said = run("measure")
    assert status == commands.EXIT_FAILED
    assert "Run `fit` first" in said


def test_missing_models_are_an_error_with_a_remedy(tmp_path, capsys):
    """Nothing was exported yet."""
    places = ["--folds", str(tmp_path), "--out", str(tmp_path), "--data", str(tmp_path)]
    assert commands.main(["fit", *places]) == commands.EXIT_FAILED
    assert "make fold-models" in capsys.readouterr().err


def test_report_names_networks_their_size_and_what_was_not_measured(run, tmp_path, monkeypatch):
    """`record-out-of-fold` compares the size; the pages name what is available. Targets are missed.

    `fit` writes a manifest's facts first, from drawn cases.
    """
    results = FoldResults(0, {"name": "net", "sha256": "a"}, [to_head(1)], to_planes(tmp_path))
    available = {"folds": 5, "images": 801, "planes": 1210}
    monkeypatch.setattr(commands, "count_available", lambda *_: available)
    monkeypatch.setattr(commands, "measure_fold", lambda model: replace(results, fold=model.fold))
    networks = dict.fromkeys(range(3), "a")
    commands.write_cases(tmp_path / commands.CASES_NAME, to_folds(), networks)
    assert run("fit", "--again", keeps=True)[0] == commands.EXIT_MET
    assert run("measure", keeps=True)[0] == commands.EXIT_MISSED
    fitted, measured = (
        json.loads((tmp_path / name).read_text())
        for name in (commands.FIT_NAME, commands.RESULT_NAME)
    )
    assert fitted["networks"] == {str(fold): "a" for fold in range(3)}
    shipped = json.loads((SHIPPED_MODEL_DIR / MANIFEST_NAME).read_text())
    size = {name: shipped[name] for name in ("parameters", "macs")}
    assert measured["served"][2] == {"fold": 2, "name": "net", "sha256": "a"} | size
    assert measured["data"]["available"] == available
    assert (measured["data"]["folds"], measured["data"]["images"]) == ([0, 1, 2], 0)
    assert load_manifest(tmp_path / "1").uncertainty is not None
