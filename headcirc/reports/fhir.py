"""Write an answer as a FHIR R4 Bundle: a report, its observations, the model and the images.

The Bundle is plain JSON. Equal answers give equal bytes: all ids derive from the answer. Everything
is `preliminary` until a clinician signs it. A value that is not to be relied on is left out, and
the reason stands in its place, because a receiving system may read the value alone.
"""

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headcirc import __version__
from headcirc.answers import (
    AgeEstimate,
    AnalysisFacts,
    ConvertedInterval,
    Correction,
    Growth,
    GrowthFigure,
    Head,
    Interval,
    to_counted,
)
from headcirc.caption import RESEARCH_ONLY, to_details, to_headline
from headcirc.growth import BEYOND_DOCUMENTED_AGE, describe_age_source
from headcirc.reports.fhir_elements import (
    AGE_BY_HADLOCK_1984,
    CENTILE,
    CEPHALIC_INDEX,
    DAYS,
    DICOM_UIDS,
    GESTATIONAL_AGE,
    HEAD_CIRCUMFERENCE,
    IMAGING,
    MILLIMETRES,
    NO_UNIT,
    OBSTETRIC_ULTRASOUND,
    OCCIPITOFRONTAL_DIAMETER,
    OUTER_DIAMETER,
    PER_CENT,
    REPORT,
    ULTRASOUND,
    URIS,
    Z_SCORE,
    Coding,
    ImagingSource,
    Resource,
    Unit,
    require_reference,
    to_component,
    to_concept,
    to_narrative,
    to_notes,
    to_quantity,
    to_range_component,
    to_reason,
    to_resource,
)
from headcirc.reports.result_facts import to_result_facts

MEDIA_TYPE = "application/fhir+json"
STATUS = "preliminary"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:headcirc:fhir")
SUBJECT_TYPES = ("Patient", "Group")

ELLIPSE = "Segmentation by a neural network, ellipse on the outer edge of the skull"
DRAWN = "Corrected by a person, who drew an ellipse on the outer edge of the skull"
PERIMETER = "perimeter by Ramanujan's second formula"
REPLACED = "Automatic value, which a person has corrected; the corrected one counts."
BEYOND = "It differs from the automatic value by more than half the width of the interval."
STANDARD = "INTERGROWTH-21st 2014"
AGE_NOTES = {BEYOND_DOCUMENTED_AGE: "The method's use is documented up to 25w6d only."}
UNVERIFIED = "Published sources disagree about the method's two standard deviations at this size."
TWO_SD = "Two standard deviations of the method to both sides"


@dataclass(frozen=True)
class Measure:
    """A measure in millimetres; `field` is its name in `Growth`, and before `_mm` in `Head`.

    `part` is what is measured of the ellipse.
    """

    field: str
    codes: Sequence[Coding]
    name: str
    part: str


MEASURES = (
    Measure("head_circumference", HEAD_CIRCUMFERENCE, "Head circumference", PERIMETER),
    Measure(
        "biparietal_diameter",
        OUTER_DIAMETER,
        "Biparietal diameter, outer to outer",
        "minor axis",
    ),
    Measure(
        "occipitofrontal_diameter",
        OCCIPITOFRONTAL_DIAMETER,
        "Occipitofrontal diameter, outer to outer",
        "major axis",
    ),
)


def to_bundle(
    answer: AnalysisFacts,
    *,
    subject: str | None = None,
    focus: str | None = None,
    imaging: ImagingSource | None = None,
) -> Resource:
    """Return an answer as a Bundle.

    Parameters
    ----------
    answer : AnalysisFacts
    subject : str, optional
        Reference to the Patient whose record this is: the mother, or the fetus where a fetus has
        a record of its own.
    focus : str, optional
        Reference to the fetus, where the subject is the mother.
    imaging : ImagingSource, optional
        Where the picture was a DICOM object.

    Returns
    -------
    dict
        JSON of a Bundle of the type `collection`.

    Raises
    ------
    InputError
        A reference cannot be used.
    """
    require_reference(subject, "subject", SUBJECT_TYPES)
    require_reference(focus, "focus")
    writer = BundleWriter(answer, subject=subject, focus=focus, imaging=imaging)
    resources = [*writer.write()]
    name = writer.to_id("bundle")
    return to_resource(
        "Bundle",
        id=name,
        identifier={"system": URIS, "value": f"urn:uuid:{name}"},
        type="collection",
        timestamp=answer.created,
        entry=[{"fullUrl": f"urn:uuid:{each['id']}", "resource": each} for each in resources],
    )


