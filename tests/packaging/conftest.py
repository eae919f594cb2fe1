import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "models/LICENSE", "headcirc", "service")
"""What the package is made from; nothing else of the tree may be needed."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and an empty folder to work in."""

    programs: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment in the empty folder; return what it printed."""
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder, env=to_bare_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


def to_bare_environment() -> dict[str, str]:
    """Return an environment that leads nowhere to the source tree."""
    return {"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "default"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """Build by `python -m build` from a copy of what it needs: source archive, then wheel of it."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.engine")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Installed:
    """Install the wheel into an environment of its own, beside the dependencies of this one.

    A `.pth` file adds this environment's packages; its own `.pth` files, which would lead to the
    source tree, are not read.
    """
    folder = tmp_path_factory.mktemp("installed")
    environment, empty = folder / "venv", folder / "empty"
    empty.mkdir()
    command = [sys.executable, "-m", "venv", "--without-pip", environment]
    subprocess.run(command, check=True)
    python = environment / "bin" / "python"
    options = ["--no-deps", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options, wheel]
    subprocess.run(command, check=True, capture_output=True)
    (packages,) = (environment / "lib").glob("python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(environment / "bin", empty)


@pytest.fixture(scope="session")
def wheel_names(wheel) -> dict[str, int]:
    """Return the wheel's files and their sizes in bytes."""
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.file_size for each in archive.infolist()}
