"""Hold an obstetric report against the rows of its templates.

No tool checks the templates of a structured report. The rows here are those of TID 5000 and of the
templates that it includes (PS3.16 2025e) that our reports use: 300, 310, 320, 1001, 1008, 1204,
4019, 5002, 5004, 5005 and 5008. An item that no row describes is a violation too, although the
templates may be extended, because we extend them only with rows that stand here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from headcirc.reports.dicom import codes

Term = tuple[str, str]
"""Code value and scheme."""
Concept = Code | CodedConcept
ANY_NUMBER = 1_000_000


@dataclass(frozen=True)
class Row:
    """A row of a template.

    Attributes
    ----------
    relationship : str
        To the parent; empty at the root.
    value_type : str
    names : frozenset of Term
        Concept names that the row allows.
    least, most : int
        How many items of this row a parent has.
    rows : tuple of Row
        Rows below.
    units, values : frozenset of Term
        Units of a number and values of a code; empty where any is allowed.
    """

    relationship: str
    value_type: str
    names: frozenset[Term]
    least: int = 0
    most: int = 1
    rows: tuple["Row", ...] = ()
    units: frozenset[Term] = frozenset()
    values: frozenset[Term] = frozenset()

    def fits(self, item: Dataset) -> bool:
        """Return whether an item is of this row, by relationship, kind and name."""
        return (
            item.get("RelationshipType", "") == self.relationship
            and item.ValueType == self.value_type
            and _read_term(item.get("ConceptNameCodeSequence")) in self.names
        )


def find_violations(document: Dataset, *, is_corrected: bool = False) -> list[str]:
    """Return what an obstetric report breaks of its templates, in words; empty where it is valid.

    Parameters
    ----------
    document : Dataset
        The report; its root is the document itself.
    is_corrected : bool
        A person drew the ellipse, so that no figure may name an algorithm.
    """
    report = CORRECTED_REPORT if is_corrected else REPORT
    if not report.fits(document):
        return ["The root is no OB-GYN Ultrasound Procedure Report."]
    template = document.get("ContentTemplateSequence")
    if not template or template[0].TemplateIdentifier != "5000":
        return ["The root does not name template 5000."]
    return list(_check(document, report, "report"))


def _check(item: Dataset, row: Row, place: str) -> Iterator[str]:
    """Yield what an item and the items below it break."""
    yield from _check_value(item, row, place)
    counts, last = [0] * len(row.rows), 0
    for child in item.get("ContentSequence", ()):
        name = child.ConceptNameCodeSequence[0].CodeMeaning if _has_name(child) else "no name"
        fitting = [number for number, each in enumerate(row.rows) if each.fits(child)]
        if not fitting:
            yield f"{place}: no row for {child.RelationshipType} {child.ValueType} {name!r}"
            continue
        number = fitting[0]
        if number < last:
            yield f"{place}: {name!r} comes too late"
        last = number
        counts[number] += 1
        yield from _check(child, row.rows[number], f"{place} > {name}")
    for count, each in zip(counts, row.rows, strict=True):
        if not each.least <= count <= each.most:
            yield f"{place}: {count} of {sorted(each.names)}, needed {each.least} to {each.most}"
    if row.names == GROUP_NAMES and not any(
        child.ValueType == "NUM" for child in item.get("ContentSequence", ())
    ):
        yield f"{place}: neither a measurement nor an age"


def _check_value(item: Dataset, row: Row, place: str) -> Iterator[str]:
    if row.units:
        measured = item.get("MeasuredValueSequence")
        unit = _read_term(measured[0].MeasurementUnitsCodeSequence) if measured else None
        if unit not in row.units:
            yield f"{place}: unit {unit}, needed one of {sorted(row.units)}"
    if row.values and _read_term(item.get("ConceptCodeSequence")) not in row.values:
        yield f"{place}: a value that the row does not allow"


def _has_name(item: Dataset) -> bool:
    return bool(item.get("ConceptNameCodeSequence"))


def _read_term(sequence: Sequence[Dataset] | None) -> Term | None:
    if not sequence:
        return None
    return str(sequence[0].CodeValue), str(sequence[0].CodingSchemeDesignator)


def _to_terms(*concepts: Concept) -> frozenset[Term]:
    return frozenset((each.value, each.scheme_designator) for each in concepts)


def _read_group(number: int) -> frozenset[Term]:
    """Return the terms of a context group of the standard."""
    group = getattr(standard, f"cid{number}")
    return _to_terms(*(getattr(group, name) for name in group.dir()))


def _to_text(relationship: str, name: Concept, *, least: int = 0, most: int = 1) -> Row:
    return Row(relationship, "TEXT", _to_terms(name), least, most)


MOD, CONTEXT, PROPERTY = "HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS PROPERTIES"
MILLIMETRE, PERCENT = _to_terms(codes.MILLIMETRE), _to_terms(codes.PERCENT)
DCM = standard.DCM
LANGUAGE = Row(MOD, "CODE", _to_terms(DCM.LanguageOfContentItemAndDescendants))
OBSERVER = (
    Row(CONTEXT, "CODE", _to_terms(DCM.ObserverType), least=1, values=_to_terms(DCM.Device)),
    Row(CONTEXT, "UIDREF", _to_terms(DCM.DeviceObserverUID), least=1),
    _to_text(CONTEXT, DCM.DeviceObserverName),
    _to_text(CONTEXT, DCM.DeviceObserverManufacturer),
    _to_text(CONTEXT, DCM.DeviceObserverModelName),
    _to_text(CONTEXT, DCM.DeviceObserverSerialNumber),
)
FETUS = _to_text(CONTEXT, DCM.SubjectID, least=1)
ALGORITHM = (
    _to_text(MOD, DCM.AlgorithmName, least=1),
    _to_text(MOD, DCM.AlgorithmVersion, least=1),
    _to_text(MOD, codes.ALGORITHM_MANUFACTURER),
    _to_text(MOD, DCM.AlgorithmParameters, most=ANY_NUMBER),
    Row(MOD, "CODE", _to_terms(DCM.AlgorithmFamily), values=_read_group(7162)),
)
IMAGE = Row("SELECTED FROM", "IMAGE", _to_terms(standard.SCT.Source), least=1)
MEASURED_ROWS = (
    Row("INFERRED FROM", "SCOORD", _to_terms(DCM.SourceOfMeasurement), rows=(IMAGE,)),
    Row(PROPERTY, "NUM", _read_group(225), most=2, units=MILLIMETRE),
)
CONTAINED = "CONTAINS"
BIOMETRY_NAMES = _read_group(12005) | _to_terms(codes.OUTER_DIAMETER)
"""The group may be extended; it has no code for the diameter from outer to outer edge."""
GROUP_NAMES = _to_terms(codes.BIOMETRY_GROUP)


def _to_report(measured: tuple[Row, ...]) -> Row:
    """Return the rows of a report, with those below each measurement."""
    group = Row(
        CONTAINED,
        "CONTAINER",
        GROUP_NAMES,
        least=1,
        most=ANY_NUMBER,
        rows=(
            Row(CONTAINED, "NUM", BIOMETRY_NAMES, most=ANY_NUMBER, rows=measured, units=MILLIMETRE),
            Row(
                CONTAINED,
                "NUM",
                _to_terms(codes.GESTATIONAL_AGE),
                rows=(Row("INFERRED FROM", "CODE", _read_group(228), values=_read_group(12013)),),
                units=_to_terms(codes.DAY),
            ),
            Row(
                CONTAINED,
                "NUM",
                _read_group(12017),
                units=_to_terms(codes.NO_UNITS),
                rows=(
                    Row("INFERRED FROM", "CODE", _read_group(228), values=_read_group(12015)),
                    _to_text("INFERRED FROM", codes.EQUATION_CITATION),
                ),
            ),
        ),
    )
    ratio = Row(
        CONTAINED,
        "NUM",
        _read_group(12004),
        least=1,
        most=ANY_NUMBER,
        rows=measured,
        units=PERCENT,
    )
    return Row(
        "",
        "CONTAINER",
        _to_terms(codes.OBSTETRIC_REPORT),
        rows=(
            LANGUAGE,
            *OBSERVER,
            Row(
                CONTAINED,
                "CONTAINER",
                _to_terms(codes.SUMMARY),
                rows=(_to_text(CONTAINED, codes.COMMENT),),
            ),
            Row(CONTAINED, "CONTAINER", _to_terms(codes.BIOMETRY_RATIOS), rows=(FETUS, ratio)),
            Row(CONTAINED, "CONTAINER", _to_terms(codes.BIOMETRY), rows=(FETUS, group)),
        ),
    )


REPORT = _to_report((*ALGORITHM, *MEASURED_ROWS))
CORRECTED_REPORT = _to_report(MEASURED_ROWS)
