"""Let highdicom read its table of DICOM modules piece by piece.

The table lists the attributes of every module of the standard: 22 MB of JSON, 70 MB in memory and
more than 100 MB while it is read. Reports need a few of its modules. highdicom has no setting for
this, so the function that reads the table is replaced, where this release of highdicom has it.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import highdicom

NAME = "get_module_attribute_map"
KEY = re.compile(rb'  "([^"]+)": \[\r?\n')
"""The line that begins a module; all others are indented further."""


class ModuleTable(Mapping[str, list[dict[str, Any]]]):
    """The modules of a JSON file, each decoded when it is first asked for.

    Parameters
    ----------
    path : Path
        An object of lists, with two spaces before each key and a line of its own for each value.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places = dict(find_modules(path))
        self._decoded: dict[str, list[dict[str, Any]]] = {}

    def __getitem__(self, name: str) -> list[dict[str, Any]]:
        """Return the attributes of a module."""
        if name not in self._decoded:
            begin, end = self._places[name]
            with self._path.open("rb") as file:
                file.seek(begin)
                text = file.read(end - begin).decode()
            self._decoded[name] = json.loads(f"[{text[: text.rindex(']')]}]")
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the modules."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number of modules."""
        return len(self._places)


def find_modules(path: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each module's name, and where its list begins and ends, in bytes."""
    name, begin, at = "", 0, 0
    with path.open("rb") as file:
        for line in file:
            found = KEY.fullmatch(line)
            if found:
                if name:
                    yield name, (begin, at)
                name, begin = found[1].decode(), at + len(line)
            at += len(line)
    if name:
        yield name, (begin, at)


@lru_cache(1)
def read_modules_on_demand() -> bool:
    """Replace highdicom's function once; return whether this release of highdicom has it."""
    path = Path(str(files(highdicom))) / "_standard" / "module_attribute_map.json"
    if not path.is_file():
        return False
    table = ModuleTable(path)
    users = [
        module
        for name, module in sys.modules.items()
        if name.startswith("highdicom") and callable(getattr(module, NAME, None))
    ]
    for module in users if table else ():
        setattr(module, NAME, lambda: table)
    return bool(users) and bool(table)
