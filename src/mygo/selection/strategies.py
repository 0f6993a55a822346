"""Strategies: how a budget is spent. Rows are places in the pool; R of them can be graded."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pyarrow as pa

NOISE = -1  # the cluster of what a clustering leaves over
NO_CLUSTER = -2  # of a row that was not clustered

# (rows that can be graded, best first; the cluster of each of these; how many to keep; randomness) -> rows that are
# kept
Strategy = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]


def top(ranked: np.ndarray, _cluster_R: np.ndarray, budget: int, _rng: np.random.Generator) -> np.ndarray:
    """The best rows."""
    return ranked[:budget]


def cluster_round_robin(
    ranked: np.ndarray, cluster_R: np.ndarray, budget: int, _rng: np.random.Generator
) -> np.ndarray:
    """The best row of every cluster, then the second best of every cluster, and so on; in each round the clusters go by
    their best row's rank. Noise is a cluster that is drawn when all others are empty.
    """
    turn_R = places_in_cluster(cluster_R)
    return ranked[np.lexsort((number_clusters(cluster_R), turn_R, cluster_R == NOISE))[:budget]]


def random(ranked: np.ndarray, _cluster_R: np.ndarray, budget: int, rng: np.random.Generator) -> np.ndarray:
    """A uniform draw without replacement. It takes rows in the pool's order, so that the score does not touch it."""
    return rng.choice(np.sort(ranked), budget, replace=False)


def full(ranked: np.ndarray, _cluster_R: np.ndarray, _budget: int, _rng: np.random.Generator) -> np.ndarray:
    """Every row that can be graded, whatever the budget."""
    return ranked


STRATEGIES: dict[str, Strategy] = {
    "top": top,
    "cluster_round_robin": cluster_round_robin,
    "random": random,
    "full": full,
}


def number_clusters(cluster_R: np.ndarray) -> np.ndarray:
    """The same clusters, numbered from 0 in the order in which they first appear; noise stays noise."""
    inside = cluster_R != NOISE
    number_R = np.full(len(cluster_R), NOISE)
    _, first, inverse = np.unique(cluster_R[inside], return_index=True, return_inverse=True)
    number_R[inside] = np.argsort(np.argsort(first))[inverse]
    return number_R


def places_in_cluster(cluster_R: np.ndarray) -> np.ndarray:
    """How many of the same cluster come before each one."""
    _, inverse, size = np.unique(cluster_R, return_inverse=True, return_counts=True)
    place_R = np.empty(len(cluster_R), dtype=np.int64)
    place_R[np.argsort(inverse, kind="stable")] = np.arange(len(cluster_R)) - np.repeat(np.cumsum(size) - size, size)
    return place_R


def budget_of(ratio: float, rows: int) -> int:
    """ceil(ratio * rows), with the ratio as it was written: 0.1 of 30 is 3, although 0.1 * 30 > 3 in floats."""
    return math.ceil(Fraction(str(ratio)) * rows)


def highest(score: np.ndarray) -> np.ndarray:
    return score


def lowest(score: np.ndarray) -> np.ndarray:
    return -score


def middle(score: np.ndarray) -> np.ndarray:
    """The closer to the median the better."""
    return -np.abs(score - np.nanmedian(score))


# Which end of the score is best: a number per sample that is higher for what is asked for; NaN stays NaN.
ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"highest": highest, "lowest": lowest, "middle": middle}


def rank_rows(preference: np.ndarray, keys: pa.Table) -> np.ndarray:
    """Rows whose preference is not NaN, from the highest down; ties by source_dataset, then source_index (columns of
    `keys`).
    """
    names = keys["source_dataset"].combine_chunks().dictionary_encode()
    place_of_name = np.argsort(np.argsort(names.dictionary.to_pylist()))
    dataset = place_of_name[names.indices.to_numpy()]
    order = np.lexsort((keys["source_index"].to_numpy(), dataset, -preference))
    return order[: np.count_nonzero(~np.isnan(preference))]  # lexsort puts NaN last
