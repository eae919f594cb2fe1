"""Bundles against a maintained model of FHIR, and against what that model does not check.

The library takes any status and any reference, so code lists, references, units and the standard's
invariants are checked here.
"""

import json
import re
from dataclasses import replace

import pytest
from fhir.resources.R4B.bundle import Bundle

from headcirc.answers import (
    HeadEllipse,
    Interval,
    Quality,
    to_analysis_facts,
    to_gestational_age,
    to_growth,
)
from headcirc.corrections import DrawnEllipse, to_corrected
from headcirc.errors import InputError
from headcirc.geometry import PixelSpacing
from headcirc.growth import choose_age
from headcirc.reports.fhir import to_bundle
from headcirc.reports.fhir_elements import ImagingSource, require_reference
from tests.support.synthetic import draw_head, to_file, to_synthetic_pipeline

SUBJECT, FOCUS = "Patient/mother", "https://clinic.example/fhir/Patient/fetus"
IMAGING = ImagingSource(
    study_uid="1.2.840.1",
    series_uid="1.2.840.1.2",
    instance_uid="1.2.840.1.2.3",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.6.1",
)
UCUM = "http://unitsofmeasure.org"
CODE_LISTS = {
    ("Bundle", "type"): {
        *("document", "message", "transaction", "transaction-response", "batch"),
        *("batch-response", "history", "searchset", "collection"),
    },
    ("DiagnosticReport", "status"): {
        *("registered", "partial", "preliminary", "final", "amended", "corrected", "appended"),
        *("cancelled", "entered-in-error", "unknown"),
    },
    ("Observation", "status"): {
        *("registered", "preliminary", "final", "amended", "corrected", "cancelled"),
        *("entered-in-error", "unknown"),
    },
    ("Device", "status"): {"active", "inactive", "entered-in-error", "unknown"},
    ("ImagingStudy", "status"): {
        *("registered", "available", "cancelled", "entered-in-error", "unknown"),
    },
    ("Narrative", "status"): {"generated", "extensions", "additional", "empty"},
    ("DeviceName", "type"): {
        *("udi-label-name", "user-friendly-name", "patient-reported-name", "manufacturer-name"),
        *("model-name", "other"),
    },
}
"""The required code lists of the elements that are written, from FHIR R4."""
SYSTEMS = {
    "http://loinc.org": r"[0-9]{1,7}-[0-9]",
    "http://snomed.info/sct": r"[0-9]{6,18}",
    "http://dicom.nema.org/resources/ontology/DCM": r"[0-9]{6}|US",
    "http://terminology.hl7.org/CodeSystem/observation-category": "imaging",
    "http://terminology.hl7.org/CodeSystem/v2-0074": "OUS",
    "http://terminology.hl7.org/CodeSystem/data-absent-reason": "unknown|error|not-applicable",
    "urn:ietf:rfc:3986": r"urn:oid:[0-9.]+",
}
UNITS = {"mm", "d", "%", "1"}
HC, BPD, OFD, CI = "11985-9", "11852-1", "11851-3", "11823-2"


@pytest.fixture(scope="module")
def measured():
    pipeline = to_synthetic_pipeline()
    analysis = pipeline.analyze(
        to_file(draw_head()), pixel_spacing=PixelSpacing(0.14, 0.14), gestational_age_days=140
    )
    return to_analysis_facts(analysis, pipeline, analysis_id="0" * 32)


def change(answer, hc_mm, *, days=None, half_mm=3.0):
    """Return an answer with another circumference and another stated age."""
    interval = Interval(0.9, hc_mm - half_mm, hc_mm + half_mm)
    head = replace(
        answer.head, head_circumference_mm=hc_mm, head_circumference_interval_mm=interval
    )
    ages, growth = to_gestational_age(head), to_growth(head, choose_age(days, None))
    return replace(answer, head=head, gestational_age=ages, growth=growth)


def remove_pixel_size(answer):
    names = ("head_circumference_mm", "biparietal_diameter_mm", "occipitofrontal_diameter_mm")
    nothing = dict.fromkeys((*names, "cephalic_index", "head_circumference_interval_mm"))
    quality = Quality(True, ("pixel-size-missing",))
    head = replace(answer.head, **nothing)
    return replace(answer, head=head, gestational_age=None, growth=None, quality=quality)


