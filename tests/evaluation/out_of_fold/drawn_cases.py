"""Draw cases for tests, whose errors grow with one feature."""

import numpy as np

from evaluation.out_of_fold.case import CLEAN, Case
from headcirc.quality.uncertainty import FEATURES


def to_folds(count=60, folds=3, seed=0):
    """Return cases by fold, whose error grows with one feature, `flatness`."""
    generator = np.random.default_rng(seed)
    return {
        fold: [
            to_drawn_case(generator, fold * count + index, kind)
            for index in range(count)
            for kind in (CLEAN, "blur")
        ]
        for fold in range(folds)
    }


def to_drawn_case(generator, exam, kind):
    """Return a case; degraded ones have a higher `flatness`, and so larger errors."""
    features = dict(zip(FEATURES, generator.standard_normal(len(FEATURES)), strict=True))
    features["flatness"] += 0 if kind == CLEAN else 2
    error_mm = float(generator.normal(0, 1.5 * np.exp(0.7 * features["flatness"])))
    measured_mm = 200.0 + error_mm
    return Case(f"{exam}_HC.png", exam, kind, 0.0, 200.0, measured_mm, None, features, True, ())


def join(folds):
    """Return the cases of all folds."""
    return [case for each in folds.values() for case in each]
