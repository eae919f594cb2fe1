"""The answer about one image: its fields are declared here, filled here and flattened to rows here.

The service sends these types as JSON, the client reads them back, and `Row` takes its columns from
them. A new output field is therefore computed by its stage and declared in this module, nowhere
else. At run time this module needs the standard library only, as does `growth`, because a caller of
the client has neither numpy nor OpenCV.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from headcirc import growth

if TYPE_CHECKING:
    from headcirc import pipeline as measured_by
    from headcirc.dicom_source import DicomSource
    from headcirc.geometry import Ellipse, Frame
    from headcirc.model.site import SiteFacts
    from headcirc.quality import uncertainty
    from headcirc.scale_bar import ScaleBar

STAGES = ("decode", "preprocess", "queue", "inference", "postprocess", "total")
"""Named in `timing_ms`; a stage that did not run took 0 ms."""
ABSENT = "absent"
NO_HEAD, NO_PIXEL_SIZE = "no head was found", "no pixel size is known"
AUTOMATIC, CORRECTED = "automatic", "corrected"
"""Which version of a result counts: the network's, or the ellipse that a person drew."""
PATH, DECIMALS = "path", "decimals"


def added_later(absent: object) -> dict[str, object]:
    """Return metadata of a field that older services do not send; the client takes this value."""
    return {ABSENT: absent}


# --- the types; their docstrings are the descriptions in the OpenAPI document -----------------


@dataclass(frozen=True)
class Model:
    """Which model answered, and where it ran; `sha256` is that of its graph."""

    name: str
    version: str
    backend: str
    precision: str
    sha256: str = field(default="", metadata=added_later(""))


@dataclass(frozen=True)
class DicomImage:
    """Where the picture is in its DICOM object: the frame, counted from 0, and the region.

    The picture's first pixel is at `left_px`, `top_px` of the stored frame.
    """

    frame: int
    frames: int
    left_px: int
    top_px: int
    stored_width_px: int
    stored_height_px: int


@dataclass(frozen=True)
class Image:
    """The upright picture; its pixel size where one is known.

    `orientation` is the EXIF orientation, 1 to 8, by which the stored picture was turned; `dicom`
    is None for files of other formats. `pixel_size_confidence`, 0 to 1, says how surely a depth
    scale was found; it is None for other sources.
    """

    width_px: int
    height_px: int
    pixel_size_x_mm: float | None
    pixel_size_y_mm: float | None
    pixel_size_source: str | None
    orientation: int = field(default=1, metadata=added_later(1))
    dicom: DicomImage | None = field(default=None, metadata=added_later(None))
    pixel_size_confidence: float | None = field(default=None, metadata=added_later(None))


@dataclass(frozen=True)
class HeadEllipse:
    """Pixel centres lie at integers; `angle_deg` of the major axis, [0, 180), from +x to +y."""

    center_x_px: float
    center_y_px: float
    semi_major_px: float
    semi_minor_px: float
    angle_deg: float


@dataclass(frozen=True)
class Interval:
    """Should hold the annotated circumference in `level` of all clean images."""

    level: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Millimetres:
    """Figures in millimetres; None where no pixel size is known.

    Axes are outer to outer. The interval is None, too, where the model states none. The raw
    circumference is the one without a site's correction.
    """

    head_circumference_mm: float | None
    head_circumference_raw_mm: float | None = field(metadata=added_later(None))
    head_circumference_interval_mm: Interval | None = field(metadata=added_later(None))
    biparietal_diameter_mm: float | None
    occipitofrontal_diameter_mm: float | None
    cephalic_index: float | None


@dataclass(frozen=True, kw_only=True)
class Head(Millimetres):
    """The head that was found."""

    ellipse: HeadEllipse
    head_circumference_px: float
    area_mm2: float | None


@dataclass(frozen=True)
class MethodInterval:
    """Two standard deviations to both sides; `verified` is false where sources disagree."""

    low: float
    high: float
    verified: bool


