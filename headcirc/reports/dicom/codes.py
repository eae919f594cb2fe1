"""The codes that go out in DICOM objects; `docs/dicom_reports.md` has them in a table.

LN is LOINC, SCT is SNOMED CT, DCM are DICOM's own codes, UCUM are units.
"""

from highdicom.sr.coding import CodedConcept

PRIVATE_SCHEME = "99HEADCIRC"
"""Scheme of the codes of our own; DICOM asks that such names begin with 99."""


def _to_code(value: str, scheme: str, meaning: str) -> CodedConcept:
    return CodedConcept(value, scheme, meaning)


HEAD_CIRCUMFERENCE = _to_code("11984-2", "LN", "Head Circumference")
OUTER_DIAMETER = _to_code("11852-1", "LN", "Biparietal Diameter, outer to outer")
"""Not 11820-8, which runs from leading edge to leading edge: ours is outer to outer."""
OCCIPITOFRONTAL_DIAMETER = _to_code("11851-3", "LN", "Occipital-Frontal Diameter")
CEPHALIC_INDEX = _to_code("11823-2", "LN", "Cephalic Index")
GESTATIONAL_AGE = _to_code("18185-9", "LN", "Gestational Age")
HADLOCK_1984 = _to_code("11932-1", "LN", "HC, Hadlock 1984")
AREA = _to_code("42798000", "SCT", "Area")

UPPER_UNCERTAINTY = _to_code("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER_UNCERTAINTY = _to_code("371885007", "SCT", "-, range of lower measurement uncertainty")

MILLIMETRE = _to_code("mm", "UCUM", "mm")
SQUARE_MILLIMETRE = _to_code("mm2", "UCUM", "mm2")
PERCENT = _to_code("%", "UCUM", "%")
DAY = _to_code("d", "UCUM", "days")
NO_UNITS = _to_code("1", "UCUM", "no units")

HEAD = _to_code("69536005", "SCT", "Head")
ANATOMICAL_STRUCTURE = _to_code("91723000", "SCT", "Anatomical structure")
OBSTETRIC_SCAN = _to_code("268445003", "SCT", "Obstetric US scan")
INTERGROWTH_2014 = "INTERGROWTH-21st, Papageorghiou et al. 2014, Lancet 384:869-79"
"""Citation of the growth standard, for which DICOM has no code."""
EQUATION = _to_code("121420", "DCM", "Equation")
EQUATION_CITATION = _to_code("121421", "DCM", "Equation Citation")
GROWTH_Z_SCORE = _to_code("125013", "DCM", "Growth Z-score")
ALGORITHM_MANUFACTURER = _to_code("122405", "DCM", "Algorithm Manufacturer")
COMMENT = _to_code("121106", "DCM", "Comment")
ARTIFICIAL_INTELLIGENCE = _to_code("123110", "DCM", "Artificial Intelligence")

OBSTETRIC_REPORT = _to_code("125000", "DCM", "OB-GYN Ultrasound Procedure Report")
SUMMARY = _to_code("121111", "DCM", "Summary")
BIOMETRY_RATIOS = _to_code("125001", "DCM", "Fetal Biometry Ratios")
BIOMETRY = _to_code("125002", "DCM", "Fetal Biometry")
BIOMETRY_GROUP = _to_code("125005", "DCM", "Biometry Group")

QUALITY = _to_code("quality", PRIVATE_SCHEME, "Quality of the measurement")
ACCEPTABLE = _to_code("acceptable", PRIVATE_SCHEME, "No check failed")
CORRECTED = _to_code("corrected", PRIVATE_SCHEME, "Corrected by a person")
NOT_ACCEPTABLE = _to_code("not-acceptable", PRIVATE_SCHEME, "Do not rely on this result")
