"""What signs of doubt mean for one model: weights, limits and the intervals' width.

Part of the model's manifest, written by `model_export record-doubt`. This module does not know
what the signs are nor how they are read; see `headcirc.doubt`.
"""

import math
from dataclasses import dataclass
from typing import Any

REFERENCE_MM = 180.0
"""A head of the middle of pregnancy, as most of HC18's are."""
OUTMOST_DEVIATIONS = 4.0
"""A sign that is stranger than this counts as this strange: the weights were found within."""


@dataclass(frozen=True)
class Term:
    """One sign's part in a score: how it is standardised, and its weight.

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
        """Return what a sign of this value adds to the score."""
        deviations = (value - self.center) / self.scale
        limited = min(max(deviations, -OUTMOST_DEVIATIONS), OUTMOST_DEVIATIONS)
        if self.weight_below is None or limited > 0:
            return limited * self.weight
        return limited * self.weight_below


@dataclass(frozen=True)
class LinearScore:
    """A constant and a weighted sum of standardised signs.

    Attributes
    ----------
    intercept : float
    terms : dict
        Sign to `Term`.
    """

    intercept: float
    terms: dict[str, Term]

    def weigh(self, signs: dict[str, float]) -> float:
        """Return the score of one answer's signs."""
        return self.intercept + sum(term.weigh(signs[sign]) for sign, term in self.terms.items())


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
class DoubtLimits:
    """Beyond these an answer is warned of; see `headcirc.quality`.

    Attributes
    ----------
    expected_error_mm, oddness : float
        Of the scores.
    lack_of_contrast, dark_share : float
        Of the signs of these names.
    """

    expected_error_mm: float
    oddness: float
    lack_of_contrast: float
    dark_share: float


@dataclass(frozen=True)
class DoubtFacts:
    """What the signs of doubt mean for this model.

    Attributes
    ----------
    error : LinearScore
        Logarithm of the expected error, in mm, in a head of `REFERENCE_MM`.
    size_exponent : float
        How the expected error grows with the circumference: 0 not at all, 1 in proportion.
    oddness : LinearScore
        Log-odds of a spoiled picture against a clean one.
    interval : IntervalFacts
    limits : DoubtLimits
    """

    error: LinearScore
    size_exponent: float
    oddness: LinearScore
    interval: IntervalFacts
    limits: DoubtLimits

    def to_expected_error_mm(
        self, signs: dict[str, float], head_circumference_mm: float | None
    ) -> float:
        """Return how large errors with such signs are; as of `REFERENCE_MM` if size is unknown."""
        size = (head_circumference_mm or REFERENCE_MM) / REFERENCE_MM
        return float(math.exp(self.error.weigh(signs)) * size**self.size_exponent)


def to_doubt_facts(facts: dict[str, Any]) -> DoubtFacts:
    """Read the manifest's section; raises KeyError or TypeError where a fact is missing."""
    return DoubtFacts(
        error=_to_score(facts["error"]),
        size_exponent=facts["size_exponent"],
        oddness=_to_score(facts["oddness"]),
        interval=IntervalFacts(**facts["interval"]),
        limits=DoubtLimits(**facts["limits"]),
    )


def _to_score(facts: dict[str, Any]) -> LinearScore:
    terms = {sign: Term(**term) for sign, term in facts["terms"].items()}
    return LinearScore(facts["intercept"], terms)
