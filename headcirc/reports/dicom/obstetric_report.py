"""The obstetric report: Comprehensive SR after TID 5000, which obstetric systems read.

highdicom has no classes for this template, so the content items are put together here, and
`obstetric_rows` holds them against the rows of the template.
"""

from collections.abc import Iterable

from highdicom import sr
from highdicom.sr.coding import CodedConcept
from highdicom.sr.value_types import ContentItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from headcirc.answers import GrowthFigure, Head
from headcirc.errors import UnreliableResultError
from headcirc.growth import describe_age_source, to_age_text
from headcirc.reports.dicom import codes
from headcirc.reports.dicom.context import to_algorithm, to_fetus, to_frame_numbers, to_observer
from headcirc.reports.dicom.finding import Finding, is_inside, to_axis_ends, to_outline
from headcirc.reports.dicom.identity import finish, to_identification
from headcirc.reports.dicom.measurements import (
    Figure,
    find_hadlock_days,
    to_cephalic_index,
    to_diameters,
    to_number,
    to_uncertainty,
)
from headcirc.reports.dicom.obstetric_rows import find_violations
from headcirc.reports.dicom.source_header import to_evidence

KIND = "tid5000"
TEMPLATE = "5000"
ENGLISH = CodedConcept("en-US", "RFC5646", "English (United States)")


def to_obstetric_report(finding: Finding) -> Dataset:
    """Build the obstetric report of a finding.

    Raises
    ------
    UnreliableResultError
        The answer is not acceptable, and nobody has corrected it. An obstetric system takes over
        the numbers of this template, which has no place for a warning that a program reads.
    NoHeadFoundError, PixelSizeMissingError, UnusableHeaderError
    """
    head = finding.require_head()
    if not finding.answer.quality.acceptable and not finding.is_corrected:
        raise UnreliableResultError(
            "The result is not reliable, and this report's numbers would be taken over without "
            "the warning; ask for template 1500, or measure by hand."
        )
    evidence = to_evidence(finding.source)
    root = _to_container(
        codes.OBSTETRIC_REPORT,
        [
            *sr.LanguageOfContentItemAndDescendants(ENGLISH),
            *sr.ObservationContext(observer_device_context=to_observer(finding)),
            _to_container(codes.SUMMARY, [_to_comment(finding)], is_root=False),
            _to_container(codes.BIOMETRY_RATIOS, _to_ratios(finding, head), is_root=False),
            _to_container(codes.BIOMETRY, _to_biometry(finding, head, evidence), is_root=False),
        ],
    )
    made = sr.ComprehensiveSR(
        [evidence],
        content=root,
        is_complete=True,
        is_final=False,
        is_verified=False,
        **to_identification(finding, evidence, KIND),
    )
    violations = find_violations(made, is_corrected=finding.is_corrected)
    assert not violations, violations
    return finish(made, finding, evidence)


def _to_container(
    name: CodedConcept, items: Iterable[ContentItem], *, is_root: bool = True
) -> sr.ContainerContentItem:
    container = sr.ContainerContentItem(
        name,
        template_id=TEMPLATE if is_root else None,
        relationship_type=None if is_root else "CONTAINS",
    )
    container.ContentSequence = sr.ContentSequence(list(items), is_root=False)
    return container


def _to_comment(finding: Finding) -> sr.TextContentItem:
    return sr.TextContentItem(codes.COMMENT, finding.to_comment(), relationship_type="CONTAINS")


def _to_ratios(finding: Finding, head: Head) -> list[ContentItem]:
    index = _to_measurement(finding, to_cephalic_index(head))
    return [*to_fetus(), index]


def _to_biometry(finding: Finding, head: Head, evidence: Dataset) -> list[ContentItem]:
    """Return one group for each kind of measurement, as the template asks (TID 5008)."""
    assert head.head_circumference_mm is not None, "`require_head` has checked it"
    figure = (codes.HEAD_CIRCUMFERENCE, head.head_circumference_mm, codes.MILLIMETRE)
    circumference = _to_measurement(finding, figure, region=_to_region(finding, evidence))
    circumference.ContentSequence.extend(to_uncertainty(head))
    outer, long = (_to_measurement(finding, figure) for figure in to_diameters(head))
    growth = finding.counted.growth
    compared: tuple[GrowthFigure | None, ...] = (None, None, None)
    if growth is not None:
        compared = (
            growth.head_circumference,
            growth.biparietal_diameter,
            growth.occipitofrontal_diameter,
        )
    groups = [
        [circumference, *_to_age(finding), *_to_rank(finding, compared[0])],
        [outer, *_to_rank(finding, compared[1])],
        [long, *_to_rank(finding, compared[2])],
    ]
    return [
        *to_fetus(),
        *(_to_container(codes.BIOMETRY_GROUP, group, is_root=False) for group in groups),
    ]


def _to_age(finding: Finding) -> list[ContentItem]:
    """Return the gestational age from the circumference, with the code of its equation."""
    days = find_hadlock_days(finding.counted)
    if days is None:
        return []
    age = to_number(codes.GESTATIONAL_AGE, days, codes.DAY)
    equation = sr.CodeContentItem(
        codes.EQUATION, codes.HADLOCK_1984, relationship_type="INFERRED FROM"
    )
    age.ContentSequence = sr.ContentSequence([equation])
    return [age]


def _to_rank(finding: Finding, figure: GrowthFigure | None) -> list[ContentItem]:
    """Return the z-score at the stated gestational age, with a citation in place of a code."""
    if figure is None:
        return []
    growth = finding.answer.growth
    assert growth is not None, "a figure belongs to a comparison"
    rank = to_number(codes.GROWTH_Z_SCORE, figure.z_score, codes.NO_UNITS)
    age = to_age_text(growth.gestational_age_days)
    origin = describe_age_source(growth.gestational_age_source)
    citation = f"{codes.INTERGROWTH_2014}, at the gestational age of {age}, {origin}"
    rank.ContentSequence = sr.ContentSequence(
        [sr.TextContentItem(codes.EQUATION_CITATION, citation, relationship_type="INFERRED FROM")]
    )
    return [rank]


def _to_measurement(
    finding: Finding, figure: Figure, region: sr.ScoordContentItem | None = None
) -> ContentItem:
    """Return a measurement (TID 300) with the algorithm that made it, if it was no person."""
    name, value, unit = figure
    number = to_number(name, value, unit)
    algorithm = [] if finding.is_corrected else [*to_algorithm(finding)]
    children = algorithm if region is None else [*algorithm, region]
    if children:
        number.ContentSequence = sr.ContentSequence(children)
    return number


def _to_region(finding: Finding, evidence: Dataset) -> sr.ScoordContentItem:
    """Return the ellipse, or the part of its outline that is in the picture (TID 320)."""
    ellipse, rows, columns = finding.to_ellipse(), evidence.Rows, evidence.Columns
    ends = to_axis_ends(ellipse)
    shape, points = "ELLIPSE", ends
    if not is_inside(ends, rows, columns):
        shape, points = "POLYLINE", to_outline(ellipse, rows, columns)
    region = sr.ScoordContentItem(
        standard.DCM.SourceOfMeasurement, shape, points, relationship_type="INFERRED FROM"
    )
    image = sr.SourceImageForRegion.from_source_image(
        evidence, referenced_frame_numbers=to_frame_numbers(finding)
    )
    region.ContentSequence = sr.ContentSequence([image])
    return region