@dataclass(frozen=True)
class ConvertedInterval:
    """The circumference's interval, converted; an end is None where the method has no value."""

    level: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class AgeEstimate:
    """Gestational age by one published method; None out of its range, and `code` says why.

    `interval_days` is the method's own error, where it is published; `measured_interval_days` is
    the interval of the measured circumference, converted.
    """

    days: float | None
    weeks: float | None
    text: str | None
    interval_days: MethodInterval | None
    measured_interval_days: ConvertedInterval | None
    code: str | None


@dataclass(frozen=True, kw_only=True)
class GestationalAge:
    """Gestational age from the circumference, by two methods."""

    hadlock_1984: AgeEstimate
    intergrowth21_2016: AgeEstimate


@dataclass(frozen=True, kw_only=True)
class GrowthFigure:
    """How a measure compares with others of the same age; the centile is in per cent.

    The intervals are that of the measured circumference, converted; other measures have none.
    """

    z_score: float
    centile: float
    z_score_interval: ConvertedInterval | None
    centile_interval: ConvertedInterval | None


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Comparison with the growth standard at a gestational age from elsewhere.

    `gestational_age_source` is `request` if the caller stated the age, and `dicom` if the file did;
    `gestational_age_in_file_days` is the file's in both cases. Figures are None without
    millimetres, and out of the standard's range; `code` says the latter.
    """

    gestational_age_days: int
    gestational_age_source: str = field(metadata=added_later(growth.AGE_FROM_REQUEST))
    gestational_age_in_file_days: int | None = field(metadata=added_later(None))
    standard: str
    head_circumference: GrowthFigure | None
    biparietal_diameter: GrowthFigure | None
    occipitofrontal_diameter: GrowthFigure | None
    code: str | None


@dataclass(frozen=True)
class Quality:
    """Warning codes; `acceptable` is false when a person should not rely on the number."""

    acceptable: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """A site's own recalibration of the model.

    The corrected circumference is `scale` times the measured one plus `offset_mm`, and intervals
    are `interval_factor` times as wide as the model's own. It was made from `cases` exams.
    """

    offset_mm: float
    scale: float
    interval_factor: float
    cases: int
    date: str


@dataclass(frozen=True)
class SiteGuarantee(Site):
    """A site's recalibration, with what its intervals promise."""

    level: float
    guarantee: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The ellipse that a person drew, and what follows from it; this version counts.

    `by` and `note` are what the person stated, `at` is the service's clock. `head` has no interval
    and no site's correction. `difference_mm` is its circumference minus the automatic one, and
    `exceeds_half_width` says whether that is more than half the width of the automatic interval;
    both are None where there is nothing to compare with.
    """

    by: str
    at: str
    note: str | None
    head: Head
    gestational_age: GestationalAge | None
    growth: Growth | None
    difference_mm: float | None
    exceeds_half_width: bool | None


@dataclass(frozen=True, kw_only=True)
class AnalysisFacts:
    """Everything about one picture; `head` is None when none was found.

    `head_plane_probability` is None where the model does not judge the kind of plane.
    `gestational_age` is None without millimetres, `growth` if no gestational age is known. All
    this is automatic; `correction` is None unless a person drew another ellipse, and `method` says
    which of the two counts.
    """

    id: str
    created: str
    method: str = field(default=AUTOMATIC, metadata=added_later(AUTOMATIC))
    model: Model
    image: Image
    head: Head | None
    head_plane_probability: float | None = field(metadata=added_later(None))
    gestational_age: GestationalAge | None = field(default=None, metadata=added_later(None))
    growth: Growth | None = field(default=None, metadata=added_later(None))
    quality: Quality
    correction: Correction | None = field(default=None, metadata=added_later(None))
    site: Site | None = field(metadata=added_later(None))
    timing_ms: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class HeadCircumference(Millimetres):
    """The number that counts, for callers that want no more.

    `automatic` has the automatic figures where a person's correction counts; otherwise it is None.
    """

    id: str
    method: str = field(default=AUTOMATIC, metadata=added_later(AUTOMATIC))
    head_circumference_mm: float
    automatic: Millimetres | None = field(default=None, metadata=added_later(None))
    gestational_age: GestationalAge | None = field(default=None, metadata=added_later(None))
    growth: Growth | None = field(default=None, metadata=added_later(None))
    quality: Quality
    site: Site | None = field(metadata=added_later(None))
    timing_ms: dict[str, float]


@dataclass(frozen=True)
class Concentration:
    """Shares, 0 to 1, of a map's mass in the head and around its edge, and of the areas of both.

    Mass is the sum of the map's values; a map that is the same everywhere has the area's shares.
    """

    head_share: float
    edge_share: float
    head_area_share: float
    edge_area_share: float


@dataclass(frozen=True)
class SaliencyFigures:
    """How concentrated a layer's map is; null where the map is empty, as without a head.

    The band around the mask's edge reaches, to both sides, `edge_band_share` times the radius of
    the disc that is as large as the mask. `precision` is that of the network that is explained.
    """

    id: str
    layer: str
    precision: str
    edge_band_share: float
    concentration: Concentration | None


@dataclass(frozen=True, kw_only=True)
class DepthScale:
    """The marks of a depth scale at the picture's side, in pixels of the upright picture.

    `confidence` is in [0, 1]. `suggested_mark_mm` is the distance between marks if the long ones
    are 50 mm apart, and null where they show no rhythm: a person confirms it, or states another.
    """

    spacing_px: float
    column_px: float
    marks_px: tuple[float, ...]
    confidence: float
    suggested_mark_mm: float | None


@dataclass(frozen=True, kw_only=True)
class ScaleProposal:
    """The depth scale that was found, or null where none is certain enough."""

    width_px: int
    height_px: int
    orientation: int
    depth_scale: DepthScale | None


@dataclass(frozen=True, kw_only=True)
class ModelFacts(Model):
    """A served model, as `/v1/models` describes it."""

    width: int
    parameters: int
    input_width_px: int
    input_height_px: int
    saliency_layers: tuple[str, ...] = ()
    default_saliency_layer: str | None = None
    attention_levels: tuple[int, ...] = ()
    accuracy: dict[str, Any]
    device: str = field(metadata=added_later(""))
    chosen_because: str = field(metadata=added_later(""))
    site: SiteGuarantee | None = field(default=None, metadata=added_later(None))


@dataclass(frozen=True)
class Models:
    """The models of this service."""

    models: tuple[ModelFacts, ...]


# --- from what the pipeline found -------------------------------------------------------------


def to_analysis_facts(
    analysis: "measured_by.Analysis", pipeline: "measured_by.Pipeline", *, analysis_id: str = ""
) -> AnalysisFacts:
    """Return an analysis as an answer, created now.

    Parameters
    ----------
    analysis : pipeline.Analysis
    pipeline : Pipeline
        Names the model.
    analysis_id : str
        Under which a service keeps the result; empty where nothing is kept.
    """
    head = None if analysis.head is None else to_head(analysis.head)
    return AnalysisFacts(
        id=analysis_id,
        created=to_now_text(),
        model=to_model(pipeline),
        image=to_image(analysis),
        head=head,
        head_plane_probability=analysis.head_plane_probability,
        gestational_age=None if head is None else to_gestational_age(head),
        growth=to_growth(head, analysis.gestational_age),
        quality=Quality(analysis.quality.acceptable, analysis.quality.warnings),
        site=to_site(pipeline.site),
        timing_ms={stage: round(analysis.timing_ms.get(stage, 0.0), 3) for stage in STAGES},
    )


def to_now_text() -> str:
    """Return the time now, as answers state it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_image(analysis: "measured_by.Analysis") -> Image:
    """Return the size and the scale of the picture that was measured."""
    rows, columns = analysis.frame.pixels.shape
    region, source = analysis.known_region, analysis.frame.source
    return Image(
        width_px=columns,
        height_px=rows,
        orientation=analysis.frame.orientation,
        pixel_size_x_mm=None if region is None else region.spacing.column_mm,
        pixel_size_y_mm=None if region is None else region.spacing.row_mm,
        pixel_size_source=None if region is None else region.source,
        dicom=None if source is None else _to_dicom_image(source),
        pixel_size_confidence=None if region is None else region.confidence,
    )


