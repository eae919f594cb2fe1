import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import headcirc
from deploy.dockerfile import (
    DockerfileError,
    IgnoreRules,
    parse_command,
    parse_copy,
    parse_dockerfile,
)
from deploy.replay import STAND_INS

DOCKERFILE = Path("Dockerfile").read_text()
STAGES = parse_dockerfile(DOCKERFILE)
IGNORED = IgnoreRules(Path(".dockerignore").read_text())
TARGETS = ("cpu", "gpu")
SITE_PACKAGES_LIMIT_MB = 700
PHANTOM_MM = 184.0
PHANTOM_TOLERANCE_MM = 3.0


def test_hadolint_finds_nothing():
    """All rules of the Dockerfile linter are enabled."""
    command = [Path(sys.executable).with_name("hadolint"), "--no-color", "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_lines_are_joined_and_comments_left_out():
    """A comment may stand between continued lines; a later stage does not inherit instructions."""
    stages = parse_dockerfile(
        'FROM a:1 AS one\nRUN x \\\n# why\n    && y\nFROM one AS two\nCMD ["z"]\n'
    )
    assert [(each.word, each.rest) for each in stages["one"].instructions] == [("RUN", "x && y")]
    assert stages["two"].base == "one"
    assert parse_command(stages["two"].find_last("CMD")) == ["z"]


@pytest.mark.parametrize(
    "text",
    [
        "FROM a:1 AS one\nADD x y",
        "FROM a:1 AS one\nSHELL x",
        "FROM a:1\nRUN x",
        "RUN x",
        "FROM a:1 AS one\nONBUILD RUN x",
    ],
)
def test_unsupported_instruction_is_an_error(text):
    """The replay never skips a step silently."""
    with pytest.raises(DockerfileError):
        parse_dockerfile(text)


def test_copy_supports_only_the_option_from():
    """Stage, sources and target are parsed; another option is an error."""
    assert parse_copy("--from=one a b /c") == ("one", ["a", "b"], "/c")
    with pytest.raises(DockerfileError):
        parse_copy("--chown=1:1 a b")


def test_last_matching_pattern_of_the_ignore_file_decides():
    """As in Docker: `*` is one level, `**/` any number, and a folder includes its content."""
    rules = IgnoreRules("# comment\n*\n!kept\n**/cache\nkept/*.tmp\n!kept/one.tmp\n")
    ignored = {
        path: rules.is_ignored(path)
        for path in (
            "other", "other/file", "kept", "kept/a/b", "kept/a/cache/b", "kept/cache",
            "kept/two.tmp", "kept/one.tmp", "kept/a/two.tmp",
        )
    }  # fmt: skip
    assert [path for path, is_ignored in ignored.items() if not is_ignored] == [
        "kept", "kept/a/b", "kept/one.tmp", "kept/a/two.tmp",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "runs/x/best.safetensors", ".git/config", ".env", "training/train.py", "tests/conftest.py",
        "models/attention-resunet-16/checkpoint.safetensors", "headcirc/__pycache__/cli.pyc",
        "headcirc/model/shipped/model.0123.engine", "headcirc.egg-info/PKG-INFO",
        "models/attention-resunet-12/README.md", "models/attention-resunet-64/model.onnx",
        "models/notes.txt", "build/hub/model.safetensors",
    ],
)  # fmt: skip
def test_build_context_excludes(path):
    """Secrets, data, training code and build products are excluded."""
    assert IGNORED.is_ignored(path)


def test_all_copied_files_exist():
    """Every source of every COPY exists and is not ignored, the model's files included."""
    sources = [
        source
        for stage in STAGES.values()
        for each in stage.instructions
        if each.word == "COPY" and parse_copy(each.rest)[0] is None
        for source in parse_copy(each.rest)[1]
    ]
    folder = Path("headcirc/model/shipped")
    graphs = json.loads((folder / "manifest.json").read_text())["graphs"]
    served = [
        str(folder / name) for name in ("manifest.json", *(g["file"] for g in graphs.values()))
    ]
    for path in sources + served:
        assert Path(path).exists(), path
        assert not IGNORED.is_ignored(path), path


def test_base_images_are_pinned_and_known_to_the_replay():
    """Each has a patch release; the CPU image has a replacement in the replay."""
    images = {stage.base for stage in STAGES.values()} - set(STAGES)
    assert all(re.search(r":\d+\.\d+\.\d+-", image) for image in images)
    assert set(STAND_INS) <= images


@pytest.mark.parametrize("target", TARGETS)
def test_image_labels_match_the_project(target):
    """Labels have the project's version and licence, and the real base image."""
    labels = dict(re.findall(r'image\.([\w.]+)="([^"]*)"', STAGES[target].find_last("LABEL")))
    assert labels["version"] == headcirc.__version__
    assert labels["licenses"] == "Apache-2.0 AND CC-BY-4.0"
    base = STAGES[target].base
    assert labels["base.name"] == (STAGES[base].base if base in STAGES else base)


@pytest.mark.parametrize("word", ["USER", "STOPSIGNAL", "ENTRYPOINT", "CMD", "EXPOSE", "ENV"])
def test_both_targets_have_equal_run_instructions(word):
    """Instructions that both targets repeat are equal."""
    first, second = (STAGES[target].find_last(word) for target in TARGETS)
    assert first is not None
    assert first == second


@pytest.mark.parametrize("target", TARGETS)
def test_install_requires_hashes(target):
    """The lock of the target, and no other file, with --require-hashes; the project without."""
    (lock, project) = (
        each.rest
        for each in STAGES[f"{target}-install"].instructions
        if each.word == "RUN" and " install " in each.rest
    )
    name = {"cpu": "serve", "gpu": "gpu"}[target]
    assert f"--require-hashes --requirement requirements/{name}.txt" in lock
    assert "--no-deps --no-build-isolation" in project


@pytest.mark.slow
def test_cpu_target_replayed_in_a_clean_root_measures_a_head(tmp_path):
    """The replay runs the Dockerfile's steps on a debootstrap root and serves from it."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and Debian's debootstrap: make system-deps")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.replay"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    small_mm, large_mm = found["head_circumference_mm"]
    assert abs(small_mm - PHANTOM_MM) < PHANTOM_TOLERANCE_MM
    assert large_mm == small_mm  # its upload went through /tmp
    assert found["uids"] == ["10001"]
    assert found["writable"] == ["/tmp"]  # noqa: S108 - the container's own
    assert (found["health_status"], found["exit_status"]) == (0, 0)
    assert found["site_packages_mb"] < SITE_PACKAGES_LIMIT_MB
    assert (found["unwanted"], found["compilers"]) == ([], [])
