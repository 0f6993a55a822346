"""From graded rows to those that are kept: clusters, the strategy's order, duplicates, the budget.

N samples of the pool, R rows that can be kept.
"""

import logging
from dataclasses import dataclass

import numpy as np

from mygo.errors import UserError
from mygo.params import SelectParams
from mygo.selection.clustering.clusters import Clustering, cluster
from mygo.selection.clustering.features import features_of
from mygo.selection.grading import Graded
from mygo.selection.ranking import number_sources
from mygo.selection.reading.material import stream
from mygo.selection.reading.opened import Opened, digest_of
from mygo.selection.spending.budget import most_that_fit, samples_of, spend
from mygo.selection.spending.duplicates import Grams, duplicates_along, read_grams, shared_buckets
from mygo.selection.strategies import NO_CLUSTER, STRATEGIES, Candidates
from mygo.selection.strategies.clustered import number_clusters

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """Which of the pool's rows are kept, and what kept others out."""

    selected_N: np.ndarray  # bool
    cluster_N: np.ndarray  # -1: noise, -2: not clustered
    duplicate_of_N: np.ndarray  # the row that stays for it; -1: it is no duplicate
    beyond_share_N: np.ndarray  # bool, kept out by its source's share alone
    budget: int  # in samples
    clustering: Clustering | None


def choose(opened: Opened, graded: Graded, params: SelectParams, seed: int) -> Chosen:
    """Raises `UserError` if the strategy lacks what it needs, or the budget cannot be spent as it is asked for."""
    total = opened.keys.num_rows
    cluster_N, clustering = _clusters(opened, graded.ranked, params, seed)
    order = _order(opened, graded, cluster_N, params, seed)
    if not len(order):
        raise UserError(
            f"select.threshold: got {params.threshold}, and no sample's {params.score} reaches it with order "
            f"{params.order}; the best is {graded.score_N[graded.ranked[0]]:.6g}"
        )
    duplicate_of_N = _duplicates(opened, order, params, seed)
    source_N = opened.keys["source_dataset"].to_numpy(zero_copy_only=False)
    spending = spend(params, order[duplicate_of_N[order] < 0], graded.n_tokens_N, source_N)
    budget = samples_of(params, total)
    return Chosen(
        _marked(spending.kept, total),
        cluster_N,
        duplicate_of_N,
        _marked(spending.beyond_share, total),
        budget,
        clustering,
    )


def _marked(rows: np.ndarray, total: int) -> np.ndarray:
    marked_N = np.zeros(total, dtype=bool)
    marked_N[rows] = True
    return marked_N


def _order(opened: Opened, graded: Graded, cluster_N: np.ndarray, params: SelectParams, seed: int) -> np.ndarray:
    ranked = graded.ranked
    candidates = Candidates(
        ranked=ranked,
        score_R=graded.score_N[ranked],
        cluster_R=cluster_N[ranked],
        source_R=number_sources(opened.keys)[ranked],
        most=most_that_fit(params, opened.keys.num_rows, graded.n_tokens_N[ranked]),
        features=lambda rows: _features(opened, rows, params, seed),
        params=params,
        rng=stream(seed, "select"),
    )
    return STRATEGIES[params.strategy](candidates)


def _features(opened: Opened, rows: np.ndarray, params: SelectParams, seed: int) -> np.ndarray:
    """What clusters would be made of, as `select.clustering` says."""
    chosen = params.clustering
    key = ("features", digest_of(rows), chosen.features, chosen.pca, seed)
    return opened.memo.get(key, lambda: features_of(opened.statistics, rows, chosen, seed, opened.pool))


def _clusters(
    opened: Opened, ranked: np.ndarray, params: SelectParams, seed: int
) -> tuple[np.ndarray, Clustering | None]:
    """The cluster of each of the pool's rows, -1 where it is noise, -2 where it is in none. Clusters are numbered by
    the rank of their best sample.

    The rows go in by their place in the pool: which samples are together does not depend on their scores.
    """
    cluster_N = np.full(opened.keys.num_rows, NO_CLUSTER, dtype=np.int32)
    if params.clusters is None:
        return cluster_N, None
    rows = np.sort(ranked)
    key = ("clusters", digest_of(rows), params.clusters, params.clustering.model_dump_json(), seed)
    found = opened.memo.get(key, lambda: cluster(opened.statistics, rows, params, seed, opened.pool))
    cluster_N[rows] = found.label_R
    cluster_N[ranked] = number_clusters(cluster_N[ranked])
    return cluster_N, found


def _duplicates(opened: Opened, order: np.ndarray, params: SelectParams, seed: int) -> np.ndarray:
    """Of each of the pool's rows the one that stays for it; -1 where it is no duplicate."""
    duplicate_of_N = np.full(opened.keys.num_rows, -1, dtype=np.int64)
    similarity = params.deduplicate
    if similarity is None:
        return duplicate_of_N
    rows, hashed = np.sort(order), int(stream(seed, "duplicates").integers(2**32))
    grams: Grams = opened.memo.get("grams", lambda: read_grams(opened.pool))
    key = ("buckets", digest_of(rows), similarity, seed)
    shared = opened.memo.get(key, lambda: shared_buckets(grams, rows, similarity, hashed))
    found = duplicates_along(order, grams, shared, similarity)
    duplicate_of_N[list(found)] = list(found.values())
    logger.info("%s", f"{len(found):,} near-duplicates (Jaccard similarity of {similarity} or more) are left out")
    return duplicate_of_N
