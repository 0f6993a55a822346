"""Strategies that spread over the features without clusters. The score decides ties alone: the best-ranked row first.
Equal rows come out of a matrix product with differences of rounding, so that what lies within `TIE` is a tie.

R rows, D features of length 1, M rows that must be covered. Only the rows that the
budget can keep are chosen greedily; the rest follows by what it would add at the end, or as it is ranked.
"""

import logging
import math

import numpy as np

from mygo.selection.strategies.candidates import Candidates

logger = logging.getLogger(__name__)

COVERED_ROWS = 16_384  # facility location: of a larger pool a draw of this many is to be covered
MISSED = 0.01  # facility location: how far below the greedy sum a draw may stay, in the mean
TIE = 1e-6  # of a cosine, or as a share of a gain
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
        place = int(np.argmax(nearest_R <= nearest_R.min() + TIE))  # of equals the first, which is ranked best
        taken.append(place)
        np.maximum(nearest_R, x_RD @ x_RD[place], out=nearest_R)
        nearest_R[place] = np.inf
    rest = np.argsort(nearest_R, kind="stable")[: len(ranked) - len(taken)]  # those that were taken are at the end
    return ranked[np.concatenate([taken, rest]).astype(np.int64)]


def facility_location(candidates: Candidates) -> np.ndarray:
    """Each row is the one that adds most to sum_m max_{s taken} (1 + cos(m, s)): every row shall be like one that is
    taken.

    Stochastic greedy (Mirzasoleiman et al. 2015, arXiv 1409.7938): of each step's draw of R / most * log(100) rows the
    best is taken, within 1 - 1/e - 0.01 of the best sum in the mean; where the draw is all rows, which it is for small
    pools and small budgets, it is the plain greedy one. Of more than 16,384 rows a seeded draw of that many, or of four
    times the budget if that is more, is to be covered. Time log(100) * R * M * D, memory (R + M) * D.
    """
    ranked, x_RD = candidates.ranked, _features_as_ranked(candidates)
    covered_MD = x_RD[_to_cover(candidates)]
    size = f"{candidates.most:,} of {len(ranked):,} rows to cover {len(covered_MD):,}"
    logger.info("%s", f"facility location: {size}, {x_RD.shape[1]:,} features each")
    drawn = math.ceil(len(ranked) / max(1, candidates.most) * math.log(1 / MISSED))
    best_M = np.full(len(covered_MD), -1, dtype=np.float32)
    left_R = np.ones(len(ranked), dtype=bool)
    taken: list[int] = []
    for _ in range(candidates.most):
        places = np.flatnonzero(left_R)
        if drawn < len(places):
            places = np.sort(candidates.rng.choice(places, drawn, replace=False))
        gains = _gains(x_RD, places, covered_MD, best_M)
        place = int(places[np.argmax(gains >= gains.max() * (1 - TIE))])  # of equals the first, which is ranked best
        taken.append(place)
        left_R[place] = False
        np.maximum(best_M, covered_MD @ x_RD[place], out=best_M)
    return ranked[np.concatenate([taken, np.flatnonzero(left_R)]).astype(np.int64)]


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
