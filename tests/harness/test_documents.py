import json

import pytest

from harness.documents import read_block, replace_block, write_report


def test_report_is_written_into_a_new_folder(tmp_path):
    """A report comes back from its file, whose folder need not be there."""
    path = tmp_path / "results" / "report.json"
    write_report(path, {"mean_mm": 1.5, "rows": [None]})
    assert json.loads(path.read_text()) == {"mean_mm": 1.5, "rows": [None]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_number_that_json_has_not_is_refused(tmp_path, value):
    """NaN and infinity are no figures, and the report that was there before stays."""
    path = tmp_path / "report.json"
    write_report(path, {"mean_mm": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_report(path, {"mean_mm": value})
    assert json.loads(path.read_text()) == {"mean_mm": 1.5}


def test_a_block_is_replaced_and_nothing_else():
    """Text around the markers stays; writing twice changes nothing more."""
    text = "before\n<!-- x:begin -->\nold\n<!-- x:end -->\nafter\n"
    once = replace_block(text, "x", "new")
    assert once == "before\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nafter\n"
    assert replace_block(once, "x", "new") == once
    assert read_block(once, "x") == "new"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- x:begin -->",
        "<!-- x:end --><!-- x:begin -->",
        "<!-- x:begin --><!-- x:end -->" * 2,
    ],
)
def test_missing_or_doubled_markers_are_refused(text):
    """Without exactly one pair of markers in order, the document is not changed."""
    with pytest.raises(ValueError, match="x:begin"):
        replace_block(text, "x", "new")