def _to_dicom_image(source: "DicomSource") -> DicomImage:
    return DicomImage(
        frame=source.frame_index,
        frames=source.frames,
        left_px=source.left_px,
        top_px=source.top_px,
        stored_width_px=int(source.header.Columns),
        stored_height_px=int(source.header.Rows),
    )


def to_scale_proposal(frame: "Frame", found: "ScaleBar | None") -> ScaleProposal:
    """Return what was found beside a frame, to be confirmed by a person."""
    rows, columns = frame.pixels.shape
    return ScaleProposal(
        width_px=columns,
        height_px=rows,
        orientation=frame.orientation,
        depth_scale=None if found is None else DepthScale(**vars(found)),
    )


def to_model(pipeline: "measured_by.Pipeline") -> Model:
    """Return the name of the model and where it runs."""
    manifest, backend = pipeline.manifest, pipeline.backend
    return Model(
        manifest.name, manifest.version, backend.name, backend.precision, pipeline.graph.sha256
    )


def to_site(site: "SiteFacts | None") -> Site | None:
    """Return a site's recalibration, as an answer states it."""
    if site is None:
        return None
    return Site(**{each.name: getattr(site, each.name) for each in fields(Site)})


def to_site_guarantee(site: "SiteFacts | None") -> SiteGuarantee | None:
    """Return what `/v1/models` says of a site's recalibration."""
    if site is None:
        return None
    return SiteGuarantee(**{each.name: getattr(site, each.name) for each in fields(SiteGuarantee)})


