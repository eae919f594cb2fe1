"""The captioned picture: a DICOM Secondary Capture of the overlay, which every viewer shows."""

from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from headcirc.overlay import Picture
from headcirc.reports.dicom.finding import Finding
from headcirc.reports.dicom.identity import finish, to_algorithm_parameters, to_identification
from headcirc.reports.dicom.source_header import to_evidence

KIND = "capture"
NOMINAL_ORIENTATION = ("L", "F")
"""Nothing in an ultrasound picture says how the fetus lies, and the attribute must not be empty."""
IMAGE_TYPE = ["DERIVED", "SECONDARY"]


def to_capture(finding: Finding, picture: Picture) -> Dataset:
    """Build the captioned picture of a finding; a picture without a head says so.

    Parameters
    ----------
    finding : Finding
    picture : (rows, columns, 3) uint8, RGB
        The overlay with its caption.

    Raises
    ------
    UnusableHeaderError
    """
    evidence = to_evidence(finding.source)
    made = SCImage.from_ref_dataset(
        evidence,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=NOMINAL_ORIENTATION,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **to_identification(finding, evidence, KIND),
    )
    made.ImageType = IMAGE_TYPE
    made.ConversionType = "WSD"  # made by a workstation
    made.Laterality = ""  # a checker misses it in a picture that could be of a paired organ
    # The picture may have burned-in text, and most scanners do not say whether it identifies.
    made.BurnedInAnnotation = "NO" if evidence.get("BurnedInAnnotation") == "NO" else "YES"
    made.DerivationDescription = _describe(finding)
    made.ImageComments = finding.research_only
    made.SourceImageSequence = [_to_reference(finding, evidence)]
    finish(made, finding, evidence)
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = made.ContentDate, made.ContentTime
    return made


def _describe(finding: Finding) -> str:
    model = finding.answer.model
    facts = [f"{model.name} {model.version}", *to_algorithm_parameters(finding)]
    by = "a person, over that by " if finding.is_corrected else ""
    return f"Outline of the fetal head by {by}{', '.join(facts)}"


def _to_reference(finding: Finding, evidence: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = evidence.SOPClassUID
    reference.ReferencedSOPInstanceUID = evidence.SOPInstanceUID
    if finding.source.frames > 1:
        reference.ReferencedFrameNumber = finding.source.frame_index + 1
    return reference
