"""Strategies: how a budget is spent. Rows are places in the pool."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pyarrow as pa

# (rows that can be graded, best first; how many to keep; randomness) -> rows that are kept
Strategy = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def top(ranked: np.ndarray, budget: int, _rng: np.random.Generator) -> np.ndarray:
    """The best rows."""
    return ranked[:budget]


def random(ranked: np.ndarray, budget: int, rng: np.random.Generator) -> np.ndarray:
    """A uniform draw without replacement. It takes rows in the pool's order, so that the score does not touch it."""
    return rng.choice(np.sort(ranked), budget, replace=False)


def full(ranked: np.ndarray, _budget: int, _rng: np.random.Generator) -> np.ndarray:
    """Every row that can be graded, whatever the budget."""
    return ranked


STRATEGIES: dict[str, Strategy] = {"top": top, "random": random, "full": full}


def budget_of(ratio: float, rows: int) -> int:
    """ceil(ratio * rows), with the ratio as it was written: 0.1 of 30 is 3, although 0.1 * 30 > 3 in floats."""
    return math.ceil(Fraction(str(ratio)) * rows)


def preference(score: np.ndarray, order: str) -> np.ndarray:
    """A number per sample that is higher for what `select.order` asks for; NaN stays NaN."""
    if order == "middle":
        return -np.abs(score - np.nanmedian(score))
    return score if order == "highest" else -score


def rank_rows(preference: np.ndarray, keys: pa.Table) -> np.ndarray:
    """Rows whose preference is not NaN, from the highest down; ties by source_dataset, then source_index (columns of `keys`)."""
    names = keys["source_dataset"].combine_chunks().dictionary_encode()
    place_of_name = np.argsort(np.argsort(names.dictionary.to_pylist()))
    dataset = place_of_name[names.indices.to_numpy()]
    order = np.lexsort((keys["source_index"].to_numpy(), dataset, -preference))
    return order[: np.count_nonzero(~np.isnan(preference))]  # lexsort puts NaN last
