import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import highdicom
import pytest

from headcirc.reports.dicom.standard_modules import ModuleTable, read_modules_on_demand

PATH = Path(str(files(highdicom))) / "_standard" / "module_attribute_map.json"
BUILD = """
from harness.processes import read_memory_mb
import os
from headcirc.reports.dicom.report_file import to_report_file
from tests.support.dicom_sources import to_finding
finding, mask = to_finding()
before_mb = read_memory_mb(os.getpid())
for kind in ("tid1500", "tid5000", "seg"):
    to_report_file(kind, finding, mask=mask, draw_overlay=None)
print(read_memory_mb(os.getpid(), "VmHWM") - before_mb)
"""


def test_every_module_is_that_of_the_table():
    table, expected = ModuleTable(PATH), json.loads(PATH.read_text())
    assert list(table) == list(expected)
    assert all(table[name] == expected[name] for name in expected)
    with pytest.raises(KeyError):
        table["absent"]
    assert "absent" not in table


def test_this_release_of_highdicom_reads_it_so():
    """Where it does not, reports are the same and take more memory."""
    from highdicom import _standard_utils, base, image

    assert read_modules_on_demand()
    tables = [each.get_module_attribute_map() for each in (_standard_utils, base, image)]
    assert all(isinstance(each, ModuleTable) for each in tables)


def test_reports_take_less_memory_than_the_table():
    """Reading it whole takes more than 100 MB."""
    command = [sys.executable, "-c", BUILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40
