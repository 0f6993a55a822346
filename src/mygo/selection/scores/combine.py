"""Several scores as one. N samples, G of them graded by all parts."""

from collections.abc import Callable

import numpy as np

from mygo.params.choices import CombineBy, Order
from mygo.selection.agreement.areas import midranks
from mygo.selection.ranking import ORDERS


def combined(scores: list[tuple[np.ndarray, float, Order]], by: CombineBy) -> np.ndarray:
    """Weighted mean of the parts (score [N], weight > 0, order) over the samples that all of them grade: of midranks
    scaled to [0, 1], or of z-scores. Higher is better: each part counts by what its order asks for, the middle by
    closeness to the median.
    """
    preferences = [
        (ORDERS[order](np.where(np.isfinite(score_N), score_N, np.nan)), weight) for score_N, weight, order in scores
    ]
    graded_N = np.all([np.isfinite(preference_N) for preference_N, _ in preferences], axis=0)
    total_N = np.where(graded_N, 0.0, np.nan)
    weights = sum(weight for _, weight in preferences)
    for preference_N, weight in preferences:
        total_N[graded_N] += SCALES[by](preference_N[graded_N]) * (weight / weights)
    return total_N


def scaled_ranks(value_G: np.ndarray) -> np.ndarray:
    """Midranks from 0 to 1; equal values share the mean of theirs, and a sample alone has one half."""
    return (midranks(value_G) - 1) / (len(value_G) - 1) if len(value_G) > 1 else np.full(len(value_G), 0.5)


def z_scores(value_G: np.ndarray) -> np.ndarray:
    """Distance from the mean in standard deviations (of the population); 0 where all are equal."""
    if not len(value_G) or value_G.min() == value_G.max():  # whose mean is not quite the value, nor the spread quite 0
        return np.zeros(len(value_G))
    return (value_G - value_G.mean()) / value_G.std()


SCALES: dict[CombineBy, Callable[[np.ndarray], np.ndarray]] = {"ranks": scaled_ranks, "z_scores": z_scores}
