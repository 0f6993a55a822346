"""How well a score or a selection agrees with true labels. m good samples, n others."""

import math
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959964  # half-width of a 95 % interval in standard errors


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def auc(score: np.ndarray, good: np.ndarray) -> Estimate:
    """Chance that a good sample scores higher than another one (ties count half), with DeLong's interval cut to [0, 1].

    DeLong, DeLong & Clarke-Pearson (1988) on midranks as in Sun & Xu (2014). Both classes must be there;
    one sample has no variance, so a class of one makes the interval [0, 1].
    """
    positive, negative = score[good], score[~good]
    m, n = len(positive), len(negative)
    rank = midranks(np.concatenate([positive, negative]))
    beats_m = (rank[:m] - midranks(positive)) / n  # share of the others that each good sample beats
    beaten_n = 1 - (rank[m:] - midranks(negative)) / m
    value = float(beats_m.mean())
    if min(m, n) < 2:
        return Estimate(value, 0.0, 1.0)
    margin = Z_95 * math.sqrt(beats_m.var(ddof=1) / m + beaten_n.var(ddof=1) / n)
    return Estimate(value, max(0.0, value - margin), min(1.0, value + margin))


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[inverse]


def wilson(successes: int, trials: int) -> Estimate:
    """A share with Wilson's (1927) score interval, which holds for small counts too. `trials` >= 1."""
    share, z2 = successes / trials, Z_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    margin = Z_95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return Estimate(share, max(0.0, centre - margin), min(1.0, centre + margin))