def to_head(head: "measured_by.Head") -> Head:
    """Return the head that was found, as an answer states it."""
    measured = head.measurement
    return Head(
        ellipse=_to_ellipse(head.ellipse),
        head_circumference_px=head.head_circumference_px,
        head_circumference_mm=None if measured is None else measured.head_circumference_mm,
        head_circumference_raw_mm=(
            None if measured is None else measured.head_circumference_raw_mm
        ),
        head_circumference_interval_mm=_to_interval(head.interval),
        biparietal_diameter_mm=None if measured is None else measured.biparietal_diameter_mm,
        occipitofrontal_diameter_mm=(
            None if measured is None else measured.occipitofrontal_diameter_mm
        ),
        cephalic_index=None if measured is None else measured.cephalic_index,
        area_mm2=None if measured is None else measured.area_mm2,
    )


def _to_ellipse(ellipse: "Ellipse") -> HeadEllipse:
    return HeadEllipse(
        center_x_px=ellipse.center_x_px,
        center_y_px=ellipse.center_y_px,
        semi_major_px=ellipse.semi_axis_major_px,
        semi_minor_px=ellipse.semi_axis_minor_px,
        angle_deg=math.degrees(ellipse.angle_rad) % 180,
    )


def _to_interval(interval: "uncertainty.Interval | None") -> Interval | None:
    if interval is None:
        return None
    return Interval(level=interval.level, low=interval.low_mm, high=interval.high_mm)


def to_gestational_age(figures: Millimetres) -> GestationalAge | None:
    """Return the gestational age from a circumference; None without millimetres."""
    if figures.head_circumference_mm is None:
        return None
    return GestationalAge(
        hadlock_1984=_to_age_estimate(growth.date_by_hadlock_1984, figures),
        intergrowth21_2016=_to_age_estimate(growth.date_by_intergrowth_2016, figures),
    )


def _to_age_estimate(date: Callable[[float], growth.Dating], figures: Millimetres) -> AgeEstimate:
    assert figures.head_circumference_mm is not None
    found = date(figures.head_circumference_mm)
    days, two_sd_days = found.days, found.two_sd_days
    own, measured = None, None
    if days is not None:
        measured = _convert(figures.head_circumference_interval_mm, lambda mm: date(mm).days)
        if two_sd_days is not None:
            own = MethodInterval(
                days - two_sd_days, days + two_sd_days, verified=bool(found.is_two_sd_verified)
            )
    return AgeEstimate(
        days=days,
        weeks=None if days is None else days / growth.DAYS_PER_WEEK,
        text=None if days is None else growth.to_age_text(days),
        interval_days=own,
        measured_interval_days=measured,
        code=found.code,
    )


