"""Statistics over seeds: the spread of one strategy, and its difference to another on the same seeds."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) between seeds; `sd` is NaN for one seed."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its confidence interval; they are NaN for one seed."""

    mean: float
    low: float
    high: float
    n: int


def spread(values: Iterable[float]) -> Spread:
    x_S = np.array(list(values), dtype=float)
    n = len(x_S)
    return Spread(float(x_S.mean()), float(x_S.std(ddof=1)) if n > 1 else math.nan, n)


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float], level: float = LEVEL) -> Interval:
    """The mean of `values - reference` over the seeds of both, with Student's interval.

    With d_s the difference on seed s (same world, same base models) and n seeds:
    mean(d) +- t(n - 1, (1 + level) / 2) sd(d) / sqrt(n). It covers what differs from seed to seed, the questions of
    each world included; a standard error over the questions of one world covers neither worlds nor trainings.
    Raises `ValueError` if they have no seed in common.
    """
    seeds = sorted(values.keys() & reference.keys())
    if not seeds:
        raise ValueError("no seed in common")
    difference = spread(values[seed] - reference[seed] for seed in seeds)
    half = math.nan
    if difference.n > 1:
        quantile = float(stats.t.ppf((1 + level) / 2, difference.n - 1))
        half = quantile * difference.sd / math.sqrt(difference.n)
    return Interval(difference.mean, difference.mean - half, difference.mean + half, difference.n)
