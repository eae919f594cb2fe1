"""Who made an object, and under which identifiers.

The identifiers are derived from the source, the model and the kind of the object. A repeat is
therefore the same instance, and an archive keeps it once.
"""

import hashlib
import uuid
from typing import Any

from pydicom.dataset import Dataset

from headcirc import __version__
from headcirc.corrections import to_drawn
from headcirc.reports.dicom.finding import Finding
from headcirc.reports.dicom.source_header import CHARACTER_SET, to_local_time

MANUFACTURER = "Headcirc"
SERIES = {
    "tid1500": (9901, "Head circumference, measurement report"),
    "tid5000": (9902, "Head circumference, obstetric report"),
    "seg": (9903, "Head circumference, segmentation"),
    "capture": (9904, "Head circumference, captioned picture"),
}
"""Kind of object to the number and the description of its series."""
MOST_INSTANCE_NUMBER = 2**31 - 1


def to_uid(*parts: object) -> str:
    """Return a UID that depends on the parts alone (PS3.5 B.2: 2.25 and a UUID as an integer)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def to_instance_uid(finding: Finding, evidence: Dataset, kind: str) -> str:
    """Return the UID of one kind of object about a finding.

    It depends on all that the content depends on: picture, what was stated about it, a person's
    correction, model, recalibration and release.
    """
    image, growth = finding.answer.image, finding.answer.growth
    correction = finding.answer.correction
    return to_uid(
        kind,
        str(evidence.SOPInstanceUID),
        finding.source.frame_index,
        (image.pixel_size_x_mm, image.pixel_size_y_mm),
        None if growth is None else growth.gestational_age_days,
        *_to_maker(finding),
        *([] if correction is None else [repr(to_drawn(correction))]),
    )


def to_identification(finding: Finding, evidence: Dataset, kind: str) -> dict[str, Any]:
    """Return the arguments with which highdicom identifies an object of one kind.

    Parameters
    ----------
    finding : Finding
    evidence : Dataset
        From `source_header.to_evidence`.
    kind : str
        One of `SERIES`.
    """
    series_number, description = SERIES[kind]
    model = finding.answer.model
    created = to_local_time(finding.answer.created, evidence)
    number = int(evidence.InstanceNumber) + finding.source.frame_index
    return {
        "series_instance_uid": to_uid(kind, str(evidence.SeriesInstanceUID), *_to_maker(finding)),
        "series_number": series_number,
        "series_description": description,
        "sop_instance_uid": to_instance_uid(finding, evidence, kind),
        "instance_number": min(number, MOST_INSTANCE_NUMBER),
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": model.name,
        "software_versions": [f"headcirc {__version__}", f"model {model.version}"],
        "device_serial_number": finding.model_sha256,
        "content_date": created.date(),
        "content_time": created.time(),
        "specific_character_set": CHARACTER_SET,
    }


def finish(made: Dataset, finding: Finding, evidence: Dataset) -> Dataset:
    """Set what depends on the clock, so that a repeat gives the same bytes; return the object."""
    created = to_local_time(finding.answer.created, evidence)
    made.InstanceCreationDate, made.InstanceCreationTime = created.date(), created.time()
    for equipment in made.ContributingEquipmentSequence:
        if "ContributionDateTime" in equipment:
            equipment.ContributionDateTime = created.strftime("%Y%m%d%H%M%S")
    if "TimezoneOffsetFromUTC" in evidence:
        made.TimezoneOffsetFromUTC = evidence.TimezoneOffsetFromUTC
    return made


def to_algorithm_parameters(finding: Finding) -> list[str]:
    """Return the facts about the algorithm beside its name and version."""
    model, site = finding.answer.model, finding.answer.site
    facts = [f"model sha256 {finding.model_sha256}", f"precision {model.precision}"]
    if site is not None:
        facts.append(
            f"recalibrated by the site on {site.date}: scale {site.scale:g}, offset "
            f"{site.offset_mm:g} mm"
        )
    return facts


def _to_maker(finding: Finding) -> tuple[str, ...]:
    model, site = finding.answer.model, finding.answer.site
    return model.name, model.version, finding.model_sha256, __version__, repr(site)