def _convert(
    interval: Interval | None, convert: Callable[[float], float | None]
) -> ConvertedInterval | None:
    """Return an interval whose ends a rising function has converted."""
    if interval is None:
        return None
    return ConvertedInterval(interval.level, convert(interval.low), convert(interval.high))


def to_known_age(compared: Growth | None) -> growth.KnownAge | None:
    """Return the age that a comparison with the growth standard was made for."""
    if compared is None:
        return None
    return growth.KnownAge(
        compared.gestational_age_days,
        compared.gestational_age_source,
        compared.gestational_age_in_file_days,
    )


def to_growth(figures: Millimetres | None, age: growth.KnownAge | None) -> Growth | None:
    """Return the comparison with the growth standard; None if no gestational age is known.

    The age is never the one that the circumference gives: with that, every head is average.
    """
    if age is None:
        return None
    age_days = age.days
    code = growth.find_age_code(age_days)
    hc, bpd, ofd = None, None, None
    if figures is not None and code is None:
        interval = figures.head_circumference_interval_mm
        hc = _to_figure(
            growth.HEAD_CIRCUMFERENCE, figures.head_circumference_mm, age_days, interval
        )
        bpd = _to_figure(growth.BIPARIETAL_DIAMETER, figures.biparietal_diameter_mm, age_days)
        ofd = _to_figure(
            growth.OCCIPITOFRONTAL_DIAMETER, figures.occipitofrontal_diameter_mm, age_days
        )
    return Growth(
        gestational_age_days=age_days,
        gestational_age_source=age.source,
        gestational_age_in_file_days=age.in_file_days,
        standard=growth.STANDARD,
        head_circumference=hc,
        biparietal_diameter=bpd,
        occipitofrontal_diameter=ofd,
        code=code,
    )


def _to_figure(
    standard: growth.GrowthStandard,
    value_mm: float | None,
    age_days: int,
    interval: Interval | None = None,
) -> GrowthFigure | None:
    if value_mm is None:
        return None

    def to_z_score(mm: float) -> float:
        return growth.to_z_score(standard, mm, age_days)

    z_score = to_z_score(value_mm)
    return GrowthFigure(
        z_score=z_score,
        centile=growth.to_centile(z_score),
        z_score_interval=_convert(interval, to_z_score),
        centile_interval=_convert(interval, lambda mm: growth.to_centile(to_z_score(mm))),
    )


Facts = TypeVar("Facts", bound=AnalysisFacts)


def to_counted(answer: Facts) -> Facts:
    """Return an answer whose head, age and growth are those of the version that counts."""
    correction = answer.correction
    if correction is None:
        return answer
    return replace(
        answer,
        head=correction.head,
        gestational_age=correction.gestational_age,
        growth=correction.growth,
    )


# --- to one line of a table -------------------------------------------------------------------


