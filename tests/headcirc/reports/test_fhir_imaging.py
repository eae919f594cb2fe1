import pytest
from pydicom.dataset import Dataset

from headcirc.dicom_source import DicomSource
from headcirc.errors import InputError
from headcirc.reports.fhir_elements import ImagingSource
from headcirc.reports.fhir_imaging import choose_imaging, read_imaging_source

UIDS = {
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.4",
    "SOPInstanceUID": "1.2.3.5",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1",
}
WHOLE = ImagingSource(
    study_uid="1.2.3",
    series_uid="1.2.3.4",
    instance_uid="1.2.3.5",
    sop_class_uid=UIDS["SOPClassUID"],
)


def read(**changes):
    header = Dataset()
    for keyword, value in (UIDS | changes).items():
        setattr(header, keyword, value)
    return read_imaging_source(DicomSource(header))


def test_identifiers_are_those_of_the_file():
    assert read() == WHOLE
    assert read_imaging_source(None) is None


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"StudyInstanceUID": ""}, None),
        ({"StudyInstanceUID": "Jane"}, None),
        ({"SeriesInstanceUID": ""}, ImagingSource(study_uid="1.2.3")),
        ({"SOPInstanceUID": "x"}, ImagingSource(study_uid="1.2.3", series_uid="1.2.3.4")),
        ({"SOPClassUID": ""}, ImagingSource(study_uid="1.2.3", series_uid="1.2.3.4")),
    ],
)
def test_damaged_identifier_is_left_out_with_what_depends_on_it(changes, expected):
    assert read(**changes) == expected


def test_file_decides_and_a_contradiction_is_refused():
    stated = ImagingSource(study_uid="1.2.3")
    assert choose_imaging(None, None) is None
    assert choose_imaging(stated, None) is stated
    assert choose_imaging(None, WHOLE) is choose_imaging(stated, WHOLE) is WHOLE
    with pytest.raises(InputError, match="study_uid"):
        choose_imaging(ImagingSource(study_uid="1.2.9"), WHOLE)
