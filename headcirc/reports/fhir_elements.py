"""Codes, units and data types of FHIR R4 that `fhir` writes; `docs/clinical.md` lists the codes."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from headcirc.errors import InputError

Resource = dict[str, Any]
Coding = tuple[str, str, str]
"""System, code, and the display where it was verified, otherwise empty."""
Unit = tuple[str, str]
"""A unit as a person reads it, and by UCUM."""

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
DICOM, UCUM = "http://dicom.nema.org/resources/ontology/DCM", "http://unitsofmeasure.org"
CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
SECTIONS = "http://terminology.hl7.org/CodeSystem/v2-0074"
ABSENT_REASONS = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
DICOM_UIDS, URIS = "urn:dicom:uid", "urn:ietf:rfc:3986"

HEAD_CIRCUMFERENCE: Sequence[Coding] = (
    (LOINC, "11985-9", ""),
    (LOINC, "11984-2", "Fetal Head Circumference US"),
    (SNOMED, "1269262007", "Head circumference of fetus"),
)
"""The first is the circumference of an ellipse; the second the general one, which DICOM uses."""
OUTER_DIAMETER: Sequence[Coding] = ((LOINC, "11852-1", ""),)
"""Outer to outer; 11820-8 runs from leading edge to leading edge."""
OCCIPITOFRONTAL_DIAMETER: Sequence[Coding] = ((LOINC, "11851-3", ""),)
CEPHALIC_INDEX: Sequence[Coding] = ((LOINC, "11823-2", ""),)
GESTATIONAL_AGE: Sequence[Coding] = ((LOINC, "18185-9", ""),)
AGE_BY_HADLOCK_1984: Sequence[Coding] = ((LOINC, "11932-1", ""), *GESTATIONAL_AGE)
Z_SCORE: Sequence[Coding] = ((DICOM, "125013", "Growth Z-score"),)
CENTILE: Sequence[Coding] = ((DICOM, "125012", "Growth Percentile Rank"),)
IMAGING: Sequence[Coding] = ((CATEGORIES, "imaging", "Imaging"),)
OBSTETRIC_ULTRASOUND: Sequence[Coding] = ((SECTIONS, "OUS", "OB Ultrasound"),)
REPORT: Sequence[Coding] = (
    (LOINC, "11525-3", "US Pelvis and Fetus for pregnancy"),
    (SNOMED, "268445003", ""),
)
ULTRASOUND = {"system": DICOM, "code": "US"}

MILLIMETRES, DAYS, PER_CENT, NO_UNIT = ("mm", "mm"), ("d", "d"), ("%", "%"), ("z-score", "1")
DECIMALS = {MILLIMETRES: 1, DAYS: 1, PER_CENT: 1, NO_UNIT: 2}
"""How exactly values are written; far more than can be measured."""

IDENTIFIER = r"[A-Za-z0-9\-.]{1,64}"
REFERENCE = re.compile(
    rf"(?:https?://[^\s?#\"<>]{{1,200}}/)?(?P<type>[A-Z][A-Za-z]{{2,40}})/{IDENTIFIER}"
    rf"|urn:uuid:[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}"
)
UID = re.compile(r"(?=.{1,64}$)[0-2](?:\.(?:0|[1-9][0-9]*))+")


# --- what a caller states -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ImagingSource:
    """The DICOM object that was measured, by its identifiers.

    Attributes
    ----------
    study_uid : str
    series_uid : str, optional
    instance_uid, sop_class_uid : str, optional
        Both or neither; they need the series.

    Raises
    ------
    InputError
    """

    study_uid: str
    series_uid: str | None = None
    instance_uid: str | None = None
    sop_class_uid: str | None = None

    def __post_init__(self) -> None:
        """Check the identifiers."""
        for name, value in asdict(self).items():
            if value is not None and not UID.fullmatch(value):
                raise InputError(
                    f"{name} is no DICOM UID; it must be numbers with points between them, at "
                    "most 64 characters."
                )
        if (self.instance_uid is None) != (self.sop_class_uid is None):
            raise InputError("instance_uid and sop_class_uid belong together; give both or none.")
        if self.instance_uid is not None and self.series_uid is None:
            raise InputError("instance_uid was given without series_uid; give both.")


def require_reference(text: str | None, name: str, types: Sequence[str] = ()) -> str | None:
    """Return a reference to a resource elsewhere, or None if there is none.

    Parameters
    ----------
    text : str or None
    name : str
        What the caller calls it.
    types : sequence of str
        Resources that it may refer to; empty for all.

    Raises
    ------
    InputError
        It is no FHIR reference, or is one to another type of resource.
    """
    if text is None:
        return None
    found = REFERENCE.fullmatch(text)
    if found is None or (types and found["type"] not in (None, *types)):
        kinds = " or ".join(types) or "a resource"
        raise InputError(
            f"{name} must be a FHIR reference to {kinds}, such as Patient/123, an address that "
            "ends so, or urn:uuid: with a UUID."
        )
    return text


# --- data types ---------------------------------------------------------------------------------


def to_resource(kind: str, **elements: Any) -> Resource:
    """Return a resource without its empty elements, which FHIR forbids."""
    filled = {name: value for name, value in elements.items() if value not in (None, [], {})}
    return {"resourceType": kind} | filled


def to_concept(codes: Sequence[Coding], text: str = "") -> Resource:
    """Return a CodeableConcept; a display that was not verified is left out."""
    coding = [
        {"system": system, "code": code} | ({"display": display} if display else {})
        for system, code, display in codes
    ]
    return {"coding": coding} | ({"text": text} if text else {})


def to_reason(code: str, text: str) -> Resource:
    """Return a reason for which a value is absent."""
    return to_concept([(ABSENT_REASONS, code, "")], text)


def to_quantity(value: float, unit: Unit) -> Resource:
    """Return a Quantity with a UCUM unit."""
    shown, code = unit
    return {"value": round(value, DECIMALS[unit]), "unit": shown, "system": UCUM, "code": code}


def to_component(codes: Sequence[Coding], text: str, value: float, unit: Unit) -> Resource:
    """Return a component of an Observation."""
    return {"code": to_concept(codes, text), "valueQuantity": to_quantity(value, unit)}


def to_range_component(text: str, ends: tuple[float | None, float | None], unit: Unit) -> Resource:
    """Return a component with a lower and an upper end, one of which may be unknown."""
    named = zip(("low", "high"), ends, strict=True)
    value = {name: to_quantity(end, unit) for name, end in named if end is not None}
    return {"code": {"text": text}, "valueRange": value}


def to_narrative(text: str) -> Resource:
    """Return the text of a resource for a person."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{escape(shown)}</div>',
    }


def to_notes(*texts: str) -> list[Resource]:
    """Return annotations."""
    return [{"text": each} for each in texts]