def column(path: str, *, decimals: int | None = None, default: object = None) -> Any:
    """Declare a column that holds one field of `AnalysisFacts`.

    Parameters
    ----------
    path : str
        Names of the field and of those that contain it, separated by dots.
    decimals : int, optional
        How many are written to a CSV table; by default as many as a pixel size has.
    default : object
        Where something on the path is None.
    """
    metadata: dict[str, object] = {PATH: path}
    if decimals is not None:
        metadata[DECIMALS] = decimals
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Row:
    """One line of output, with the same names as the answer; None where nothing was measured.

    The order of the fields is that of the columns. Two decimals of a millimetre are far more than
    the measurement can resolve.
    """

    image: str = ""
    head_circumference_mm: float | None = column("head.head_circumference_mm", decimals=2)
    head_circumference_low_mm: float | None = column(
        "head.head_circumference_interval_mm.low", decimals=2
    )
    head_circumference_high_mm: float | None = column(
        "head.head_circumference_interval_mm.high", decimals=2
    )
    head_circumference_raw_mm: float | None = column("head.head_circumference_raw_mm", decimals=2)
    biparietal_diameter_mm: float | None = column("head.biparietal_diameter_mm", decimals=2)
    occipitofrontal_diameter_mm: float | None = column(
        "head.occipitofrontal_diameter_mm", decimals=2
    )
    cephalic_index: float | None = column("head.cephalic_index", decimals=4)
    gestational_age_hadlock_1984_days: float | None = column(
        "gestational_age.hadlock_1984.days", decimals=1
    )
    gestational_age_intergrowth21_2016_days: float | None = column(
        "gestational_age.intergrowth21_2016.days", decimals=1
    )
    gestational_age_days: float | None = column("growth.gestational_age_days", decimals=0)
    gestational_age_source: str = column("growth.gestational_age_source", default="")
    head_circumference_z_score: float | None = column(
        "growth.head_circumference.z_score", decimals=3
    )
    head_circumference_centile: float | None = column(
        "growth.head_circumference.centile", decimals=2
    )
    biparietal_diameter_z_score: float | None = column(
        "growth.biparietal_diameter.z_score", decimals=3
    )
    occipitofrontal_diameter_z_score: float | None = column(
        "growth.occipitofrontal_diameter.z_score", decimals=3
    )
    head_circumference_px: float | None = column("head.head_circumference_px", decimals=2)
    pixel_size_x_mm: float | None = column("image.pixel_size_x_mm")
    pixel_size_y_mm: float | None = column("image.pixel_size_y_mm")
    pixel_size_source: str = column("image.pixel_size_source", default="")
    pixel_size_confidence: float | None = column("image.pixel_size_confidence", decimals=4)
    head_plane_probability: float | None = column("head_plane_probability", decimals=4)
    method: str = column("method", default="")
    corrected_head_circumference_mm: float | None = column(
        "correction.head.head_circumference_mm", decimals=2
    )
    corrected_biparietal_diameter_mm: float | None = column(
        "correction.head.biparietal_diameter_mm", decimals=2
    )
    corrected_occipitofrontal_diameter_mm: float | None = column(
        "correction.head.occipitofrontal_diameter_mm", decimals=2
    )
    corrected_head_circumference_z_score: float | None = column(
        "correction.growth.head_circumference.z_score", decimals=3
    )
    corrected_head_circumference_centile: float | None = column(
        "correction.growth.head_circumference.centile", decimals=2
    )
    correction_difference_mm: float | None = column("correction.difference_mm", decimals=2)
    correction_exceeds_half_width: bool = column("correction.exceeds_half_width", default=False)
    corrected_by: str = column("correction.by", default="")
    corrected_at: str = column("correction.at", default="")
    correction_note: str = column("correction.note", default="")
    acceptable: bool = column("quality.acceptable", default=False)
    warnings: str = ""
    error: str = ""


def to_row(answer: AnalysisFacts) -> Row:
    """Return an answer, made here or by a service, as one line of output without a file's name."""
    warnings = " ".join(answer.quality.warnings)
    if answer.head is None and answer.correction is None:
        plane = answer.head_plane_probability
        return Row(head_plane_probability=plane, warnings=warnings, error=NO_HEAD)
    found = {
        each.name: _follow(answer, each.metadata[PATH])
        for each in fields(Row)
        if PATH in each.metadata
    }
    given = {name: value for name, value in found.items() if value is not None}
    row = Row(**given, warnings=warnings)
    if answer.head is None:
        return replace(row, error=NO_HEAD)
    if answer.head.head_circumference_mm is None:
        # A pixel size beside the head, as of another region of the screen, measured nothing.
        unknown = replace(row, pixel_size_x_mm=None, pixel_size_y_mm=None, error=NO_PIXEL_SIZE)
        return replace(unknown, pixel_size_source="", pixel_size_confidence=None)
    return row


def _follow(value: object, path: str) -> Any:
    """Return the field at the end of a path, or None where something on the way is None."""
    for name in path.split("."):
        if value is None:
            return None
        value = getattr(value, name)
    return value
