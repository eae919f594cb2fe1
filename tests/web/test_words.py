"""Every code that an answer can hold has words on the page."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from headcirc import geometry, growth
from headcirc.answers import GestationalAge
from headcirc.quality import assessment

WORDS = Path("service/headcirc_service/web/words.js").absolute()
NAMES = ("WARNINGS", "CHARTS", "AGE_CODES", "AGE_SOURCES", "SIZE_SOURCES")


@pytest.fixture(scope="module")
def words():
    """Return the keys of each table of words, as node reads them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian's package nodejs; make system-deps)")
    script = (
        f"const words = await import({json.dumps(WORDS.as_uri())});"
        f"const tables = {{}}; for (const name of {json.dumps(NAMES)}) tables[name] = words[name];"
        "console.log(JSON.stringify(tables));"
    )
    command = [node, "--input-type=module", "--eval", script]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return {name: set(table) for name, table in json.loads(run.stdout).items()}


def find_codes(module, *, without: tuple[str, ...] = ()) -> set[str]:
    """Return the values of a module's constants that look like codes: words with hyphens."""
    names = [name for name in vars(module) if name.isupper() and name not in without]
    values = (getattr(module, name) for name in names)
    return {each for each in values if isinstance(each, str) and "-" in each and " " not in each}


def test_every_warning_has_words(words):
    codes = find_codes(assessment)
    assert len(codes) > 15
    assert codes == words["WARNINGS"]


def test_every_code_of_an_age_has_words(words):
    codes = find_codes(growth)
    assert len(codes) == 5
    assert codes == words["AGE_CODES"]


def test_every_method_of_dating_has_words(words):
    assert {*GestationalAge.__dataclass_fields__} == words["CHARTS"]


def test_every_source_has_words(words):
    sizes = {value for name, value in vars(geometry).items() if name.startswith("FROM_")}
    ages = {value for name, value in vars(growth).items() if name.startswith("AGE_FROM_")}
    assert (sizes, ages) == (words["SIZE_SOURCES"], words["AGE_SOURCES"])
