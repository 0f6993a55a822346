"""Spherical k-means: clusters of samples whose features point the same way.

R rows, D features, K clusters, B rows of a chunk, P rows that the start is drawn from, T candidates for a centre.
"""

import logging
import math
from dataclasses import dataclass

import numpy as np

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 100
CHUNK_VALUES = 2**19  # similarities (rows x clusters) in memory at once
CHUNK_ROWS = 4096  # rows that are summed in float32 before they are added to a total in float64
START_ROWS = (
    32  # rows per cluster that the start is drawn from: k-means++ over all rows costs as much as 60 to 100 iterations
)


@dataclass(frozen=True)
class Clusters:
    """`label_R`: int32, 0..K-1, no cluster is empty. `centre_KD`: float32, the mean direction of each cluster, of
    length 1.
    """

    label_R: np.ndarray
    centre_KD: np.ndarray
    iterations: int


def normalise(x_RD: np.ndarray) -> np.ndarray:
    """Scale every row to length 1, in place; a row of zeros stays as it is."""
    length_R = np.sqrt(np.einsum("rd,rd->r", x_RD, x_RD))
    x_RD /= np.where(length_R > 0, length_R, 1)[:, None]
    return x_RD


def spherical_kmeans(
    x_RD: np.ndarray, k: int, rng: np.random.Generator, max_iterations: int = MAX_ITERATIONS
) -> Clusters:
    """Cluster float32 rows of length 1 by cosine similarity until no row changes its cluster, or `max_iterations` are
    done. Takes 1 <= k <= R.

    Maximises sum_r x_r . c_{label(r)} over labels and centres c of length 1, as Dhillon & Modha (2001), "Concept
    decompositions for large sparse text data using clustering". Ours: a start by greedy k-means++ on a draw of the
    rows, and no empty clusters.
    """
    centre_KD = _start(x_RD, k, rng)
    label_R = np.full(len(x_RD), -1, dtype=np.int32)
    total_KD = np.zeros(centre_KD.shape)
    iteration = 0
    moved = np.arange(len(x_RD))
    while len(moved) and iteration < max_iterations:
        closest_R, similarity_R = _assign(x_RD, centre_KD)
        _fill_empty(closest_R, similarity_R, k)
        moved = np.flatnonzero(closest_R != label_R)
        total_KD = _updated(total_KD, x_RD, label_R, closest_R, moved)
        centre_KD, label_R, iteration = normalise(total_KD.astype(np.float32)), closest_R, iteration + 1
    if len(moved):
        logger.info(
            "%s",
            f"k-means: {len(moved):,} of {len(x_RD):,} samples still changed their cluster in iteration "
            f"{iteration}, the last one",
        )
    return Clusters(label_R, centre_KD, iteration)


def _start(x_RD: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007) on a draw of P rows: of T rows drawn by their distance to the
    centres so far, the best one is next.

    Distance is 1 - cosine, half the squared Euclidean one. T = 2 + log k as in scikit-learn.
    """
    drawn_PD = x_RD[rng.choice(len(x_RD), min(len(x_RD), START_ROWS * k), replace=False)]
    centres = [int(rng.integers(len(drawn_PD)))]
    gap_P = _gaps(drawn_PD, centres)[0]
    for _ in range(k - 1):
        mass_P = np.cumsum(gap_P, dtype=np.float64)
        candidates = np.searchsorted(mass_P, rng.random(2 + int(math.log(k))) * mass_P[-1], side="right").clip(
            max=len(drawn_PD) - 1
        )
        gap_TP = np.minimum(gap_P, _gaps(drawn_PD, candidates))
        best = gap_TP.sum(axis=1).argmin()
        gap_P = gap_TP[best]
        centres.append(int(candidates[best]))
    return drawn_PD[centres]


def _gaps(drawn_PD: np.ndarray, rows: np.ndarray | list[int]) -> np.ndarray:
    """1 - cosine of some rows to all of them; rounding must not make it negative."""
    return np.maximum(1 - drawn_PD[rows] @ drawn_PD.T, 0)


def _assign(x_RD: np.ndarray, centre_KD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The closest centre of each row (the first of equal ones) and the cosine to it, a chunk of rows at a time."""
    rows = max(1, CHUNK_VALUES // len(centre_KD))
    closest_R = np.empty(len(x_RD), dtype=np.int32)
    similarity_R = np.empty(len(x_RD), dtype=np.float32)
    for start in range(0, len(x_RD), rows):
        cosine_BK = x_RD[start : start + rows] @ centre_KD.T
        closest_B = cosine_BK.argmax(axis=1)
        closest_R[start : start + rows] = closest_B
        similarity_R[start : start + rows] = cosine_BK[np.arange(len(closest_B)), closest_B]
    return closest_R, similarity_R


def _fill_empty(closest_R: np.ndarray, similarity_R: np.ndarray, k: int) -> None:
    """Give every empty cluster the row that fits its own cluster worst, in place; no row leaves a cluster of one."""
    size_K = np.bincount(closest_R, minlength=k)
    empty = np.flatnonzero(size_K == 0)
    worst_first = iter(np.argsort(similarity_R, kind="stable") if len(empty) else ())
    for cluster in empty:
        row = next(row for row in worst_first if size_K[closest_R[row]] > 1)
        size_K[closest_R[row]] -= 1
        closest_R[row] = cluster


def _updated(
    total_KD: np.ndarray, x_RD: np.ndarray, old_R: np.ndarray, new_R: np.ndarray, moved: np.ndarray
) -> np.ndarray:
    """Sums of the rows of each cluster, float64: from the old sums and the rows that moved, or afresh where most
    have.
    """
    k = len(total_KD)
    if 2 * len(moved) > len(x_RD):
        return _totals(x_RD, new_R, np.arange(len(x_RD)), k)
    return total_KD + _totals(x_RD, new_R, moved, k) - _totals(x_RD, old_R, moved, k)


def _totals(x_RD: np.ndarray, label_R: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """For each cluster the sum of those of its members that are among `rows`."""
    total_KD = np.zeros((k, x_RD.shape[1]))
    by_cluster = rows[np.argsort(label_R[rows], kind="stable")]
    ends = np.cumsum(np.bincount(label_R[rows], minlength=k))
    for cluster, members in enumerate(np.split(by_cluster, ends[:-1])):
        for start in range(0, len(members), CHUNK_ROWS):
            total_KD[cluster] += x_RD[members[start : start + CHUNK_ROWS]].sum(axis=0)
    return total_KD
