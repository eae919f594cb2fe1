"""Dockerfile and `.dockerignore`, read: text in, stages and a filter of paths out.

Only what this project's Dockerfile uses is understood; anything else is an error, so that the
replay never leaves a step out. This file runs nothing.
"""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

DONE = ("ARG", "COPY", "ENV", "RUN", "USER", "WORKDIR")
TOLD = ("CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL")


class DockerfileError(ValueError):
    """The Dockerfile has something that the replay does not know."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word in capitals, and the rest with continued lines joined."""

    word: str
    rest: str


@dataclass(frozen=True)
class Stage:
    """A stage: its name, the image or stage that it begins from, its instructions."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def find_last(self, word: str) -> str | None:
        """Return the rest of the last instruction of that word, or None."""
        found = [each.rest for each in self.instructions if each.word == word]
        return found[-1] if found else None


def parse_dockerfile(text: str) -> dict[str, Stage]:
    """Return the stages by name, in their order.

    Raises
    ------
    DockerfileError
        An instruction is unknown, or stands before the first stage; a stage has no name.
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
        elif each.word not in DONE + TOLD or not name:
            raise DockerfileError(f"{each.word} {each.rest}: the replay does not know this.")
        else:
            instructions.append(each)
        stages[name] = Stage(name, base, tuple(instructions))
    return stages


def _join_lines(text: str) -> list[Instruction]:
    whole, joined = "", []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # also between continued lines
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
        raise DockerfileError(f"{rest}: write it as a JSON list, without a shell.") from error
    return words


def parse_copy(rest: str) -> tuple[str | None, list[str], str]:
    """Return `--from`'s stage, the sources and the target of a `COPY`."""
    words = shlex.split(rest)
    stage = None
    if words[0].startswith("--from="):
        stage = words.pop(0).removeprefix("--from=")
    if words[0].startswith("--"):
        raise DockerfileError(f"COPY {rest}: the replay does not know {words[0]}.")
    return stage, words[:-1], words[-1]


class IgnoreRules:
    """`.dockerignore`: the last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [
            (re.compile(_to_expression(line.removeprefix("!").strip("/"))), line[0] != "!")
            for line in lines
            if line and not line.startswith("#")
        ]

    def is_ignored(self, path: str) -> bool:
        """Return whether the builder never sees the file at this path below the context."""
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
