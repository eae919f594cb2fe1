"""The table of codes in `docs/dicom_reports.md` is complete."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from headcirc.answers import to_growth
from headcirc.corrections import DrawnEllipse, to_corrected
from headcirc.growth import choose_age
from headcirc.reports.dicom.capture import to_capture
from headcirc.reports.dicom.measurement_report import to_measurement_report
from headcirc.reports.dicom.obstetric_report import to_obstetric_report
from headcirc.reports.dicom.segmentation import to_segmentation
from tests.support.dicom_sources import to_finding

TABLE = Path("docs/dicom_reports.md").read_text().partition("## Codes")[2].partition("\n## ")[0]


def read_codes() -> set[tuple[str, str]]:
    """Return the codes of the page's table, with their schemes."""
    rows = [line.split("|") for line in TABLE.splitlines() if line.startswith("|")][2:]
    return {(code, row[3].strip()) for row in rows for code in re.split(", ", row[2].strip())}


def find_codes(item: Dataset) -> Iterator[tuple[str, str]]:
    """Yield every code of an object, at any depth."""
    if "CodeValue" in item:
        yield item.CodeValue, item.CodingSchemeDesignator
    for element in item:
        if element.VR == "SQ":
            for each in element.value:
                yield from find_codes(each)


@pytest.fixture(scope="module")
def sent():
    finding, mask = to_finding()
    growth = to_growth(finding.answer.head, choose_age(189, None))
    finding = replace(finding, answer=replace(finding.answer, growth=growth))
    drawn = DrawnEllipse(ellipse=finding.answer.head.ellipse, by="RT", at="2026-01-02T03:04:05Z")
    corrected = replace(finding, answer=to_corrected(finding.answer, drawn))
    picture = np.zeros((8, 8, 3), np.uint8)
    unreliable = {("not-acceptable", "99HEADCIRC")}
    made = [
        to_measurement_report(finding),
        to_measurement_report(corrected),
        to_obstetric_report(finding),
        to_segmentation(finding, mask),
        to_capture(finding, picture),
    ]
    return unreliable | {code for each in made for code in find_codes(each)}


def test_every_code_that_goes_out_is_in_the_table(sent):
    assert sent - read_codes() == set()


def test_no_other_code_is_in_the_table(sent):
    assert read_codes() - sent == set()
