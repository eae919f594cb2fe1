import json

import pytest

from harness.documents import write_report


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