DRAWN = DrawnEllipse(
    ellipse=HeadEllipse(410.0, 262.0, 215.0, 160.0, 33.0),
    by="R. Tester",
    at="2026-01-02T03:04:05Z",
    note="<b>&caput",
)
CASES = {
    "plain": lambda answer: replace(answer, growth=None),
    "with an age": lambda answer: change(answer, 172.5, days=140),
    "interval beyond the range": lambda answer: change(answer, 100.0, days=100),
    "age out of the standard": lambda answer: change(answer, 75.0, days=85),
    "out of the first method": lambda answer: change(answer, 60.0),
    "unverified deviations": lambda answer: change(answer, 335.0, days=275),
    "unreliable": lambda answer: replace(answer, quality=Quality(False, ("poor-ellipse-fit",))),
    "no head": lambda answer: replace(
        answer, head=None, gestational_age=None, quality=Quality(False, ("no-head-found",))
    ),
    "no pixel size": remove_pixel_size,
    "hostile name": lambda answer: replace(
        answer, model=replace(answer.model, name="<b>&\x00", sha256="")
    ),
    "corrected": lambda answer: to_corrected(change(answer, 172.5, days=140), DRAWN),
    "corrected where unreliable": lambda answer: to_corrected(
        replace(answer, quality=Quality(False, ("poor-ellipse-fit",))), DRAWN
    ),
    "corrected where no head was found": lambda answer: to_corrected(
        replace(
            answer, head=None, gestational_age=None, quality=Quality(False, ("no-head-found",))
        ),
        DRAWN,
    ),
}


