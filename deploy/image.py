"""`python -m deploy.image`: build the Dockerfile's target `cpu` with buildah, and check the image.

No container engine and no registry is needed. Debian's bootstrap with Debian's Python stands in
for the official Python image, which is made from the same Debian, so the patch release of Python
differs. Needs root, buildah and debootstrap.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from deploy.prove import Container

REPOSITORY = Path(__file__).parent.parent
BASE_IMAGE = "python:3.11.14-slim-bookworm"
SUITE = "bookworm"
PACKAGES = "python3,python3-pip,ca-certificates"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("buildah", "debootstrap")
INDEX_SETTINGS = ("cert", "index-url", "proxy", "trusted-host")
"""pip's settings that say how this machine reaches the package index."""
OWN_NETWORK = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
"""Chroot isolation has neither a read-only root nor a network of its own: `deploy.prove` has."""


class Buildah:
    """Buildah with a storage of its own, which is gone when its folder is removed.

    Parameters
    ----------
    storage_dir : Path
        Images and working containers lie here.
    """

    def __init__(self, storage_dir: Path) -> None:
        self._options = ("--root", str(storage_dir / "root"), "--runroot", str(storage_dir / "run"),
                         "--storage-driver", "vfs")  # fmt: skip

    def run(self, *arguments: str) -> str:
        """Run one command of buildah and return what it prints."""
        command = ["buildah", *self._options, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def build(self, context: Path, *options: str) -> str:
        """Build the context's Dockerfile without a registry and return what buildah prints."""
        isolation = ("--isolation", "chroot", "--network", "host")
        return self.run("bud", "--quiet", "--pull=never", *isolation, *options, str(context))

    def import_tree(self, root: Path, image: str) -> None:
        """Make an image with one layer from a tree."""
        container = self.run("from", "scratch")
        subprocess.run(["cp", "--archive", f"{root}/.", self.run("mount", container)], check=True)
        self.run("config", "--env", f"PATH={DEFAULT_PATH}", container)
        self.run("commit", "--quiet", "--rm", container, f"docker.io/library/{image}")

    def create_container(self, image: str) -> Container:
        """Create a container of an image and return its tree and its configuration."""
        described = json.loads(self.run("inspect", "--type", "image", image))
        root = self.run("mount", self.run("from", "--pull=never", image))
        return Container.from_configuration(root, described["Docker"]["config"])


def bootstrap(work_dir: Path) -> Path:
    """Return a tree that stands in for the base image; it is made once."""
    root = work_dir / f"base-{SUITE}"
    if not root.is_dir():
        partial = root.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(partial)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name in ("python", "python3"):  # where the official image has it
            (partial / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        partial.rename(root)
    return root


def bind_index_settings(folder: Path) -> list[str]:
    """Return buildah's options that let pip reach the package index from RUN steps as it does here.

    The files are bound for the length of a step. The image keeps at most an empty /etc/pip.conf.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    settings = {}
    for line in reversed(listed.splitlines()):  # those of the environment come first, and win
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = ast.literal_eval(value)
    chosen = {key: value for key, value in settings.items() if key in INDEX_SETTINGS}
    path = folder / "pip.conf"
    path.write_text("\n".join(["[global]", *(f"{key} = {chosen[key]}" for key in chosen), ""]))
    bound = [f"{path}:/etc/pip.conf:ro"]
    if "cert" in chosen:
        bound.append(f"{chosen['cert']}:{chosen['cert']}:ro")
    return [f"--volume={each}" for each in bound]


def build_container(buildah: Buildah, work_dir: Path, target: str) -> Container:
    """Build a target of the Dockerfile and return a container of it."""
    buildah.import_tree(bootstrap(work_dir), BASE_IMAGE)
    with tempfile.TemporaryDirectory() as folder:
        image = buildah.build(
            REPOSITORY, "--format=docker", f"--target={target}", *bind_index_settings(Path(folder))
        )  # the format of OCI has no health check
    return buildah.create_container(image.split()[-1])


def main() -> int:
    """Build the target, serve from it, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work-dir", type=Path, default=Path("build/image"))
    parser.add_argument("--target", default="cpu")
    chosen = parser.parse_args()
    if os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)):
        print("This needs root, buildah and debootstrap (make system-deps).", file=sys.stderr)
        return 2
    work_dir = chosen.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work_dir) as storage_dir:
        container = build_container(Buildah(Path(storage_dir)), work_dir, chosen.target)
        described = json.dumps(asdict(container))
        done = subprocess.run(
            [*OWN_NETWORK, sys.executable, "-m", "deploy.prove", described],
            check=False, cwd=REPOSITORY,
        )  # fmt: skip
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
