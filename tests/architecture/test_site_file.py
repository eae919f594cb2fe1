"""A recalibration must reach every number: whoever loads a model passes the site file on."""

import ast
from pathlib import Path

import pytest

CALLS = [
    pytest.param(node, id=f"{path}:{node.lineno}")
    for folder in ("headcirc", "service", "deploy")
    for path in sorted(Path(folder).rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_pipeline"
]


def test_calls_are_found():
    assert len(CALLS) > 5


@pytest.mark.parametrize("call", CALLS)
def test_model_is_loaded_with_the_site_file(call):
    assert "site_file" in {each.arg for each in call.keywords}
