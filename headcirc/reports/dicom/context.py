"""The context of a report: who observed, by which algorithm, whom, and in which frame."""

from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes as standard

from headcirc.reports.dicom import codes
from headcirc.reports.dicom.finding import Finding
from headcirc.reports.dicom.identity import MANUFACTURER, to_algorithm_parameters, to_uid

FETUS_ID = "unspecified"
"""Nothing in a picture says which fetus it shows."""


def to_observer(finding: Finding) -> sr.ObserverContext:
    """Return who observed: this software with its model (TID 1004)."""
    model = finding.answer.model
    return sr.ObserverContext(
        observer_type=standard.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=to_uid("device", finding.model_sha256),
            name=f"headcirc with model {model.name} {model.version}",
            manufacturer_name=MANUFACTURER,
            model_name=model.name,
            serial_number=finding.model_sha256,
        ),
    )


def to_person(finding: Finding) -> sr.ObserverContext | None:
    """Return the person who corrected (TID 1003), by the name that was stated; None if nobody."""
    correction = finding.answer.correction
    if correction is None:
        return None
    return sr.ObserverContext(
        observer_type=standard.DCM.Person,
        # The mark says that the whole name is one part.
        observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(
            name=f"{correction.by}^"
        ),
    )


def to_fetus() -> sr.SubjectContextFetus:
    """Return whom the figures are about (TID 1008)."""
    return sr.SubjectContextFetus(subject_id=FETUS_ID)


def to_algorithm(finding: Finding) -> sr.AlgorithmIdentification:
    """Return the identification of the model (TID 4019)."""
    model = finding.answer.model
    return sr.AlgorithmIdentification(
        name=model.name,
        version=model.version,
        parameters=to_algorithm_parameters(finding),
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=MANUFACTURER,
    )


def to_private_scheme() -> CodingSchemeIdentificationItem:
    """Return the description of the scheme that our own codes belong to."""
    return CodingSchemeIdentificationItem(
        designator=codes.PRIVATE_SCHEME,
        name="Codes of Headcirc",
        responsible_organization=MANUFACTURER,
    )


def to_frame_numbers(finding: Finding) -> list[int] | None:
    """Return the number of the frame, counted from 1; None for an object of one frame."""
    return None if finding.source.frames == 1 else [finding.source.frame_index + 1]
