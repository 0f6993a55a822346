"""A value with its interval, and what many tests at once are worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959964  # half-width of a 95 % interval in standard errors


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and, where one is tested, the two-sided p of what is named beside it."""

    value: float
    low: float
    high: float
    p: float | None = None


def two_sided(z: float) -> float:
    """Chance of a standard normal farther from 0 than z."""
    return math.erfc(abs(z) / math.sqrt(2))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) correction: the i-th smallest of m times (m - i + 1), at most 1, never less than a smaller p's.

    None is no test: it stays None and does not count among the m.
    """
    tested = [i for i, p in enumerate(p_values) if p is not None]
    tested.sort(key=lambda i: float(p_values[i] or 0.0))
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for place, i in enumerate(tested):
        largest = max(largest, min(1.0, float(p_values[i] or 0.0) * (len(tested) - place)))
        adjusted[i] = largest
    return adjusted


def from_fisher(value: float, error: float) -> Estimate:
    """A correlation with the interval tanh(atanh(r) +- 1.96 error) and the p of r = 0; `error` is of atanh(r).

    An error that is no number, as of too few samples, says nothing: [-1, 1] and p = 1.
    """
    if not math.isfinite(error):
        return Estimate(value, -1.0, 1.0, 1.0)
    z = math.atanh(float(np.clip(value, -1 + 1e-12, 1 - 1e-12)))
    margin = Z_95 * error
    return Estimate(value, math.tanh(z - margin), math.tanh(z + margin), two_sided(z / error) if error else 0.0)
