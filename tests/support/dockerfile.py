"""The Dockerfile's stages, for tests that compare it with other files."""

from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser
from dockerfile_parse.parser import image_from


@dataclass(frozen=True)
class Stage:
    """A stage: the image or stage that it begins from, and its instructions as (word, value)."""

    base: str
    instructions: tuple[tuple[str, str], ...]

    def find_all(self, word: str) -> list[str]:
        """Return the values of all instructions of that word, each on one line."""
        return [value for each, value in self.instructions if each == word]

    def find_last(self, word: str) -> str | None:
        """Return the value of the last instruction of that word, or None."""
        return (self.find_all(word) or [None])[-1]


def read_stages() -> dict[str, Stage]:
    """Return the repository's stages by name, in their order."""
    stages: dict[str, Stage] = {}
    name = ""
    with Path("Dockerfile").open("rb") as file:
        structure = DockerfileParser(fileobj=file).structure
    for each in structure:
        word, value = each["instruction"], " ".join(each["value"].split())
        if word == "FROM":
            base, name = image_from(value)
            stages[name] = Stage(base, ())
        elif word != "COMMENT":
            before = stages[name]
            stages[name] = Stage(before.base, (*before.instructions, (word, value)))
    return stages