def walk(value):
    """Yield every object inside a JSON value."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def list_resources(bundle, kind=None):
    resources = [each["resource"] for each in bundle["entry"]]
    return [each for each in resources if kind in (None, each["resourceType"])]


def find_observation(bundle, code):
    (found,) = [
        each
        for each in list_resources(bundle, "Observation")
        if each["code"]["coding"][0]["code"] == code
    ]
    return found


@pytest.fixture(params=CASES)
def answer(request, measured):
    return CASES[request.param](measured)


@pytest.fixture(params=["alone", "of a DICOM object"])
def bundle(request, answer):
    stated = {} if request.param == "alone" else {"subject": SUBJECT, "focus": FOCUS}
    imaging = None if request.param == "alone" else IMAGING
    return to_bundle(answer, imaging=imaging, **stated)


# --- every bundle -------------------------------------------------------------------------------


def test_bundle_is_valid_by_a_maintained_model_of_fhir(bundle):
    """It parses, and comes back as the same JSON: no element is unknown or of another type."""
    parsed = Bundle.model_validate_json(json.dumps(bundle))
    assert json.loads(parsed.model_dump_json()) == bundle


def test_codes_are_in_the_required_lists(bundle):
    """The library takes any status."""
    checked = set()
    for each in (bundle, *list_resources(bundle)):
        for (kind, element), codes in CODE_LISTS.items():
            if each["resourceType"] == kind:
                assert each[element] in codes
                checked.add(kind)
    for each in list_resources(bundle):
        assert each["text"]["status"] in CODE_LISTS["Narrative", "status"]
    (device,) = list_resources(bundle, "Device")
    assert {each["type"] for each in device["deviceName"]} <= CODE_LISTS["DeviceName", "type"]
    assert checked >= {"Bundle", "DiagnosticReport", "Observation", "Device"}


def test_nothing_is_final(bundle):
    """No clinician has signed it."""
    reported = list_resources(bundle, "DiagnosticReport") + list_resources(bundle, "Observation")
    assert {each["status"] for each in reported} == {"preliminary"}


def test_every_reference_leads_somewhere(bundle):
    """Inside the Bundle to one of its entries, and of the right type; outside as stated."""
    kinds = {each["fullUrl"]: each["resource"]["resourceType"] for each in bundle["entry"]}
    assert len(kinds) == len(bundle["entry"])
    targets = {
        "result": {"Observation"},
        "imagingStudy": {"ImagingStudy"},
        "device": {"Device"},
        "derivedFrom": {"Observation", "ImagingStudy"},
    }
    for resource in list_resources(bundle):
        for element, value in resource.items():
            for each in walk(value):
                reference = each.get("reference")
                if element in targets:
                    assert kinds[reference] in targets[element]
                elif reference is not None:
                    assert reference == {"subject": SUBJECT, "focus": FOCUS}[element]
    listed = {each["reference"] for each in list_resources(bundle, "DiagnosticReport")[0]["result"]}
    assert listed == {url for url, kind in kinds.items() if kind == "Observation"}


def test_values_have_ucum_units_and_codings_known_systems(bundle):
    for each in walk(bundle):
        if "unit" in each:
            assert each["system"] == UCUM
            assert each["code"] in UNITS
        elif "code" in each and "system" in each:
            assert re.fullmatch(SYSTEMS[each["system"]], each["code"])


def test_check_digits_of_loinc_codes_are_right(bundle):
    """The last digit is the Luhn digit of the others; a mistyped code fails."""
    for each in walk(bundle):
        if each.get("system") == "http://loinc.org":
            number, digit = each["code"].split("-")
            doubled = [int(n) * (2 if i % 2 == 0 else 1) for i, n in enumerate(reversed(number))]
            total = sum(n // 10 + n % 10 for n in doubled)
            assert (10 - total % 10) % 10 == int(digit)


def test_invariants_of_observations_hold(bundle):
    """A value or a reason, never both (obs-6); no component repeats the code (obs-7)."""
    for each in list_resources(bundle, "Observation"):
        assert ("valueQuantity" in each) != ("dataAbsentReason" in each)
        codes = {coding["code"] for coding in each["code"]["coding"]}
        for component in each.get("component", []):
            assert codes.isdisjoint(c["code"] for c in component["code"].get("coding", []))
            value = component.get("valueRange")
            if value is not None and len(value) == 2:
                assert value["low"]["value"] <= value["high"]["value"]


def test_nothing_is_empty(bundle):
    """FHIR forbids empty objects, lists and strings."""
    for each in walk(bundle):
        assert each
        assert all(value not in ("", [], {}, None) for value in each.values())


def test_equal_answers_give_equal_bytes(answer):
    """And another subject gives other ids, so that two records are never taken for one."""
    first, second = (json.dumps(to_bundle(answer, subject=SUBJECT)) for _ in range(2))
    assert first == second
    other = to_bundle(answer, subject="Patient/other")
    assert json.loads(first)["id"] != other["id"]


# --- what stands in it --------------------------------------------------------------------------


def test_values_are_those_of_the_answer(measured):
    """Millimetres outer to outer, and the cephalic index in per cent."""
    answer = change(measured, 172.5, days=140)
    bundle = to_bundle(answer)
    head = answer.head
    for code, value, unit in (
        (HC, 172.5, "mm"),
        (BPD, head.biparietal_diameter_mm, "mm"),
        (OFD, head.occipitofrontal_diameter_mm, "mm"),
        (CI, 100 * head.cephalic_index, "%"),
    ):
        quantity = find_observation(bundle, code)["valueQuantity"]
        assert quantity["value"] == pytest.approx(value, abs=0.051)
        assert quantity["code"] == unit
    assert [each["code"] for each in find_observation(bundle, HC)["code"]["coding"]] == [
        "11985-9",
        "11984-2",
        "1269262007",
    ]


def test_gestational_age_is_an_observation_of_its_own(measured):
    """Days, by either method, derived from the circumference; only Hadlock's has deviations."""
    bundle = to_bundle(change(measured, 200.0))
    hc = find_observation(bundle, HC)
    by_hadlock = find_observation(bundle, "11932-1")
    by_intergrowth = find_observation(bundle, "18185-9")
    assert by_hadlock["valueQuantity"]["value"] == pytest.approx(7 * 22.160, abs=0.06)
    assert by_intergrowth["valueQuantity"]["value"] == pytest.approx(156.49, abs=0.06)
    for each in (by_hadlock, by_intergrowth):
        assert each["valueQuantity"]["code"] == "d"
        assert each["derivedFrom"][0]["reference"] == f"urn:uuid:{hc['id']}"
    assert [len(each["component"]) for each in (by_hadlock, by_intergrowth)] == [2, 1]
    deviations = by_hadlock["component"][0]["valueRange"]
    assert deviations["high"]["value"] - deviations["low"]["value"] == pytest.approx(
        4 * 7 * 1.48 / 2, abs=0.11
    )


def test_age_out_of_range_has_a_reason(measured):
    bundle = to_bundle(change(measured, 60.0))
    reason = find_observation(bundle, "11932-1")["dataAbsentReason"]
    assert reason["coding"][0]["code"] == "not-applicable"
    assert "head-circumference-below-range" in reason["text"]


def test_unverified_deviations_are_noted(measured):
    """The last band of Hadlock's table, on which sources disagree."""
    (note,) = find_observation(to_bundle(change(measured, 335.0)), "11932-1")["note"]
    assert "disagree" in note["text"]
    assert "note" not in find_observation(to_bundle(change(measured, 200.0)), "11932-1")


def test_growth_stands_beside_the_measure_with_its_age(measured):
    """z-score, centile and the stated age; without a stated age none of them."""
    bundle = to_bundle(change(measured, 187.4, days=140))
    components = find_observation(bundle, HC)["component"]
    coded = {
        each["code"]["coding"][0]["code"]: each["valueQuantity"]["value"]
        for each in components
        if "coding" in each["code"]
    }
    assert coded["125013"] == pytest.approx(2.0, abs=0.02)
    assert coded["125012"] == pytest.approx(97.7, abs=0.2)
    assert coded["18185-9"] == 140
    plain = find_observation(to_bundle(change(measured, 187.4)), HC)
    assert all("coding" not in each["code"] for each in plain["component"])


