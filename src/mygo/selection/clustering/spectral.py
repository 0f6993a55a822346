"""Spectral clustering (Ng, Jordan & Weiss 2001), scikit-learn's, on the graph of nearest neighbours.

R rows, S drawn rows, D features.
"""

import logging
import warnings

import numpy as np

from mygo.params import ClusteringParams
from mygo.selection.clustering.samples import draw, follow_centres
from mygo.selection.reading.material import stream

logger = logging.getLogger(__name__)

MOST_ROWS = 5_000  # neighbours cost rows x rows x features: 2 s on one core at 1,024 features; memory is small
NEIGHBOURS = 10


def spectral(x_RD: np.ndarray, k: int, _params: ClusteringParams, seed: int) -> np.ndarray:
    """Labels 0..K-1 of float32 rows of length 1. Labels come from the eigenvectors by QR (Damle, Minden & Ying 2019),
    which draws nothing.

    Of a pool of more than `MOST_ROWS`, or of `k` if that is more, that many are drawn and clustered; every other row
    follows the closest mean direction.
    """
    drawn_S = draw(len(x_RD), max(MOST_ROWS, k), stream(seed, "spectral"))
    if len(drawn_S) < len(x_RD):
        logger.info("%s", f"spectral: {len(drawn_S):,} of {len(x_RD):,} samples are drawn, the others follow")
    return follow_centres(x_RD, drawn_S, _fit(x_RD[drawn_S], k, seed))


def _fit(x_SD: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import SpectralClustering

    if k == 1 or k == len(x_SD):  # eigenvectors tell nothing more, and ARPACK takes no k that large
        return np.arange(len(x_SD), dtype=np.int32) % k if k > 1 else np.zeros(len(x_SD), dtype=np.int32)
    neighbours = min(NEIGHBOURS, max(2, len(x_SD) // k))  # more than a cluster has would join it to others
    model = SpectralClustering(
        k,
        affinity="nearest_neighbors",
        n_neighbors=neighbours,
        assign_labels="cluster_qr",
        random_state=int(stream(seed, "eigenvectors").integers(2**31)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the graph falls into parts: such are clusters
        return np.asarray(model.fit_predict(x_SD.astype(np.float64)), dtype=np.int32)
