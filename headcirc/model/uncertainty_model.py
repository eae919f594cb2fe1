"""Define a network's uncertainty model: feature weights, limits, and the width of intervals.

It is part of the manifest and is written by `model_export record-out-of-fold`. The features are
defined and computed in `headcirc.quality.uncertainty`.
"""

import math
from dataclasses import dataclass
from typing import Any

REFERENCE_MM = 180.0
"""Circumference of a head in mid-pregnancy, typical of HC18."""
MAXIMUM_DEVIATIONS = 4.0
"""Standardised features are clipped to this magnitude; the weights were fitted in this range."""


@dataclass(frozen=True)
class Term:
    """Contribution of one feature to a score: its standardisation and its weight.

    Attributes
    ----------
    center, scale : float
        The standardised feature is (value - center) / scale.
    weight : float
    """

    center: float
    scale: float
    weight: float

    def weigh(self, value: float) -> float:
        """Return the contribution of a feature value to the score."""
        deviations = (value - self.center) / self.scale
        return min(max(deviations, -MAXIMUM_DEVIATIONS), MAXIMUM_DEVIATIONS) * self.weight


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
        """Return the score for the features of one result."""
        return self.intercept + sum(
            term.weigh(features[feature]) for feature, term in self.terms.items()
        )


@dataclass(frozen=True)
class IntervalFacts:
    """Level and width of the intervals.

    Attributes
    ----------
    level : float
        Nominal coverage: share of intervals that should contain the annotated circumference.
    factor : float
        Half-width of the interval over the expected error.
    """

    level: float
    factor: float


@dataclass(frozen=True)
class UncertaintyLimits:
    """Limits above which a result gets a warning; see `headcirc.quality.assessment`.

    Attributes
    ----------
    large_error : float
        Limit of the score for large errors.
    lack_of_contrast, dark_share : float
        Limits of the features with these names.
    """

    large_error: float
    lack_of_contrast: float
    dark_share: float


@dataclass(frozen=True)
class UncertaintyModel:
    """Parameters that turn features into an expected error, an interval and a score.

    Attributes
    ----------
    error : LinearScore
        Natural logarithm of the expected error in mm, for a head of `REFERENCE_MM`.
    size_exponent : float
        The expected error grows with the circumference to this power: 0 is constant, 1 is
        proportional.
    large_error : LinearScore
        Log-odds of an error above 5 % of the circumference, in the mixture of clean and degraded
        pictures that the score was fitted on.
    interval : IntervalFacts
    limits : UncertaintyLimits
    """

    error: LinearScore
    size_exponent: float
    large_error: LinearScore
    interval: IntervalFacts
    limits: UncertaintyLimits

    def to_expected_error_mm(
        self, features: dict[str, float], head_circumference_mm: float | None
    ) -> float:
        """Return the expected absolute error of the circumference in mm.

        If the circumference is None, return the error for a head of `REFERENCE_MM`.
        """
        size = (head_circumference_mm or REFERENCE_MM) / REFERENCE_MM
        return float(math.exp(self.error.weigh(features)) * size**self.size_exponent)


def to_uncertainty_model(facts: dict[str, Any]) -> UncertaintyModel:
    """Convert the `uncertainty` section of a manifest.

    Raises
    ------
    KeyError, TypeError
        A fact is missing or unknown.
    """
    return UncertaintyModel(
        error=_to_score(facts["error"]),
        size_exponent=facts["size_exponent"],
        large_error=_to_score(facts["large_error"]),
        interval=IntervalFacts(**facts["interval"]),
        limits=UncertaintyLimits(**facts["limits"]),
    )


def _to_score(facts: dict[str, Any]) -> LinearScore:
    terms = {feature: Term(**term) for feature, term in facts["terms"].items()}
    return LinearScore(facts["intercept"], terms)
