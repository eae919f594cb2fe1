"""Summarise how well the model agrees with a site's own measurements.

Bias, limits of agreement and errors have bootstrap intervals over exams; shares have Wilson's
intervals. All are 95 % intervals. An error is measured minus reference.

References
----------
Limits of agreement: Bland, Altman 1986, doi:10.1016/S0140-6736(86)90837-8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from headcirc.agreement.estimates import ERROR_STATISTICS, Estimate, Share, estimate, to_share
from headcirc.agreement.reference_table import Reference
from headcirc.agreement.rows import ComparedImage

STATISTICS = (
    "bias_mm",
    "limit_of_agreement_low_mm",
    "limit_of_agreement_high_mm",
    "standard_deviation_mm",
    "mean_absolute_error_mm",
)
CLOSE_SHARE = 0.03
"""A share of the reference: 95 % of the differences between two measurements of one operator are
smaller (Sarris 2012, Ultrasound Obstet Gynecol 39:266)."""
WRONG_UNIT_RATIO = 3.0
"""Beyond this ratio of measured to reference, or its inverse, a unit or pixel size is wrong."""
FEW_IMAGES = 30


@dataclass(frozen=True)
class Agreement:
    """How a group of answers agrees with the references.

    Attributes
    ----------
    errors : dict
        Name in `STATISTICS` to its estimate.
    close : Share
        Errors of at most `CLOSE_SHARE` of the reference.
    covered : Share
        Intervals that contain the reference.
    """

    errors: dict[str, Estimate]
    close: Share
    covered: Share


@dataclass(frozen=True)
class OperatorBias:
    """Mean difference between the model and one operator."""

    operator: str
    bias_mm: Estimate


@dataclass(frozen=True)
class Summary:
    """The whole comparison.

    Attributes
    ----------
    images, exams : int
    answered, acceptable : Share
        Images with a head circumference in mm, and those that the quality checks accept.
    of_answered, of_acceptable : Agreement
    operators : tuple of OperatorBias
        Empty for a single operator.
    level : float or None
        Share of intervals that should contain the reference.
    """

    images: int
    exams: int
    answered: Share
    acceptable: Share
    of_answered: Agreement
    of_acceptable: Agreement
    operators: tuple[OperatorBias, ...]
    level: float | None

    def to_facts(self) -> dict[str, object]:
        """Return the content of `summary.json`."""
        return asdict(self)


def summarise(
    rows: Sequence[ComparedImage], references: Mapping[str, Reference] | None = None
) -> Summary:
    """Summarise a comparison.

    Parameters
    ----------
    rows : sequence of ComparedImage
        At least one.
    references : mapping, optional
        Image to its reference, for the figures by operator.
    """
    answered = [row for row in rows if row.error_mm is not None]
    acceptable = [row for row in answered if row.acceptable]
    return Summary(
        images=len(rows),
        exams=len({row.exam for row in rows}),
        answered=to_share(len(answered), len(rows)),
        acceptable=to_share(len(acceptable), len(rows)),
        of_answered=to_agreement(answered),
        of_acceptable=to_agreement(acceptable),
        operators=_to_operator_biases(answered, references or {}),
        level=next((row.level for row in answered if row.level is not None), None),
    )


def to_agreement(rows: Sequence[ComparedImage]) -> Agreement:
    """Return the agreement of answered images."""
    errors_mm, exams = [row.error_mm for row in rows], [row.exam for row in rows]
    close = [abs(row.error_mm or 0.0) <= CLOSE_SHARE * row.reference_mm for row in rows]
    covered = [row.is_in_interval for row in rows if row.is_in_interval is not None]
    return Agreement(
        {name: estimate(errors_mm, exams, ERROR_STATISTICS[name]) for name in STATISTICS},
        to_share(sum(close), len(close)),
        to_share(sum(covered), len(covered)),
    )


def _to_operator_biases(
    rows: Sequence[ComparedImage], references: Mapping[str, Reference]
) -> tuple[OperatorBias, ...]:
    known = [(row, references[row.image]) for row in rows if row.image in references]
    names = sorted({name for _, reference in known for name in reference.by_operator})
    if len(names) < 2:  # noqa: PLR2004 - with one operator it is the bias
        return ()
    biases = []
    for name in names:
        pairs = [
            ((row.head_circumference_mm or 0.0) - reference.by_operator[name], row.exam)
            for row, reference in known
            if name in reference.by_operator
        ]
        found = estimate([error for error, _ in pairs], [exam for _, exam in pairs])
        biases.append(OperatorBias(name or "(not named)", found))
    return tuple(biases)


def to_lines(summary: Summary) -> list[str]:
    """Return the summary as text for a person."""
    lines = [
        f"images {summary.images}, exams {summary.exams}",
        f"answered {_to_share_text(summary.answered)}",
        f"acceptable {_to_share_text(summary.acceptable)}",
    ]
    groups = {"acceptable": summary.of_acceptable, "all answered": summary.of_answered}
    for name, agreement in groups.items():
        errors = agreement.errors
        low, high = (errors[f"limit_of_agreement_{each}_mm"] for each in ("low", "high"))
        lines += [
            "",
            f"{name} ({errors['bias_mm'].n} images); 95 % intervals in brackets",
            f"  bias, measured minus reference  {_to_mm_text(errors['bias_mm'], '+.2f')}",
            f"  limits of agreement             {_to_mm_text(low, '+.1f')} and "
            f"{_to_mm_text(high, '+.1f')}",
            f"  mean absolute error             "
            f"{_to_mm_text(errors['mean_absolute_error_mm'], '.2f')}",
            f"  within {CLOSE_SHARE:.0%} of the reference      {_to_share_text(agreement.close)}",
            f"  in the interval                 {_to_share_text(agreement.covered)}",
        ]
    if summary.operators:
        lines += ["", "bias against each operator"]
        lines += [
            f"  {each.operator}: {_to_mm_text(each.bias_mm, '+.2f')}, {each.bias_mm.n} images"
            for each in summary.operators
        ]
    return lines


def to_advice(summary: Summary, rows: Sequence[ComparedImage]) -> list[str]:
    """Return what the figures mean for the site, in sentences."""
    advice = []
    ratios = [
        row.head_circumference_mm / row.reference_mm for row in rows if row.head_circumference_mm
    ]
    ratio = float(np.median(ratios)) if ratios else 1.0
    if not 1 / WRONG_UNIT_RATIO < ratio < WRONG_UNIT_RATIO:
        return [
            f"Measured and reference differ by a factor of {ratio:.2g}: a pixel size is wrong, or "
            "not in millimetres. Correct it and evaluate again."
        ]
    agreement = summary.of_acceptable
    if agreement.errors["bias_mm"].n < FEW_IMAGES:
        advice.append(
            f"Fewer than {FEW_IMAGES} acceptable images: the intervals are too wide for a decision."
        )
    bias = agreement.errors["bias_mm"]
    if bias.low is not None and bias.high is not None and not bias.low <= 0 <= bias.high:
        advice.append(
            f"The model measures {'more' if bias.low > 0 else 'less'} than you do; a site file "
            "corrects this (headcirc recalibrate)."
        )
    covered, level = agreement.covered, summary.level
    if level is None or covered.low is None or covered.high is None:
        advice.append("The model states no intervals.")
    elif covered.high < level:
        advice.append(
            f"The {level:.0%} intervals do not hold here: too few contain your measurement. Do not "
            "rely on them without a site file (headcirc recalibrate)."
        )
    elif covered.low > level:
        advice.append(f"The {level:.0%} intervals are wider than they need to be here.")
    else:
        advice.append(f"Nothing speaks against the {level:.0%} intervals here.")
    return advice


def _to_mm_text(found: Estimate, form: str) -> str:
    if found.value is None:
        return "not known"
    text = f"{found.value:{form}} mm"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low:{form}} to {found.high:{form}}]"


def _to_share_text(found: Share) -> str:
    if found.share is None or found.low is None or found.high is None:
        return "not known"
    return (
        f"{found.count} of {found.total} ({100 * found.share:.1f} %) "
        f"[{100 * found.low:.1f} to {100 * found.high:.1f} %]"
    )