def test_age_outside_the_standard_is_noted(measured):
    (note,) = find_observation(to_bundle(change(measured, 75.0, days=85)), HC)["note"]
    assert "gestational-age-below-range" in note["text"]


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("unreliable", "error", "Do not rely on this result: poor-ellipse-fit."),
        ("no head", "unknown", "No head was found."),
        ("no pixel size", "unknown", "The pixel size is unknown."),
    ],
)
def test_value_that_is_not_to_be_relied_on_is_left_out(measured, case, code, words):
    """A system that reads the value alone must not find one; the reason and the words say why."""
    bundle = to_bundle(CASES[case](measured))
    (only,) = list_resources(bundle, "Observation")
    assert only["code"]["coding"][0]["code"] == HC
    assert only["dataAbsentReason"]["coding"][0]["code"] == code
    assert only["dataAbsentReason"]["text"] == words
    assert words in only["text"]["div"]
    assert not any("valueQuantity" in each or "valueRange" in each for each in walk(bundle))


def test_device_is_the_model(measured):
    """Name, version and SHA-256, and that it is no medical device."""
    (device,) = list_resources(to_bundle(measured), "Device")
    assert device["modelNumber"] == measured.model.name
    assert device["identifier"][0]["value"] == measured.model.sha256 == "0" * 64
    assert device["version"][0]["value"] == measured.model.version
    assert "not a medical device" in device["note"][0]["text"]


def test_imaging_study_names_the_object_that_was_measured(measured):
    bundle = to_bundle(measured, imaging=IMAGING)
    (study,) = list_resources(bundle, "ImagingStudy")
    assert study["identifier"] == [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.1"}]
    (series,) = study["series"]
    assert (series["uid"], series["modality"]["code"]) == ("1.2.840.1.2", "US")
    (instance,) = series["instance"]
    assert instance["uid"] == "1.2.840.1.2.3"
    assert instance["sopClass"]["code"] == "urn:oid:1.2.840.10008.5.1.4.1.1.6.1"
    only = to_bundle(measured, imaging=ImagingSource(study_uid="1.2.3"))
    assert "series" not in list_resources(only, "ImagingStudy")[0]


def test_subject_and_focus_are_as_stated(measured):
    """On the report, every observation and the study; without them there are none."""
    bundle = to_bundle(measured, subject=SUBJECT, focus=FOCUS, imaging=IMAGING)
    for each in list_resources(bundle):
        if each["resourceType"] != "Device":
            assert each["subject"] == {"reference": SUBJECT}
    for each in list_resources(bundle, "Observation"):
        assert each["focus"] == [{"reference": FOCUS}]
    for each in list_resources(to_bundle(measured), "Observation"):
        assert {"subject", "focus"}.isdisjoint(each)


# --- what cannot be used ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Patient/1",
        "http://localhost:8080/fhir/Patient/a-b.C",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "Group/twins",
    ],
)
def test_references_are_taken(text):
    assert require_reference(text, "subject", ("Patient", "Group")) == text


@pytest.mark.parametrize(
    "text",
    ["", "Patient", "Patient/", "patient/1", "Patient/a b", "Jane Doe", "Observation/1",
     "javascript:alert(1)//Patient/1", "Patient/1\n", "Patient/" + "1" * 65,
     "http://a b/Patient/1", "http://" + "a" * 300 + "/Patient/1", "urn:uuid:1"],
)  # fmt: skip
def test_other_texts_are_no_reference(measured, text):
    """A name is not taken for a reference, and is not repeated in the message."""
    with pytest.raises(InputError, match="must be a FHIR reference") as refused:
        to_bundle(measured, subject=text)
    assert "Jane" not in str(refused.value)


@pytest.mark.parametrize(
    "stated",
    [
        {"study_uid": "x"},
        {"study_uid": "1.02"},
        {"study_uid": "1." + "2" * 63},
        {"study_uid": "1.2", "instance_uid": "1.2.3"},
        {"study_uid": "1.2", "sop_class_uid": "1.2.3"},
        {"study_uid": "1.2", "instance_uid": "1.2.3", "sop_class_uid": "1.2.4"},
    ],
)
def test_identifiers_that_are_wrong_or_incomplete_are_refused(stated):
    with pytest.raises(InputError, match="uid"):
        ImagingSource(**stated)
