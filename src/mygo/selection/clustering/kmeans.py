"""Spherical k-means: clusters of samples whose features point the same way.

R rows, D features, K clusters, B rows of a chunk, P rows that the start is drawn from, T candidates for a centre.
"""

import logging
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mygo.params import ClusteringParams
from mygo.selection.reading.material import stream

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 100
GAIN = 1e-5  # what an iteration must add to the mean cosine, as a share of it, for another one to follow
CHUNK_VALUES = 2**19  # similarities (rows x clusters) in memory at once
CHUNK_ROWS = 4096  # rows that are summed in float32 before they are added to a total in float64
START_ROWS = (
    32  # rows per cluster that the start is drawn from: k-means++ over all rows costs as much as 60 to 100 iterations
)


@dataclass(frozen=True)
class Clusters:
    """`label_R`: int32, 0..K-1, no cluster is empty. `centre_KD`: float32, the mean direction of each cluster, of
    length 1. `objective`: mean cosine of the rows to the centres that they were given to.
    """

    label_R: np.ndarray
    centre_KD: np.ndarray
    iterations: int
    objective: float


class Rows(Protocol):
    """What is done with all rows: on the host here, on a GPU in `on_gpu`."""

    def closest(self, centre_KD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The closest centre of each row (int32) and the cosine to it (float32)."""
        ...

    def total(self, label_R: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
        """For each cluster the sum of those of its members that are among `rows`, float64 [K, D]."""
        ...


class RowsOnHost:
    """With numpy, a chunk at a time."""

    def __init__(self, x_RD: np.ndarray) -> None:
        self.x_RD = x_RD

    def closest(self, centre_KD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return closest_rows(self.x_RD, centre_KD)

    def total(self, label_R: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
        return totals(self.x_RD, label_R, rows, k)


def kmeans(x_RD: np.ndarray, k: int, params: ClusteringParams, seed: int) -> np.ndarray:
    """Labels of float32 rows of length 1, on the device that `backend` names."""
    found = spherical_kmeans(x_RD, k, stream(seed, "clusters"), params.max_iters, on=_rows(x_RD, params.backend))
    logger.info("%s", f"{len(x_RD):,} samples in {k:,} clusters after {found.iterations} iterations of k-means")
    return found.label_R


def _rows(x_RD: np.ndarray, backend: str) -> Rows:
    if backend in ("torch", "auto"):
        from mygo.selection.clustering.on_gpu import RowsOnDevice, device_of

        device = device_of(backend)
        if device is not None:
            return RowsOnDevice(x_RD, device)
    return RowsOnHost(x_RD)


def normalise(x_RD: np.ndarray) -> np.ndarray:
    """Scale every row to length 1, in place; a row of zeros stays as it is."""
    length_R = np.sqrt(np.einsum("rd,rd->r", x_RD, x_RD))
    x_RD /= np.where(length_R > 0, length_R, 1)[:, None]
    return x_RD


def spherical_kmeans(
    x_RD: np.ndarray,
    k: int,
    rng: np.random.Generator,
    max_iterations: int = MAX_ITERATIONS,
    gain: float = GAIN,
    on: Rows | None = None,
) -> Clusters:
    """Cluster float32 rows of length 1 by cosine similarity until an iteration raises the mean cosine of rows to their
    centres by less than the share `gain` of it (0: until no row changes its cluster), or `max_iterations` are done.
    Takes 1 <= k <= R.

    Maximises sum_r x_r . c_{label(r)} over labels and centres c of length 1, as Dhillon & Modha (2001), "Concept
    decompositions for large sparse text data using clustering". Ours: a start by greedy k-means++ on a draw of the
    rows, and no empty clusters.
    """
    rows = RowsOnHost(x_RD) if on is None else on
    centre_KD = start_centres(x_RD, k, rng)
    label_R = np.full(len(x_RD), -1, dtype=np.int32)
    total_KD = np.zeros(centre_KD.shape)
    iteration, reached, moving = 0, -np.inf, True
    while moving and iteration < max_iterations:
        closest_R, similarity_R = rows.closest(centre_KD)
        _fill_empty(closest_R, similarity_R, k)
        before, reached = reached, float(similarity_R.mean(dtype=np.float64))
        moved = np.flatnonzero(closest_R != label_R)
        total_KD = _updated(total_KD, rows, label_R, closest_R, moved)
        centre_KD, label_R, iteration = normalise(total_KD.astype(np.float32)), closest_R, iteration + 1
        moving = len(moved) > 0 and (gain == 0 or reached - before > gain * abs(reached))
    if moving and iteration:
        logger.info("%s", f"k-means still gained in iteration {iteration}, the last one; select.clustering.max_iters")
    return Clusters(label_R, centre_KD, iteration, reached)


def start_centres(x_RD: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
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


def closest_rows(x_RD: np.ndarray, centre_KD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _updated(total_KD: np.ndarray, on: Rows, old_R: np.ndarray, new_R: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Sums of the rows of each cluster, float64: from the old sums and the rows that moved, or afresh where most
    have.
    """
    k = len(total_KD)
    if 2 * len(moved) > len(new_R):
        return on.total(new_R, np.arange(len(new_R)), k)
    return total_KD + on.total(new_R, moved, k) - on.total(old_R, moved, k)


def totals(x_RD: np.ndarray, label_R: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """For each cluster the sum of those of its members that are among `rows`."""
    total_KD = np.zeros((k, x_RD.shape[1]))
    by_cluster = rows[np.argsort(label_R[rows], kind="stable")]
    ends = np.cumsum(np.bincount(label_R[rows], minlength=k))
    for cluster, members in enumerate(np.split(by_cluster, ends[:-1])):
        for start in range(0, len(members), CHUNK_ROWS):
            total_KD[cluster] += x_RD[members[start : start + CHUNK_ROWS]].sum(axis=0)
    return total_KD


def mean_directions(x_RD: np.ndarray, label_R: np.ndarray) -> np.ndarray:
    """float32 [K, D], of length 1: what a row of a cluster 0..K-1 is on average."""
    return normalise(totals(x_RD, label_R, np.arange(len(x_RD)), int(label_R.max()) + 1).astype(np.float32))


def objective(x_RD: np.ndarray, label_R: np.ndarray) -> float:
    """Mean cosine of rows of length 1 to the mean direction of their cluster: what spherical k-means maximises."""
    total_KD = totals(x_RD, label_R, np.arange(len(x_RD)), int(label_R.max()) + 1)
    return float(np.linalg.norm(total_KD, axis=1).sum() / len(x_RD))
