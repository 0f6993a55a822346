"""Strategies that ask nothing but scores, sources and chance."""

import numpy as np

from mygo.selection.strategies.candidates import Candidates
from mygo.selection.strategies.clustered import places_in_group


def top(candidates: Candidates) -> np.ndarray:
    """The best first."""
    return candidates.ranked


def full(candidates: Candidates) -> np.ndarray:
    """Every row that can be graded, whatever the budget."""
    return candidates.ranked


def threshold(candidates: Candidates) -> np.ndarray:
    """Every row whose score reaches `select.threshold` (with order lowest: stays at or below it), whatever the
    budget.
    """
    params, score_R = candidates.params, candidates.score_R
    limit = np.float64(np.nan if params.threshold is None else params.threshold)
    return candidates.ranked[score_R >= limit if params.order == "highest" else score_R <= limit]


def random(candidates: Candidates) -> np.ndarray:
    """A uniform draw without replacement. It takes rows in the pool's order, so that the score does not touch it.

    What the budget can keep is drawn first and the rest shuffled behind it: one draw of everything would be another
    one, and published numbers stand on the first.
    """
    rows = np.sort(candidates.ranked)
    drawn = candidates.rng.choice(len(rows), candidates.most, replace=False)
    rest = np.ones(len(rows), dtype=bool)
    rest[drawn] = False
    return np.concatenate([rows[drawn], candidates.rng.permutation(rows[rest])])


def random_balanced(candidates: Candidates) -> np.ndarray:
    """One row of every source in turn, drawn within the source: equal numbers of each, as far as a source lasts."""
    in_pool_order = np.argsort(candidates.ranked)
    rows, source_R = candidates.ranked[in_pool_order], candidates.source_R[in_pool_order]
    shuffled = candidates.rng.permutation(len(rows))
    rows, source_R = rows[shuffled], source_R[shuffled]
    return rows[np.lexsort((source_R, places_in_group(source_R)))]
