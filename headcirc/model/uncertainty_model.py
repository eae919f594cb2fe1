"""The uncertainty model of one network: weights of features, limits, and the intervals' width.

Part of the manifest, written by `model_export record-uncertainty`. This module does not know what
the features are nor how they are computed; see `headcirc.quality.uncertainty`.
"""

import math
from dataclasses import dataclass
from typing import Any

REFERENCE_MM = 180.0
"""Circumference of a head in mid-pregnancy, as most of HC18's are."""
OUTMOST_DEVIATIONS = 4.0
"""Standardised features are clipped here: the weights were fitted within this range."""


@dataclass(frozen=True)
class Term:
    """One feature's part in a score: how it is standardised, and its weight.

    Attributes
    ----------
    center, scale : float
    weight : float
        Of each deviation above the centre.
    weight_below : float or None
        Of each deviation below it, where that is another matter; None: the same.
    """

    center: float
    scale: float
    weight: float
    weight_below: float | None = None

    def weigh(self, value: float) -> float:
        """Return what a feature of this value adds to the score."""
        deviations = (value - self.center) / self.scale
        limited = min(max(deviations, -OUTMOST_DEVIATIONS), OUTMOST_DEVIATIONS)
        if self.weight_below is None or limited > 0:
            return limited * self.weight
        return limited * self.weight_below


@dataclass(frozen=True)
class LinearScore:
    """A constant and a weighted sum of standardised features.

    Attributes
    ----------
    intercept : float
    terms : dict
        Feature to `Term`.
    """

    intercept: float
    terms: dict[str, Term]

    def weigh(self, features: dict[str, float]) -> float:
        """Return the score of one answer's features."""
        return self.intercept + sum(
            term.weigh(features[feature]) for feature, term in self.terms.items()
        )


@dataclass(frozen=True)
class IntervalFacts:
    """How wide intervals are.

    Attributes
    ----------
    level : float
        Share of cases in which the interval should hold the annotated circumference.
    factor : float
        Half the interval's width over the expected error.
    """

    level: float
    factor: float


@dataclass(frozen=True)
class UncertaintyLimits:
    """Limits beyond which an answer gets a warning; see `headcirc.quality.assessment`.

    Attributes
    ----------
    expected_error_mm, out_of_distribution : float
        Of the scores.
    lack_of_contrast, dark_share : float
        Of the features of these names.
    """

    expected_error_mm: float
    out_of_distribution: float
    lack_of_contrast: float
    dark_share: float


@dataclass(frozen=True)
class UncertaintyModel:
    """How features become an expected error, an out-of-distribution score and an interval.

    Attributes
    ----------
    error : LinearScore
        Logarithm of the expected error, in mm, in a head of `REFERENCE_MM`.
    size_exponent : float
        How the expected error grows with the circumference: 0 not at all, 1 in proportion.
    out_of_distribution : LinearScore
        Log-odds of a degraded image against a clean one.
    interval : IntervalFacts
    limits : UncertaintyLimits
    """

    error: LinearScore
    size_exponent: float
    out_of_distribution: LinearScore
    interval: IntervalFacts
    limits: UncertaintyLimits

    def to_expected_error_mm(
        self, features: dict[str, float], head_circumference_mm: float | None
    ) -> float:
        """Return the expected error; if the size is unknown, of a head of `REFERENCE_MM`."""
        size = (head_circumference_mm or REFERENCE_MM) / REFERENCE_MM
        return float(math.exp(self.error.weigh(features)) * size**self.size_exponent)


def to_uncertainty_model(facts: dict[str, Any]) -> UncertaintyModel:
    """Read the manifest's section; raises KeyError or TypeError where a fact is missing."""
    return UncertaintyModel(
        error=_to_score(facts["error"]),
        size_exponent=facts["size_exponent"],
        out_of_distribution=_to_score(facts["out_of_distribution"]),
        interval=IntervalFacts(**facts["interval"]),
        limits=UncertaintyLimits(**facts["limits"]),
    )


def _to_score(facts: dict[str, Any]) -> LinearScore:
    terms = {feature: Term(**term) for feature, term in facts["terms"].items()}
    return LinearScore(facts["intercept"], terms)
