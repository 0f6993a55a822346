"""How many clusters there are: where the curve of what k-means reaches bends.

S drawn rows, D features.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from mygo.params import ClusteringParams
from mygo.selection.clustering.kmeans import spherical_kmeans
from mygo.selection.clustering.samples import draw
from mygo.selection.reading.material import stream

logger = logging.getLogger(__name__)

ELBOW_ROWS = 20_000  # an elbow over these finds the knee that 100,000 have, in a fifth of the time
MOST_NUMBERS = 12  # of clusters that are tried
FLAT = 1e-6  # a curve that falls by less than this has no bend: the rows are alike


@dataclass(frozen=True)
class Elbow:
    """`gap`: 1 - the mean cosine of rows to their centres, for each number of clusters that was tried."""

    clusters: int
    tried: list[int]
    gap: list[float]

    def rows(self) -> list[dict[str, Any]]:
        """Of `elbow.csv`."""
        return [
            {"clusters": k, "gap": gap, "chosen": k == self.clusters}
            for k, gap in zip(self.tried, self.gap, strict=True)
        ]


def find_elbow(x_RD: np.ndarray, params: ClusteringParams, seed: int) -> Elbow:
    """Spherical k-means on a draw of the rows, for numbers of clusters over `k_range`; the knee of 1 - mean cosine is
    taken. Takes `k_range[0]` <= rows.
    """
    x_SD = x_RD[draw(len(x_RD), max(ELBOW_ROWS, params.k_range[0]), stream(seed, "elbow"))]
    tried = numbers(params.k_range[0], min(params.k_range[1], len(x_SD)))
    found = [spherical_kmeans(x_SD, k, stream(seed, f"elbow {k}"), params.max_iters) for k in tried]
    gap = [max(0.0, 1 - result.objective) for result in found]
    clusters = knee(tried, gap)
    logger.info("%s", f"elbow: {clusters} clusters, of {len(tried)} numbers from {tried[0]} to {tried[-1]}")
    return Elbow(clusters, tried, gap)


def numbers(low: int, high: int) -> list[int]:
    """At most `MOST_NUMBERS` whole numbers from `low` to `high`, each about the same multiple of the one before."""
    return sorted({round(value) for value in np.geomspace(low, high, MOST_NUMBERS).tolist()})


def knee(tried: list[int], gap: list[float]) -> int:
    """The knee by Kneedle (Satopää et al. 2011), kneed's; the smallest number where the curve has none."""
    if len(tried) < 3 or max(gap) - min(gap) < FLAT:
        return tried[0]
    from kneed import KneeLocator

    found = KneeLocator(tried, gap, curve="convex", direction="decreasing").knee
    if found is None:
        logger.info("%s", f"elbow: the curve has no bend from {tried[0]} to {tried[-1]}: the smallest number is taken")
    return tried[0] if found is None else int(found)
