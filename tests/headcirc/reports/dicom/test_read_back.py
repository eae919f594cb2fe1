"""Other people's tools read what goes out: dcmtk, dicom3tools and Orthanc."""

import shutil
import subprocess
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset

from headcirc.reports.dicom.capture import to_capture
from headcirc.reports.dicom.finding import Finding
from headcirc.reports.dicom.measurement_report import to_measurement_report
from headcirc.reports.dicom.obstetric_report import to_obstetric_report
from headcirc.reports.dicom.report_file import to_dicom_file
from headcirc.reports.dicom.segmentation import to_segmentation
from tests.support.dicom_sources import to_dicom_file as to_source_file
from tests.support.dicom_sources import to_finding, to_ultrasound
from tests.support.orthanc import run_orthanc

CINE = np.zeros((3, 540, 800), np.uint8)
BROKEN = {"StudyTime": "25:61", "PatientSex": "U", "AccessionNumber": None, "StudyID": None}
SOURCES: dict[str, Callable[[], tuple[Finding, np.ndarray]]] = {
    "frame": to_finding,
    "cine": lambda: to_finding(to_ultrasound(CINE), frame_index=2),
    "broken header": lambda: to_finding(to_ultrasound(**BROKEN)),
    "foreign name": lambda: to_finding(
        to_ultrasound(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎")
    ),
}
KINDS: dict[str, Callable[[Finding, np.ndarray], Dataset]] = {
    "tid1500": lambda finding, _: to_measurement_report(finding),
    "tid5000": lambda finding, _: to_obstetric_report(finding),
    "seg": to_segmentation,
    "capture": lambda finding, mask: to_capture(finding, np.dstack([mask] * 3).astype(np.uint8)),
}
HARMLESS = (
    "Unrecognized defined term <99HEADCIRC>",  # a scheme of our own cannot be known
    "needed to build DICOMDIR",  # what the source does not state stays empty
    "attribute <Laterality>",  # empty: a picture of a fetus has none
)


def require(command: str, package: str) -> str:
    path = shutil.which(command)
    if path is None:
        pytest.skip(f"{command} is missing; install Debian's package {package}: make system-deps")
    return path


@pytest.fixture(
    params=[(s, k) for s in SOURCES for k in KINDS if (s, k) != ("cine", "seg")], ids=str
)
def file(request, tmp_path):
    """Return the path of each kind of object about each source."""
    source, kind = request.param
    path = tmp_path / f"{kind}.dcm"
    path.write_bytes(to_dicom_file(KINDS[kind](*SOURCES[source]())))
    return path


def test_dciodvfy_finds_no_fault(file):
    """The checker of dicom3tools knows the attributes that each kind of object must have."""
    done = subprocess.run(
        [require("dciodvfy", "dicom3tools"), str(file)], capture_output=True, text=True, check=False
    )
    complaints = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if line.startswith(("Error", "Warning")) and not any(each in line for each in HARMLESS)
    ]
    assert complaints == []
    assert done.returncode == 0


def test_dsrdump_reads_the_reports(file):
    """The reader of dcmtk checks the relationships of a structured report."""
    if file.stem not in ("tid1500", "tid5000"):
        done = subprocess.run(
            [require("dcmdump", "dcmtk"), str(file)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return
    done = subprocess.run(
        [require("dsrdump", "dcmtk"), str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "E:" not in done.stderr
    assert 'NUM:(,,"Head Circumference")="246.05" (mm,UCUM,"mm")' in done.stdout
    assert "Verification Flag   : UNVERIFIED" in done.stdout


def test_archive_keeps_them_beside_the_picture(tmp_path):
    """Orthanc stores each kind in the patient's study; a repeat is the same instance."""
    finding, mask = to_finding()
    files = [to_dicom_file(build(finding, mask)) for build in KINDS.values()]
    with run_orthanc(tmp_path / "orthanc") as archive:
        picture = to_source_file(to_ultrasound())
        statuses = [
            httpx.post(f"{archive.url}/instances", content=each).json()["Status"]
            for each in (picture, *files, *files)
        ]
        assert statuses == ["Success"] * 5 + ["AlreadyStored"] * 4
        (study,) = httpx.get(f"{archive.url}/studies", params={"expand": "true"}).json()
        assert study["PatientMainDicomTags"]["PatientID"] == "P-1"
        assert len(study["Series"]) == 5
