"""Where the budget is spent, for every strategy: along an order of rows, duplicates left out, by number, by tokens, and
within the sources' shares.

N samples of the pool, R rows in the order, K that are kept.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mygo.errors import UserError, listed, shown
from mygo.params import SelectParams
from mygo.params.choices import WITHOUT_BUDGET
from mygo.selection.spending.quotas import Quotas

KEY = "select.source_shares"


@dataclass(frozen=True)
class Spending:
    """The kept rows in the order they were taken, and which rows of the order the sources' shares alone kept out."""

    kept: np.ndarray
    beyond_share: np.ndarray


def budget_of(ratio: float, rows: int) -> int:
    """ceil(ratio * rows), with the ratio as it was written: 0.1 of 30 is 3, although 0.1 * 30 > 3 in floats."""
    return math.ceil(Fraction(str(ratio)) * rows)


def most_that_fit(params: SelectParams, rows: int, tokens_R: np.ndarray) -> int:
    """How many of R rows with so many tokens the budget can keep at most; `rows` is the size of the pool."""
    if params.strategy in WITHOUT_BUDGET:
        return len(tokens_R)
    if params.token_budget is not None:
        return int(np.searchsorted(np.cumsum(np.sort(tokens_R)), params.token_budget, side="right"))
    return min(samples_of(params, rows), len(tokens_R))


def samples_of(params: SelectParams, rows: int) -> int:
    """The budget in samples; that of a token budget, and of a strategy that spends none, is the whole pool."""
    if params.strategy in WITHOUT_BUDGET or params.token_budget is not None:
        return rows
    if params.count is not None:
        return params.count
    return budget_of(1.0 if params.ratio is None else params.ratio, rows)


def spend(params: SelectParams, order: np.ndarray, tokens_N: np.ndarray, source_N: np.ndarray) -> Spending:
    """Spend the budget along `order`, in which every row can be kept.

    A token budget is spent until the first sample that does not fit: skipping it for shorter ones behind it would
    favour short samples, and which length is kept is the score's to say. `source_N` holds the sources' names.

    Raises `UserError` if nothing fits, or the sources' shares cannot be met.
    """
    tokens_R = tokens_N[order]
    budget = samples_of(params, len(tokens_N))
    if params.source_shares:
        spending = _within_shares(params, order, tokens_R, source_N, min(budget, len(order)))
    else:
        fitting = budget if params.token_budget is None else _prefix(tokens_R, params.token_budget)
        spending = Spending(order[:fitting], order[:0])
    if not len(spending.kept) and len(order):
        raise UserError(
            f"select.token_budget: got {params.token_budget}, and the sample that comes first has {tokens_R[0]:.0f} "
            "tokens; takes more"
        )
    return spending


def _prefix(tokens_R: np.ndarray, token_budget: int) -> int:
    return int(np.searchsorted(np.cumsum(tokens_R), token_budget, side="right"))


def _within_shares(
    params: SelectParams, order: np.ndarray, tokens_R: np.ndarray, source_N: np.ndarray, most: int
) -> Spending:
    """Within a token budget: the largest number of samples, found by bisection, that fits it."""
    sources = np.unique(source_N).tolist()
    unknown = sorted(params.source_shares.keys() - set(sources))
    if unknown:
        raise UserError(f"{KEY}: got {shown(unknown[0])}; the pool holds {listed(sources)}")
    quotas = Quotas.of(params.source_shares, source_N[order])
    size = most
    if params.token_budget is not None:
        size = _largest(lambda size: quotas.tokens(size, tokens_R) <= (params.token_budget or 0), most)
        if size < most and quotas.refused(size + 1):  # not the tokens end it
            size += 1
    why = quotas.refused(size)
    if why:
        raise UserError(f"{KEY}: {why}; takes other shares, or a smaller budget")
    taken_R = quotas.taken(size)
    last = max(np.flatnonzero(taken_R), default=0)
    return Spending(order[taken_R], order[:last][~taken_R[:last]])


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` that fits, if whatever is smaller than one that fits does too; 0 if none."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
