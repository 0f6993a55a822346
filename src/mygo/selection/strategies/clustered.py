"""Round robin over clusters, and what it counts by."""

import numpy as np

from mygo.selection.strategies.candidates import Candidates

NOISE = -1  # the cluster of what a clustering leaves over
NO_CLUSTER = -2  # of a row that was not clustered


def cluster_round_robin(candidates: Candidates) -> np.ndarray:
    """The best row of every cluster, then the second best of every cluster, and so on; in each round the clusters go by
    their best row's rank. Noise is a cluster that is drawn when all others are empty.
    """
    cluster_R = candidates.cluster_R
    turn_R = places_in_group(cluster_R)
    return candidates.ranked[np.lexsort((number_clusters(cluster_R), turn_R, cluster_R == NOISE))]


def number_clusters(cluster_R: np.ndarray) -> np.ndarray:
    """The same clusters, numbered from 0 in the order in which they first appear; noise stays noise."""
    inside = cluster_R != NOISE
    number_R = np.full(len(cluster_R), NOISE)
    _, first, inverse = np.unique(cluster_R[inside], return_index=True, return_inverse=True)
    number_R[inside] = np.argsort(np.argsort(first))[inverse]
    return number_R


def places_in_group(group_R: np.ndarray) -> np.ndarray:
    """How many of the same group come before each one."""
    _, inverse, size = np.unique(group_R, return_inverse=True, return_counts=True)
    place_R = np.empty(len(group_R), dtype=np.int64)
    place_R[np.argsort(inverse, kind="stable")] = np.arange(len(group_R)) - np.repeat(np.cumsum(size) - size, size)
    return place_R
