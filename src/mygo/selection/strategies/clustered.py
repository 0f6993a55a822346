"""Round robin over clusters, and what it counts by."""

import numpy as np

from mygo.selection.strategies.candidates import Candidates

NOISE = -1


def cluster_round_robin(candidates: Candidates) -> np.ndarray:
    """The best row of every cluster, then the second best of every cluster, and so on; in each round the clusters go by
    their best row's rank. Noise, which belongs to no cluster, is drawn last, best first.
    """
    cluster_R = candidates.cluster_R
    turn_R = np.where(cluster_R == NOISE, len(cluster_R), places_in_group(cluster_R))
    return candidates.ranked[np.lexsort((number_clusters(cluster_R), turn_R))]


def number_clusters(cluster_R: np.ndarray) -> np.ndarray:
    """The same clusters, numbered from 0 in the order in which they first appear."""
    _, first, inverse = np.unique(cluster_R, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def places_in_group(group_R: np.ndarray) -> np.ndarray:
    """How many of the same group come before each one."""
    _, inverse, size = np.unique(group_R, return_inverse=True, return_counts=True)
    place_R = np.empty(len(group_R), dtype=np.int64)
    place_R[np.argsort(inverse, kind="stable")] = np.arange(len(group_R)) - np.repeat(np.cumsum(size) - size, size)
    return place_R