class BundleWriter:
    """Writes the resources of one answer; they refer to one another by their ids.

    See `to_bundle` for the parameters.
    """

    def __init__(
        self,
        answer: AnalysisFacts,
        *,
        subject: str | None,
        focus: str | None,
        imaging: ImagingSource | None,
    ) -> None:
        self._answer, self._imaging = to_counted(answer), imaging
        self._found = answer.head
        self._correction: Correction | None = answer.correction
        self._ellipse = ELLIPSE if answer.correction is None else DRAWN
        self._subject = None if subject is None else {"reference": subject}
        self._focus = None if focus is None else [{"reference": focus}]
        # Without an id, as in the library, the figures stand for the question.
        about = answer.id or (answer.model, answer.image, answer.head, answer.growth)
        stated = (subject, focus, imaging, __version__)
        corrected = () if answer.correction is None else (answer.correction,)
        self._seed = repr((about, *stated, *corrected))

    def to_id(self, role: str) -> str:
        """Return the id of a resource; it is the same for equal answers."""
        digest = hashlib.sha256(f"{self._seed} {role}".encode()).hexdigest()
        return str(uuid.uuid5(NAMESPACE, digest))

    def _refer(self, role: str) -> Resource:
        return {"reference": f"urn:uuid:{self.to_id(role)}"}

    def _refer_to_imaging(self) -> list[Resource]:
        return [] if self._imaging is None else [self._refer("imaging")]

    def write(self) -> Iterator[Resource]:
        """Yield the report, its observations, the device and the imaging study."""
        observations = [*self._write_observations()]
        yield self._write_report([each["id"] for each in observations])
        yield from observations
        yield self._write_device()
        if self._imaging is not None:
            yield self._write_imaging(self._imaging)

    def _write_report(self, observation_ids: Sequence[str]) -> Resource:
        facts = to_result_facts(self._answer)
        conclusion = f"{to_headline(facts)} {to_details(facts)}"
        return to_resource(
            "DiagnosticReport",
            id=self.to_id("report"),
            text=to_narrative(conclusion),
            status=STATUS,
            category=[to_concept(OBSTETRIC_ULTRASOUND)],
            code=to_concept(REPORT, "Fetal head biometry by ultrasound"),
            subject=self._subject,
            issued=self._answer.created,
            result=[{"reference": f"urn:uuid:{each}"} for each in observation_ids],
            imagingStudy=self._refer_to_imaging(),
            conclusion=conclusion,
        )

    def _write_observations(self) -> Iterator[Resource]:
        answer, head = self._answer, self._answer.head
        is_reliable = answer.quality.acceptable or self._correction is not None
        hc = MEASURES[0]
        if head is None or head.head_circumference_mm is None or not is_reliable:
            absent = to_absent_reason(answer)
            method = f"{self._ellipse}, {hc.part}"
            yield self._write_observation(
                hc.field, hc.codes, hc.name, method=method, dataAbsentReason=absent
            )
            return
        yield from self._write_measures(head)
        if self._correction is not None:
            yield from self._write_replaced(hc)
        ages = answer.gestational_age
        if ages is not None:
            by_hadlock, by_intergrowth = "Hadlock 1984", "INTERGROWTH-21st 2016"
            yield self._write_age(ages.hadlock_1984, AGE_BY_HADLOCK_1984, by_hadlock)
            yield self._write_age(ages.intergrowth21_2016, GESTATIONAL_AGE, by_intergrowth)

    def _write_measures(self, head: Head) -> Iterator[Resource]:
        growth = self._answer.growth
        for each in MEASURES:
            figure = None if growth is None else getattr(growth, each.field)
            is_circumference = each.codes is HEAD_CIRCUMFERENCE
            interval = head.head_circumference_interval_mm if is_circumference else None
            yield self._write_observation(
                each.field,
                each.codes,
                each.name,
                method=f"{self._ellipse}, {each.part}",
                performer=self._to_performer(),
                valueQuantity=to_quantity(getattr(head, f"{each.field}_mm"), MILLIMETRES),
                note=[
                    *to_growth_notes(growth),
                    *(to_correction_notes(self._correction) if is_circumference else []),
                ],
                component=[
                    *to_interval_components(interval, MILLIMETRES),
                    *to_growth_components(growth, figure),
                ],
            )
        assert head.cephalic_index is not None, "a head with a circumference in mm has both axes"
        yield self._write_observation(
            "cephalic_index",
            CEPHALIC_INDEX,
            "Cephalic index",
            method=f"{self._ellipse}, minor over major axis",
            performer=self._to_performer(),
            valueQuantity=to_quantity(100 * head.cephalic_index, PER_CENT),
        )

    def _to_performer(self) -> list[Resource]:
        return [] if self._correction is None else [{"display": self._correction.by}]

    def _write_replaced(self, hc: Measure) -> Iterator[Resource]:
        """Yield the automatic circumference, unless nobody should rely on it."""
        found = self._found
        if found is None or not self._answer.quality.acceptable:
            return
        assert found.head_circumference_mm is not None, "both have the same pixel size"
        yield self._write_observation(
            f"automatic {hc.field}",
            hc.codes,
            f"{hc.name}, automatic",
            method=f"{ELLIPSE}, {hc.part}",
            valueQuantity=to_quantity(found.head_circumference_mm, MILLIMETRES),
            note=to_notes(REPLACED),
            component=to_interval_components(found.head_circumference_interval_mm, MILLIMETRES),
        )

    def _write_age(self, estimate: AgeEstimate, codes: Sequence[Coding], method: str) -> Resource:
        value, absent, notes = None, None, []
        if estimate.days is None:
            absent = to_reason("not-applicable", f"Out of the method's range: {estimate.code}.")
        else:
            value = to_quantity(estimate.days, DAYS)
            notes = [AGE_NOTES[estimate.code]] if estimate.code in AGE_NOTES else []
        own = estimate.interval_days
        if own is not None and not own.verified:
            notes.append(UNVERIFIED)
        of_method = [] if own is None else [to_range_component(TWO_SD, (own.low, own.high), DAYS)]
        return self._write_observation(
            method,
            codes,
            "Gestational age",
            method=f"{method}, from the head circumference",
            derived_from=[self._refer(MEASURES[0].field)],
            valueQuantity=value,
            dataAbsentReason=absent,
            note=to_notes(*notes),
            component=[*of_method, *to_interval_components(estimate.measured_interval_days, DAYS)],
        )

    def _write_observation(
        self,
        role: str,
        codes: Sequence[Coding],
        name: str,
        *,
        method: str,
        derived_from: Sequence[Resource] = (),
        **value: Any,
    ) -> Resource:
        return to_resource(
            "Observation",
            id=self.to_id(role),
            text=to_narrative(f"{name}: {to_value_text(value)} {method}. {RESEARCH_ONLY}"),
            status=STATUS,
            category=[to_concept(IMAGING)],
            code=to_concept(codes, name),
            subject=self._subject,
            focus=self._focus,
            issued=self._answer.created,
            method={"text": method},
            device=self._refer("device"),
            derivedFrom=[*derived_from, *self._refer_to_imaging()],
            **value,
        )

    def _write_device(self) -> Resource:
        model = self._answer.model
        name = f"Headcirc with the model {model.name}"
        sha256 = {"type": {"text": "SHA-256 of the network's graph"}, "value": model.sha256}
        return to_resource(
            "Device",
            id=self.to_id("device"),
            text=to_narrative(f"{name} {model.version}. {RESEARCH_ONLY}"),
            identifier=[sha256] if model.sha256 else [],
            status="active",
            manufacturer="Headcirc",
            deviceName=[{"name": name, "type": "model-name"}],
            modelNumber=model.name,
            type={"text": "Software that measures the fetal head in ultrasound pictures"},
            version=[
                {"type": {"text": "model"}, "value": model.version},
                {"type": {"text": "software"}, "value": __version__},
            ],
            note=to_notes(RESEARCH_ONLY),
        )

    def _write_imaging(self, source: ImagingSource) -> Resource:
        instances, series = [], []
        if source.instance_uid is not None:
            sop_class = {"system": URIS, "code": f"urn:oid:{source.sop_class_uid}"}
            instances = [{"uid": source.instance_uid, "sopClass": sop_class}]
        if source.series_uid is not None:
            item = {"uid": source.series_uid, "modality": ULTRASOUND}
            series = [item | ({"instance": instances} if instances else {})]
        return to_resource(
            "ImagingStudy",
            id=self.to_id("imaging"),
            text=to_narrative("The ultrasound study that was measured."),
            identifier=[{"system": DICOM_UIDS, "value": f"urn:oid:{source.study_uid}"}],
            status="available",
            modality=[ULTRASOUND],
            # FHIR requires a subject here.
            subject=self._subject or {"display": "not stated by the requester"},
            series=series,
        )


