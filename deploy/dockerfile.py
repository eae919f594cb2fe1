"""Parse a Dockerfile into stages, and `.dockerignore` into a path filter.

The parser supports only what this project's Dockerfile uses. Anything else is an error, so that the
replay never skips a step. This module runs nothing.
"""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

EXECUTED = ("ARG", "COPY", "ENV", "RUN", "USER", "WORKDIR")
"""Instructions that the replay runs."""
DECLARED = ("CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL")
"""Instructions that only describe the image."""


class DockerfileError(ValueError):
    """The Dockerfile uses a feature that the replay does not support."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its upper-case keyword, and the rest with continuation lines joined."""

    word: str
    rest: str


@dataclass(frozen=True)
class Stage:
    """A stage: its name, its base image or stage, and its instructions."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def find_last(self, word: str) -> str | None:
        """Return the rest of the last instruction with a keyword, or None."""
        found = [each.rest for each in self.instructions if each.word == word]
        return found[-1] if found else None


def parse_dockerfile(text: str) -> dict[str, Stage]:
    """Parse a Dockerfile into its stages, by name and in order.

    Raises
    ------
    DockerfileError
        An instruction is unknown or precedes the first stage, or a stage has no name.
    """
    stages: dict[str, Stage] = {}
    name, base, instructions = "", "", []
    for each in _join_lines(text):
        if each.word == "FROM":
            named = re.fullmatch(r"(\S+) AS (\S+)", each.rest)
            if named is None:
                raise DockerfileError(f"FROM {each.rest}: name the stage (FROM … AS …).")
            base, name = named.groups()
            instructions = []
        elif each.word not in EXECUTED + DECLARED or not name:
            raise DockerfileError(f"{each.word} {each.rest}: the replay does not support this.")
        else:
            instructions.append(each)
        stages[name] = Stage(name, base, tuple(instructions))
    return stages


def _join_lines(text: str) -> list[Instruction]:
    whole, joined = "", []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # also between continuation lines
        whole += line.rstrip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            word, _, rest = whole.strip().partition(" ")
            joined.append(Instruction(word.upper(), " ".join(rest.split())))
            whole = ""
    return joined


def parse_command(rest: str | None) -> list[str]:
    """Return the argument list of `CMD`, `ENTRYPOINT` or `HEALTHCHECK … CMD` in JSON form."""
    if rest is None:
        return []
    try:
        words: list[str] = json.loads(rest[rest.index("[") :])
    except ValueError as error:
        raise DockerfileError(f"{rest}: write the command as a JSON list.") from error
    return words


def parse_copy(rest: str) -> tuple[str | None, list[str], str]:
    """Return `--from`'s stage, the sources and the target of a `COPY`."""
    words = shlex.split(rest)
    stage = None
    if words[0].startswith("--from="):
        stage = words.pop(0).removeprefix("--from=")
    if words[0].startswith("--"):
        raise DockerfileError(f"COPY {rest}: the replay does not support {words[0]}.")
    return stage, words[:-1], words[-1]


class IgnoreRules:
    """Rules of a `.dockerignore`: the last pattern that matches a path or its parents applies."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [
            (re.compile(_to_expression(line.removeprefix("!").strip("/"))), line[0] != "!")
            for line in lines
            if line and not line.startswith("#")
        ]

    def is_ignored(self, path: str) -> bool:
        """Return whether a path, relative to the build context, is excluded from the build."""
        here = PurePosixPath(path)
        names = [str(here), *(str(each) for each in here.parents if each.name)]
        ignored = False
        for expression, excludes in self._rules:
            if any(expression.fullmatch(name) for name in names):
                ignored = excludes
        return ignored


def _to_expression(pattern: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)
