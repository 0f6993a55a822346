"""Clusters of the samples that can be kept: features in, labels out, with what there is to say of them.

R rows (places in the pool, ascending), D features, S drawn rows.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mygo.errors import UserError
from mygo.params import ClusteringParams, SelectParams
from mygo.selection.clustering.elbow import Elbow, find_elbow
from mygo.selection.clustering.features import features_of
from mygo.selection.clustering.gaussian_mixture import gaussian_mixture
from mygo.selection.clustering.hdbscan import hdbscan
from mygo.selection.clustering.kmeans import kmeans, objective
from mygo.selection.clustering.projection import project
from mygo.selection.clustering.samples import draw
from mygo.selection.clustering.spectral import spectral
from mygo.selection.reading.material import stream
from mygo.selection.reading.statistics import Statistics
from mygo.selection.strategies.clustered import NOISE

logger = logging.getLogger(__name__)

SILHOUETTE_ROWS = 4_000
Row = dict[str, Any]

# (rows of length 1, number of clusters, params, seed) -> label of each row, int32, NOISE or 0 and up
Method = Callable[[np.ndarray, int, ClusteringParams, int], np.ndarray]
METHODS: dict[str, Method] = {
    "kmeans": kmeans,
    "hdbscan": hdbscan,
    "spectral": spectral,
    "gaussian_mixture": gaussian_mixture,
}


@dataclass(frozen=True)
class Clustering:
    """`label_R`: int32, 0..K-1 without gaps, or `NOISE`. `plots`: rows of `elbow` and `projection` (whose `row` is a
    place in the pool, and `cluster` a label), each of one row at least.
    """

    label_R: np.ndarray
    metrics: Row
    plots: dict[str, list[Row]]


# What the plots hold where nothing was clustered: DVC wants the files, with their columns.
NOTHING: dict[str, list[Row]] = {
    "elbow": [{"clusters": None, "gap": None, "chosen": None}],
    "projection": [{"row": None, "x": None, "y": None, "cluster": None}],
}


def cluster(statistics: Statistics, rows: np.ndarray, params: SelectParams, seed: int, pool: Path) -> Clustering:
    """Cluster these rows of the pool (ascending) as `params.clusters` and `params.clustering` say; `clusters` is not
    null. Scores and labels of samples have no part in it.

    Raises `UserError` if there are too few rows, or the features are not there.
    """
    chosen = params.clustering
    check_sizes(len(rows), params)
    x_RD = features_of(statistics, rows, chosen, seed, pool)
    elbow = find_elbow(x_RD, chosen, seed) if params.clusters == "auto" and chosen.method != "hdbscan" else None
    asked = elbow.clusters if elbow else params.clusters if isinstance(params.clusters, int) else 0
    label_R = without_gaps(METHODS[chosen.method](x_RD, asked, chosen, seed))
    drawn_S, placed_S2 = project(x_RD, label_R, chosen.projection, seed)
    plots = {"elbow": _elbow_rows(elbow, x_RD, label_R), "projection": NOTHING["projection"]}
    if len(drawn_S):
        plots["projection"] = [
            {"row": int(row), "x": x, "y": y, "cluster": int(label)}
            for row, (x, y), label in zip(rows[drawn_S], placed_S2.tolist(), label_R[drawn_S], strict=True)
        ]
    return Clustering(label_R, {"clusters": describe(x_RD, label_R, seed)}, plots)


def check_sizes(rows: int, params: SelectParams) -> None:
    """Raise `UserError` for what so few rows cannot give."""
    chosen, clusters = params.clustering, params.clusters
    if chosen.method == "hdbscan":
        for key in ("min_cluster_size", "min_samples"):
            value = getattr(chosen, key)
            if value is not None and value > rows:
                raise UserError(
                    f"select.clustering.{key}: got {value:,}, but {rows:,} samples can be graded; takes no more than "
                    "that"
                )
    elif isinstance(clusters, int) and clusters > rows:
        raise UserError(
            f"select.clusters: got {clusters:,}, but {rows:,} samples can be graded; takes no more than that"
        )
    elif clusters == "auto" and chosen.k_range[0] > rows:
        raise UserError(
            f"select.clustering.k_range: got {chosen.k_range}, but {rows:,} samples can be graded; takes a first "
            "number of no more than that"
        )


def describe(x_RD: np.ndarray, label_R: np.ndarray, seed: int) -> Row:
    """Number and sizes of the clusters; `noise`: the share of rows in none, where there is one; `silhouette`: mean
    cosine silhouette of a draw of the rows that are in a cluster, left out where it has none (fewer than two clusters,
    or all of one row).
    """
    sizes = np.bincount(label_R[label_R >= 0])
    described: Row = {"count": len(sizes)}
    if len(sizes):
        described |= {"smallest": sizes.min(), "median": float(np.median(sizes)), "largest": sizes.max()}
    if (label_R == NOISE).any():
        described["noise"] = float((label_R == NOISE).mean())
    silhouette = _silhouette(x_RD, label_R, seed)
    return described if silhouette is None else described | {"silhouette": silhouette}


def _silhouette(x_RD: np.ndarray, label_R: np.ndarray, seed: int) -> float | None:
    inside = np.flatnonzero(label_R >= 0)
    drawn = inside[draw(len(inside), SILHOUETTE_ROWS, stream(seed, "silhouette"))]
    if not 2 <= len(np.unique(label_R[drawn])) < len(drawn):
        return None
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(x_RD[drawn], label_R[drawn], metric="cosine"))


def _elbow_rows(elbow: Elbow | None, x_RD: np.ndarray, label_R: np.ndarray) -> list[Row]:
    """The curve, or the one point of a number that was given."""
    if elbow:
        return elbow.rows()
    inside = label_R >= 0
    if not inside.any():
        return NOTHING["elbow"]
    gap = max(0.0, 1 - objective(x_RD if inside.all() else x_RD[inside], label_R[inside]))
    return [{"clusters": int(label_R.max()) + 1, "gap": gap, "chosen": True}]


def without_gaps(label_R: np.ndarray) -> np.ndarray:
    """Clusters that got no row are no clusters."""
    inside = label_R >= 0
    dense_R = np.full(len(label_R), NOISE, dtype=np.int32)
    dense_R[inside] = np.unique(label_R[inside], return_inverse=True)[1]
    return dense_R
