"""Build the Dockerfile's target `cpu` and serve from it without Docker: `python -m deploy.replay`.

Every step is read from the Dockerfile and run in a separate root. A debootstrap of Debian with its
Python replaces the official Python image, which is based on the same Debian release. The patch
release of Python therefore differs, and the image's layers are not tested. The command needs root
and debootstrap. All mounts are in a separate namespace and end with it.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from string import Template

from deploy.dockerfile import IgnoreRules, Stage, parse_copy, parse_dockerfile
from deploy.prove import Container, to_command

REPOSITORY = Path(__file__).parent.parent
STAND_INS = {"python:3.11.14-slim-bookworm": ("bookworm", "python3,python3-pip,ca-certificates")}
"""Image to the Debian suite and packages that replace it."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST_FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf")
"""Mounted into the root during a RUN step only, so that pip reaches the package index."""
RUN_IN_ROOT = """
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for file in $BOUND; do mount --bind "$file" "$root$file"; done
exec "$@"
"""


@dataclass
class StageState:
    """State of a stage during the replay: its root, environment, working directory and user."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    folder: str = "/"
    user: str = "0:0"

    def find(self, path: str) -> Path:
        """Return the path on this machine of a path in the stage."""
        return self.root / os.path.normpath(os.path.join(self.folder, path)).lstrip("/")


class Replay:
    """Replays the stages of one Dockerfile in a work folder.

    Parameters
    ----------
    context : Path
        Build context: the folder with the Dockerfile, its `.dockerignore` and the copied files.
    work_dir : Path
        Folder for the roots. Bootstrapped roots are kept and used again.
    """

    def __init__(self, context: Path, work_dir: Path) -> None:
        self.stages = parse_dockerfile((context / "Dockerfile").read_text())
        self._rules = IgnoreRules((context / ".dockerignore").read_text())
        self._context, self._work_dir = context, work_dir
        self._done: dict[str, StageState] = {}

    def build(self, name: str) -> StageState:
        """Build a stage and the stages that it depends on; return its state."""
        if name in self._done:
            return self._done[name]
        stage = self.stages[name]
        if stage.base in self.stages:
            before = self.build(stage.base)
            state = StageState(self._work_dir / name, dict(before.environment), before.folder)
            source = before.root
        else:
            state = StageState(self._work_dir / name)
            source = bootstrap(stage.base, self._work_dir)
        shutil.rmtree(state.root, ignore_errors=True)
        subprocess.run(["cp", "--archive", source, state.root], check=True)
        self._run_steps(stage, state)
        self._done[name] = state
        return state

    def _run_steps(self, stage: Stage, state: StageState) -> None:
        for step in stage.instructions:
            print(f"{stage.name}: {step.word} {step.rest}", file=sys.stderr)
            known = Template(step.rest).safe_substitute(state.environment)
            if step.word in ("ENV", "ARG"):
                state.environment |= dict(word.split("=", 1) for word in shlex.split(known))
            elif step.word == "WORKDIR":
                state.folder = known
                state.find(".").mkdir(parents=True, exist_ok=True)
            elif step.word == "USER":
                state.user = known
            elif step.word == "COPY":
                self._copy(state, step.rest)
            elif step.word == "RUN":
                run_in_root(state, step.rest)

    def _copy(self, state: StageState, rest: str) -> None:
        stage, sources, target = parse_copy(rest)
        for source in sources:
            place = state.find(target)
            if stage is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                origin = self.build(stage).find(os.path.join("/", source))
                subprocess.run(
                    ["cp", "--archive", "--no-target-directory", origin, place], check=True
                )
                continue
            here = self._context / source
            found = sorted(here.rglob("*")) if here.is_dir() else [here]
            base = here if here.is_dir() else here.parent
            as_folder = here.is_dir() or target.endswith(("/", "."))
            for file in found:
                inside = file.relative_to(self._context).as_posix()
                if file.is_file() and not self._rules.is_ignored(inside):
                    path = place / file.relative_to(base) if as_folder else place
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, path)


def bootstrap(image: str, work_dir: Path) -> Path:
    """Return the root that replaces an image; it is created once."""
    suite, packages = STAND_INS[image]
    root = work_dir / f"base-{suite}"
    if not root.is_dir():
        partial = root.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(partial)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name in ("python", "python3"):  # where the official image has it
            (partial / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
        partial.rename(root)
    return root


def run_in_root(state: StageState, command: str) -> None:
    """Run one RUN step, with only this machine's package index settings."""
    inherited = dict(os.environ)  # noqa: TID251 - pip's settings, for this step
    pip_settings = {
        k: v for k, v in inherited.items() if k.startswith("PIP_") or k.endswith("_PROXY")
    }
    wanted = [*HOST_FILES, *pip_settings.values()]
    bound = [each for each in wanted if each.startswith("/") and Path(each).is_file()]
    made = [each for each in bound if not (state.root / each[1:]).exists()]
    for each in made:
        (state.root / each[1:]).parent.mkdir(parents=True, exist_ok=True)
        (state.root / each[1:]).touch()
    variables = [f"{key}={value}" for key, value in (pip_settings | state.environment).items()]
    inside = f"cd {shlex.quote(state.folder)} && {command}"
    step = ["chroot", str(state.root), "env", "-i", *variables, "/bin/sh", "-c", inside]
    subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child",
         "/bin/sh", "-c", RUN_IN_ROOT, "sh", str(state.root), *step],
        check=True, env=inherited | {"BOUND": " ".join(bound)}, stdout=sys.stderr,
    )  # fmt: skip
    for each in made:
        (state.root / each[1:]).unlink()


def main() -> int:
    """Replay the target, serve from it, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work-dir", type=Path, default=Path("build/replay"))
    parser.add_argument("--target", default="cpu")
    chosen = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("The replay needs root and debootstrap (make system-deps).", file=sys.stderr)
        return 2
    chosen.work_dir.mkdir(parents=True, exist_ok=True)
    replay = Replay(REPOSITORY, chosen.work_dir.resolve())
    ready = replay.build(chosen.target)
    stage = replay.stages[chosen.target]
    container = Container(
        root=str(ready.root), folder=ready.folder, user=ready.user, environment=ready.environment,
        command=to_command(stage), health=to_command(stage, "HEALTHCHECK"),
        stop_signal=stage.find_last("STOPSIGNAL") or "",
    )  # fmt: skip
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
         sys.executable, "-m", "deploy.prove", json.dumps(asdict(container))],
        check=False, cwd=REPOSITORY,
    )  # fmt: skip
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
