"""Strategies that spread over the features without clusters. The score decides ties alone: the best-ranked row first.

R rows, D features of length 1, M rows that must be covered, B rows that are looked at together. Only the rows that the
budget can keep are chosen greedily; the rest follows by what it would add at the end, or as it is ranked.
"""

import logging

import numpy as np

from mygo.selection.strategies.candidates import Candidates

logger = logging.getLogger(__name__)

COVERED_ROWS = 16_384  # facility location: of a larger pool a draw of this many is to be covered
BATCH_ROWS = 64  # candidates whose gain is taken in one matrix product
BLOCK_VALUES = 2**24  # similarities in memory at once, 64 MiB


def k_center(candidates: Candidates) -> np.ndarray:
    """Greedy k-center: each row is the one farthest, by cosine, from all that were taken before; the best-ranked row is
    the first.

    Gonzalez (1985), within a factor 2 of the best radius. Time most * R * D, memory R * D.
    """
    ranked, x_RD = candidates.ranked, _features_as_ranked(candidates)
    logger.info("%s", f"k-center: {candidates.most:,} of {len(ranked):,} rows, {x_RD.shape[1]:,} features each")
    nearest_R = np.full(len(ranked), -np.inf, dtype=np.float32)  # similarity to the closest row that was taken
    taken: list[int] = []
    for _ in range(candidates.most):
        place = int(np.argmin(nearest_R))  # of equals the first, which is ranked best
        taken.append(place)
        np.maximum(nearest_R, x_RD @ x_RD[place], out=nearest_R)
        nearest_R[place] = np.inf
    return ranked[np.concatenate([taken, _rest(taken, len(ranked), nearest_R)]).astype(np.int64)]


def facility_location(candidates: Candidates) -> np.ndarray:
    """Each row is the one that adds most to sum_m max_{s taken} (1 + cos(m, s)): every row shall be like one that is
    taken.

    Lazy greedy (Minoux 1978; Leskovec et al. 2007): 1 - 1/e of the best sum. Of more than 16,384 rows a seeded draw of
    that many, or of four times the budget if that is more, is to be covered. Time (R + about 3 * B * most) * M * D,
    memory R * D + M * D + B * M.
    """
    ranked, x_RD = candidates.ranked, _features_as_ranked(candidates)
    covered_MD = x_RD[_to_cover(candidates)]
    size = f"{candidates.most:,} of {len(ranked):,} rows to cover {len(covered_MD):,}"
    logger.info("%s", f"facility location: {size}, {x_RD.shape[1]:,} features each")
    best_M = np.full(len(covered_MD), -1, dtype=np.float32)
    gain_R = _gains(x_RD, np.arange(len(ranked)), covered_MD, best_M)  # an upper bound from the first step on
    taken: list[int] = []
    for _ in range(candidates.most):
        place = _largest_gain(x_RD, covered_MD, best_M, gain_R)
        taken.append(place)
        np.maximum(best_M, covered_MD @ x_RD[place], out=best_M)
        gain_R[place] = -np.inf
    return ranked[np.concatenate([taken, _rest(taken, len(ranked), -gain_R)]).astype(np.int64)]


def _largest_gain(x_RD: np.ndarray, covered_MD: np.ndarray, best_M: np.ndarray, gain_R: np.ndarray) -> int:
    """The row whose gain is largest now. Gains only fall, so that old ones are bounds: those with the largest bounds
    are looked at anew, until no bound beats what was seen. Of equals the best-ranked one.
    """
    fresh = np.zeros(len(gain_R), dtype=bool)
    batch = min(BATCH_ROWS, len(gain_R))
    while not fresh[first := int(np.argmax(gain_R))]:
        bounded = np.argpartition(-gain_R, batch - 1)[:batch]
        stale = np.union1d(bounded[~fresh[bounded] & np.isfinite(gain_R[bounded])], [first])
        gain_R[stale] = np.minimum(gain_R[stale], _gains(x_RD, stale, covered_MD, best_M))
        fresh[stale] = True
    return first


def _gains(x_RD: np.ndarray, places: np.ndarray, covered_MD: np.ndarray, best_M: np.ndarray) -> np.ndarray:
    """What each of some rows would add, float64 [places]."""
    rows = max(1, BLOCK_VALUES // len(best_M))
    gains = []
    for start in range(0, len(places), rows):
        similarity_BM = x_RD[places[start : start + rows]] @ covered_MD.T
        similarity_BM -= best_M
        np.maximum(similarity_BM, 0, out=similarity_BM)
        gains.append(similarity_BM.sum(axis=1, dtype=np.float64))
    return np.concatenate(gains)


def _to_cover(candidates: Candidates) -> np.ndarray:
    """Places of the rows to be covered: drawn in the pool's order, so that the score does not touch the draw."""
    total = len(candidates.ranked)
    size = min(total, max(COVERED_ROWS, 4 * candidates.most))
    in_pool_order = np.argsort(candidates.ranked)
    return in_pool_order[np.sort(candidates.rng.choice(total, size, replace=False))]


def _features_as_ranked(candidates: Candidates) -> np.ndarray:
    rows = np.sort(candidates.ranked)
    return candidates.features(rows)[np.searchsorted(rows, candidates.ranked)]


def _rest(taken: list[int], total: int, key_R: np.ndarray) -> np.ndarray:
    """The places that were not taken, by ascending key; of equals the best-ranked first."""
    left = np.ones(total, dtype=bool)
    left[taken] = False
    places = np.flatnonzero(left)
    return places[np.argsort(key_R[places], kind="stable")]
