import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import headcirc
from deploy.image import BASE_IMAGE, PROGRAMS, Buildah
from tests.support.dockerfile import read_stages

STAGES = read_stages()
SHIPPED_DIR = Path("headcirc/model/shipped")
UNSEEN = (
    "runs/x/best.safetensors", ".git/config", ".env", "training/train.py", "tests/conftest.py",
    "models/attention-resunet-half/checkpoint.safetensors", "headcirc/__pycache__/cli.pyc",
    "headcirc/model/shipped/model.0123.engine", "headcirc.egg-info/PKG-INFO",
    "models/attention-resunet-12/README.md", "models/attention-resunet-64/model.onnx",
    "models/notes.txt", "build/hub/model.safetensors", "requirements/test.txt",
    "service/__pycache__/app.pyc", "service/headcirc.egg-info/PKG-INFO",
)  # fmt: skip
"""Paths that the builder must never see."""
TARGETS = ("cpu", "gpu")
SITE_PACKAGES_LIMIT_MB = 700
PHANTOM_MM = 184.0
PHANTOM_TOLERANCE_MM = 3.0


def require_root_and(*programs: str) -> None:
    """Skip the test if it does not run as root or a program is missing."""
    if os.geteuid() != 0 or not all(map(shutil.which, programs)):
        pytest.skip(f"needs root and Debian's {' and '.join(programs)}: make system-deps")


def list_copied() -> list[str]:
    """Return what the Dockerfile copies out of the repository."""
    copies = [words.split() for stage in STAGES.values() for words in stage.find_all("COPY")]
    return [path for words in copies if "--from=" not in words[0] for path in words[:-1]]


def test_all_that_is_copied_exists():
    """Every source of every COPY is in the repository."""
    assert [path for path in list_copied() if not Path(path).exists()] == []


def test_builder_sees_what_is_copied_and_nothing_else(tmp_path):
    """Buildah applies `.dockerignore`: secrets, data, training and files made later stay outside.

    A folder that is copied stands for one file in it.
    """
    require_root_and("buildah")
    graphs = json.loads((SHIPPED_DIR / "manifest.json").read_text())["graphs"].values()
    shipped = [str(SHIPPED_DIR / name) for name in ("manifest.json", *(g["file"] for g in graphs))]
    copied = [each if Path(each).is_file() else f"{each}/LICENSE" for each in list_copied()]
    context, seen = tmp_path / "context", tmp_path / "seen"
    for path in (*shipped, *copied, *UNSEEN):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        (context / path).touch()
    shutil.copy(".dockerignore", context)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    Buildah(tmp_path / "storage").build(context, "--output", f"type=local,dest={seen}")
    found = {str(each.relative_to(seen)) for each in seen.rglob("*") if each.is_file()}
    assert found == {*shipped, *copied}


def test_base_images_are_pinned_and_the_stand_in_is_named_alike():
    """Each names a patch release; the CPU's is the one that `deploy.image` makes."""
    images = {stage.base for stage in STAGES.values()} - set(STAGES)
    assert all(re.search(r":\d+\.\d+\.\d+-", image) for image in images)
    assert BASE_IMAGE in images


@pytest.mark.parametrize("target", TARGETS)
def test_image_says_what_it_is(target):
    """Version and licence of the project; the base image that it is really made from."""
    labels = dict(re.findall(r'image\.([\w.]+)="([^"]*)"', STAGES[target].find_last("LABEL")))
    assert labels["version"] == headcirc.__version__
    assert labels["licenses"] == "Apache-2.0 AND CC-BY-4.0"
    base = STAGES[target].base
    assert labels["base.name"] == (STAGES[base].base if base in STAGES else base)


@pytest.mark.parametrize("word", ["USER", "STOPSIGNAL", "ENTRYPOINT", "CMD", "EXPOSE", "ENV"])
def test_both_targets_run_alike(word):
    """What is said twice is said alike."""
    first, second = (STAGES[target].find_last(word) for target in TARGETS)
    assert first is not None
    assert first == second


@pytest.mark.parametrize("target", TARGETS)
def test_install_is_held_to_hashes(target):
    """The lock of the target, and no other file, with --require-hashes; the project without."""
    (lock, project) = (
        each for each in STAGES[f"{target}-install"].find_all("RUN") if " install " in each
    )
    name = {"cpu": "serve", "gpu": "gpu"}[target]
    assert f"--require-hashes --requirement requirements/{name}.txt" in lock
    assert "--no-deps --no-build-isolation" in project


@pytest.mark.slow
def test_image_built_from_the_cpu_target_measures_a_head():
    """Buildah builds it on Debian's bootstrap; it serves read-only, as its user, offline."""
    require_root_and(*PROGRAMS)
    done = subprocess.run(
        [sys.executable, "-m", "deploy.image"], capture_output=True, text=True, check=False
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
