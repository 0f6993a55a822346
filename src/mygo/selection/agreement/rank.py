"""Spearman's rank correlation, and midranks of rows that are drawn several times. N rows, K columns."""

import math

import numpy as np

from mygo.selection.agreement.bootstrap import draws, prompts_repeat
from mygo.selection.agreement.estimate import Estimate, from_fisher


class Ranks:
    """The midranks of columns x [N, K], under whatever weights: sorted once."""

    def __init__(self, x_NK: np.ndarray) -> None:
        self.order_NK = np.argsort(x_NK, axis=0, kind="stable")
        sorted_NK = np.take_along_axis(x_NK, self.order_NK, axis=0)
        new_NK = np.ones(x_NK.shape, dtype=bool)
        new_NK[1:] = sorted_NK[1:] != sorted_NK[:-1]
        rows_NK = np.broadcast_to(np.arange(len(x_NK))[:, None], x_NK.shape)
        first_NK = np.maximum.accumulate(np.where(new_NK, rows_NK, 0), axis=0)
        ends_NK = np.ones(x_NK.shape, dtype=bool)
        ends_NK[:-1] = new_NK[1:]
        last_NK = np.minimum.accumulate(np.where(ends_NK, rows_NK, len(x_NK) - 1)[::-1], axis=0)[::-1]
        back_NK = np.argsort(self.order_NK, axis=0, kind="stable")
        self.below_NK = np.take_along_axis(first_NK, back_NK, axis=0)  # how many places lie below a row's ties
        self.upto_NK = np.take_along_axis(last_NK, back_NK, axis=0) + 1

    def __call__(self, weight_N: np.ndarray) -> np.ndarray:
        """[N, K], from 1: what a row's rank is where row i is there weight_N[i] times."""
        counts_NK = np.cumsum(weight_N[self.order_NK], axis=0)
        counts_NK = np.concatenate([np.zeros((1, counts_NK.shape[1])), counts_NK])
        below_NK = np.take_along_axis(counts_NK, self.below_NK, axis=0)
        return (below_NK + np.take_along_axis(counts_NK, self.upto_NK, axis=0) + 1) / 2


def correlation(x_N: np.ndarray, y_N: np.ndarray, weight_N: np.ndarray) -> float:
    """Pearson's; NaN where one of the two does not vary."""
    x_N, y_N = x_N - np.average(x_N, weights=weight_N), y_N - np.average(y_N, weights=weight_N)
    spread = math.sqrt((weight_N @ x_N**2) * (weight_N @ y_N**2))
    return float(np.clip((weight_N @ (x_N * y_N)) / spread, -1, 1)) if spread > 0 else math.nan


def spearman(x_N: np.ndarray, y_N: np.ndarray, prompt_N: np.ndarray, seed: int) -> Estimate | None:
    """Spearman's correlation with an interval on Fisher's scale; None where one of the two does not vary.

    The standard error of atanh(r) is sqrt((1 + r^2 / 2) / (N - 3)) (Bonett & Wright 2000); where prompts repeat, the
    deviation of atanh(r) over draws of prompts. p is of r = 0, by the same error.
    """
    ranks = Ranks(np.stack([x_N, y_N], axis=1))

    def of(weight_N: np.ndarray) -> float:
        rank_NK = ranks(weight_N)
        return correlation(rank_NK[:, 0], rank_NK[:, 1], weight_N)

    value = of(np.ones(len(x_N)))
    if math.isnan(value):
        return None
    if not prompts_repeat(prompt_N):
        return from_fisher(value, fisher_error(value, len(x_N)))
    return from_fisher(value, float(fisher_deviation(np.array([of(weight_N) for weight_N in draws(prompt_N, seed)]))))


def fisher_error(value: float, rows: int, held: int = 0) -> float:
    """Bonett & Wright's standard error of atanh(r) where `held` variables are held fixed; infinite for too few rows."""
    return math.sqrt((1 + value**2 / 2) / (rows - 3 - held)) if rows > 3 + held else math.inf


def fisher_deviation(values: np.ndarray) -> np.ndarray:
    """The deviation of atanh over draws of prompts, along the first axis; draws without a correlation are left out.
    Infinite where fewer than two are left.
    """
    if not len(values):
        return np.full(values.shape[1:], np.inf)
    z = np.arctanh(np.clip(values, -1 + 1e-12, 1 - 1e-12))
    enough = np.isfinite(z).sum(axis=0) > 1
    return np.where(enough, np.nanstd(np.where(enough, z, 0.0), axis=0, ddof=1), np.inf)