def to_value_text(elements: Mapping[str, Any]) -> str:
    """Return the value of an observation, or why there is none, in words."""
    quantity: Resource | None = elements.get("valueQuantity")
    if quantity is not None:
        return f"{quantity['value']} {quantity['unit']}."
    return f"no value. {elements['dataAbsentReason']['text']}"


def to_absent_reason(answer: AnalysisFacts) -> Resource:
    """Return why there is no value."""
    facts = to_result_facts(answer)
    if facts.head_circumference_px is None:
        return to_reason("unknown", "No head was found.")
    if not facts.acceptable:
        return to_reason("error", f"Do not rely on this result: {', '.join(facts.warnings)}.")
    return to_reason("unknown", "The pixel size is unknown.")


def to_interval_components(
    interval: Interval | ConvertedInterval | None, unit: Unit, name: str = "interval"
) -> list[Resource]:
    """Return a component for the interval of the circumference, converted or not."""
    if interval is None or (interval.low is None and interval.high is None):
        return []
    text = f"{interval.level * 100:.0f} % {name}, from the measured circumference"
    return [to_range_component(text, (interval.low, interval.high), unit)]


def to_correction_notes(correction: Correction | None) -> list[Resource]:
    """Return when a person corrected, that it changed much, and what the person wrote."""
    if correction is None:
        return []
    sentences = [f"Corrected by {correction.by}, {correction.at}."]
    sentences += [BEYOND] if correction.exceeds_half_width else []
    return to_notes(*sentences, *([correction.note] if correction.note else []))


def to_growth_components(growth: Growth | None, figure: GrowthFigure | None) -> list[Resource]:
    """Return z-score and centile of a measure, and the stated age that they are of."""
    if growth is None or figure is None:
        return []
    stated = f"Gestational age, as {describe_age_source(growth.gestational_age_source)}"
    return [
        to_component(Z_SCORE, f"z-score by {STANDARD}", figure.z_score, NO_UNIT),
        *to_interval_components(figure.z_score_interval, NO_UNIT, "interval of the z-score"),
        to_component(CENTILE, f"Centile by {STANDARD}", figure.centile, PER_CENT),
        *to_interval_components(figure.centile_interval, PER_CENT, "interval of the centile"),
        to_component(GESTATIONAL_AGE, stated, growth.gestational_age_days, DAYS),
    ]


def to_growth_notes(growth: Growth | None) -> list[Resource]:
    """Return why there is no centile although a gestational age was stated."""
    if growth is None or growth.code is None:
        return []
    days = growth.gestational_age_days
    return to_notes(f"No centile at the stated gestational age of {days} days: {growth.code}.")
