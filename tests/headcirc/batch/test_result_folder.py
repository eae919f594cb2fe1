import json
from dataclasses import replace

import pytest

from headcirc.batch.files import UsageError
from headcirc.batch.model_identity import ModelIdentity
from headcirc.batch.replace_file import replace_file
from headcirc.batch.result_folder import lock_folder, require_same_job

MODEL = ModelIdentity("m", "1.0.0", "0" * 64, "openvino", "int8")


def test_two_runs_do_not_share_a_folder(tmp_path):
    """While one run has the folder, another is refused."""
    with (
        lock_folder(tmp_path / "out"),
        pytest.raises(UsageError, match="Another run"),
        lock_folder(tmp_path / "out"),
    ):
        pass
    with lock_folder(tmp_path / "out"):
        pass


def test_folder_that_cannot_be_written_is_refused(tmp_path):
    """Such as the name of a file."""
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="cannot be written"), lock_folder(tmp_path / "out"):
        pass


def test_other_model_is_refused(tmp_path):
    """Rows of two models never meet in one folder."""
    require_same_job(tmp_path, MODEL)
    require_same_job(tmp_path, MODEL)
    with pytest.raises(UsageError, match=r"int8.*empty folder"):
        require_same_job(tmp_path, replace(MODEL, precision="fp32"))


def test_other_release_is_refused(tmp_path, monkeypatch):
    """Two releases may measure differently."""
    require_same_job(tmp_path, MODEL)
    monkeypatch.setattr("headcirc.batch.result_folder.__version__", "99.0")
    with pytest.raises(UsageError, match=r"headcirc 99\.0.*empty folder"):
        require_same_job(tmp_path, MODEL)


@pytest.mark.parametrize(
    "job", ['{"schema_version": 1, "model": {"name": "m"}}', "[]", "{}", '{"model": null}', "{"]
)
def test_folder_of_an_earlier_release_is_refused(tmp_path, job):
    """In a sentence, whatever its description holds."""
    (tmp_path / "job.json").write_text(job)
    with pytest.raises(UsageError, match="name an empty folder"):
        require_same_job(tmp_path, MODEL)
    assert (tmp_path / "job.json").read_text() == job


def test_file_is_replaced_completely_or_not_at_all(tmp_path):
    """An error while it is written leaves the old file, and nothing beside it."""
    path = tmp_path / "facts.json"
    path.write_text("old")
    (tmp_path / "facts.json.unfinished").write_text("from a run that was killed")
    with pytest.raises(OSError, match="full"), replace_file(path) as unfinished:
        unfinished.write_text("ne")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]
    with replace_file(path) as unfinished:
        unfinished.write_text(json.dumps("new"))
    assert path.read_text() == '"new"'
    assert [*tmp_path.iterdir()] == [path]
