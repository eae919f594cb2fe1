"""The measurement report: Comprehensive SR after TID 1500, which viewers draw on the picture.

OHIF draws a closed polyline and does not draw a rotated ellipse. So the report has two groups: the
outline as a polyline with the figures, and the exact ellipse with its area.
"""

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from headcirc.answers import Head
from headcirc.reports.dicom import codes
from headcirc.reports.dicom.context import (
    to_algorithm,
    to_fetus,
    to_frame_numbers,
    to_observer,
    to_person,
    to_private_scheme,
)
from headcirc.reports.dicom.finding import DECIMALS, Finding, is_inside, to_axis_ends, to_outline
from headcirc.reports.dicom.identity import finish, to_identification, to_uid
from headcirc.reports.dicom.measurements import (
    Figure,
    find_hadlock_days,
    to_cephalic_index,
    to_diameters,
    to_number,
    to_uncertainty,
)
from headcirc.reports.dicom.source_header import to_evidence

KIND = "tid1500"


def to_measurement_report(finding: Finding) -> Dataset:
    """Build the measurement report of a finding.

    Raises
    ------
    NoHeadFoundError, PixelSizeMissingError, UnusableHeaderError
    """
    head = finding.require_head()
    evidence = to_evidence(finding.source)
    identification = to_identification(finding, evidence, KIND)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_person_context=to_person(finding),
            observer_device_context=to_observer(finding),
            subject_context=sr.SubjectContext(standard.DCM.Fetus, to_fetus()),
        ),
        procedure_reported=codes.OBSTETRIC_SCAN,
        imaging_measurements=_to_groups(finding, head, evidence),
        title=standard.DCM.ImagingMeasurementReport,
    )
    made = sr.ComprehensiveSR(
        [evidence],
        content=report[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[to_private_scheme()],
        **identification,
    )
    return finish(made, finding, evidence)


def _to_groups(
    finding: Finding, head: Head, evidence: Dataset
) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    ellipse = finding.to_ellipse()
    rows, columns = evidence.Rows, evidence.Columns
    source_image = sr.SourceImageForRegion.from_source_image(
        evidence, referenced_frame_numbers=to_frame_numbers(finding)
    )
    outline = sr.ImageRegion("POLYLINE", to_outline(ellipse, rows, columns), source_image)
    figures = [*_to_measurements(head), *_to_ages(finding)]
    drawn = _to_group(finding, evidence, outline, figures)
    replaced = _to_replaced(finding, evidence, source_image)
    drawn[0].ContentSequence.append(
        sr.TextContentItem(codes.COMMENT, finding.to_comment(), relationship_type="CONTAINS")
    )
    ends = to_axis_ends(ellipse)
    if not is_inside(ends, rows, columns):
        return [drawn, *replaced]
    exact = sr.ImageRegion("ELLIPSE", ends, source_image)
    assert head.area_mm2 is not None, "a head in mm has all figures"
    area = _to_measurement((codes.AREA, head.area_mm2, codes.SQUARE_MILLIMETRE))
    return [drawn, _to_group(finding, evidence, exact, [area]), *replaced]


def _to_replaced(
    finding: Finding, evidence: Dataset, source_image: sr.SourceImageForRegion
) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Return the automatic outline and its figures, where a person has corrected them."""
    found = finding.answer.head
    if not finding.is_corrected or found is None:
        return []
    automatic = finding.automatic
    outline = to_outline(automatic.to_ellipse(), evidence.Rows, evidence.Columns)
    region = sr.ImageRegion("POLYLINE", outline, source_image)
    return [_to_group(automatic, evidence, region, _to_measurements(found), "automatic outline")]


def _to_group(
    finding: Finding,
    evidence: Dataset,
    region: sr.ImageRegion,
    measurements: list[sr.Measurement],
    name: str = "",
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    shape = name or str(region.GraphicType).lower()
    quality = codes.ACCEPTABLE if finding.answer.quality.acceptable else codes.NOT_ACCEPTABLE
    quality = codes.CORRECTED if finding.is_corrected else quality
    uid = to_uid(shape, *(str(evidence.SOPInstanceUID), finding.source.frame_index))
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid, identifier=f"fetal head, {shape}"),
        referenced_region=region,
        finding_type=codes.HEAD,
        algorithm_id=None if finding.is_corrected else to_algorithm(finding),
        measurements=measurements,
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.QUALITY, quality)],
    )


def _to_measurements(head: Head) -> list[sr.Measurement]:
    assert head.head_circumference_mm is not None, "`require_head` has checked it"
    circumference = (codes.HEAD_CIRCUMFERENCE, head.head_circumference_mm, codes.MILLIMETRE)
    measured = _to_measurement(circumference)
    uncertainty = to_uncertainty(head)
    if uncertainty:
        measured[0].ContentSequence = sr.ContentSequence(uncertainty)
    others = [*to_diameters(head), to_cephalic_index(head)]
    return [measured, *map(_to_measurement, others)]


def _to_ages(finding: Finding) -> list[sr.Measurement]:
    """Return the gestational age from the circumference, with its equation as the method."""
    days = find_hadlock_days(finding.counted)
    if days is None:
        return []
    rounded = round(days, DECIMALS)
    return [sr.Measurement(codes.GESTATIONAL_AGE, rounded, codes.DAY, method=codes.HADLOCK_1984)]


def _to_measurement(figure: Figure) -> sr.Measurement:
    name, value, unit = figure
    return sr.Measurement.from_sequence([to_number(name, value, unit)])
