"""A mixture of Gaussians with diagonal covariances, scikit-learn's: clusters may be wide or narrow in each feature.

R rows, D features, K clusters, S drawn rows.
"""

import logging
import warnings

import numpy as np

from mygo.params import ClusteringParams
from mygo.selection.clustering.samples import draw
from mygo.selection.reading.material import stream

logger = logging.getLogger(__name__)

MOST_ROWS = 20_000  # that it is fitted to, in float64
CHUNK_ROWS = 8_192


def gaussian_mixture(x_RD: np.ndarray, k: int, params: ClusteringParams, seed: int) -> np.ndarray:
    """The likeliest component of each of the float32 rows, 0..K-1; some may have no row.

    Expectation maximisation, `max_iters` at most, from one k-means, on a draw of `MOST_ROWS` rows (or of `k`, if that
    is more).
    """
    if len(x_RD) == 1:  # scikit-learn takes two or more
        return np.zeros(1, dtype=np.int32)
    from sklearn.mixture import GaussianMixture

    rng = stream(seed, "gaussian_mixture")
    drawn_S = draw(len(x_RD), max(MOST_ROWS, k), rng)
    model = GaussianMixture(k, covariance_type="diag", max_iter=params.max_iters, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge is said below; fewer distinct rows than clusters
        model.fit(x_RD[drawn_S].astype(np.float64))
    if not model.converged_:
        logger.info("%s", f"the mixture still moved in iteration {model.n_iter_}, the last one")
    chunks = [x_RD[start : start + CHUNK_ROWS] for start in range(0, len(x_RD), CHUNK_ROWS)]
    return np.concatenate([model.predict(x_BD.astype(np.float64)).astype(np.int32) for x_BD in chunks])
