"""Clusters drawn in two dimensions: where a sample of the rows lies.

R rows, D features, S drawn rows.
"""

from collections.abc import Callable

import numpy as np

from mygo.errors import UserError
from mygo.selection.reading.material import stream

DRAWN_ROWS = 2_000
FEWEST_FOR_UMAP = 5  # its layout starts from eigenvectors of a graph of neighbours

# (rows of length 1, randomness) -> float64 [S, 2]
Projection = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def pca(x_SD: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first two principal components; signs as scikit-learn fixes them. What is not there is 0."""
    from sklearn.decomposition import PCA

    components = min(2, *x_SD.shape)
    model = PCA(components, svd_solver="randomized", random_state=int(rng.integers(2**31)))
    with np.errstate(invalid="ignore", divide="ignore"):  # one row, or equal ones: there is no variance to share
        placed = model.fit_transform(x_SD.astype(np.float64))
    return np.pad(placed, ((0, 0), (0, 2 - components)))


def umap(x_SD: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """UMAP (McInnes, Healy & Melville 2018) by cosine, of umap-learn; PCA below `FEWEST_FOR_UMAP` rows.

    Raises `UserError` if umap-learn is not installed.
    """
    if len(x_SD) < FEWEST_FOR_UMAP:
        return pca(x_SD, rng)
    try:
        from umap import UMAP
    except ImportError:
        raise UserError(
            "select.clustering.projection: got umap, and umap is not installed here (pip install "
            "'mygo[umap]'); takes pca or none"
        ) from None
    neighbours, seed = min(15, len(x_SD) - 1), int(rng.integers(2**31))
    start = "spectral" if len(x_SD) > 4 * FEWEST_FOR_UMAP else "random"
    model = UMAP(n_neighbors=neighbours, metric="cosine", init=start, random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(x_SD), dtype=np.float64)


def none(x_SD: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
    """Nothing is drawn."""
    return np.empty((0, 2))


PROJECTIONS: dict[str, Projection] = {"pca": pca, "umap": umap, "none": none}


def project(x_RD: np.ndarray, label_R: np.ndarray, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are drawn (S of them, ascending), and where: float64 [S, 2], [0, 2] for the projection `none`."""
    rng = stream(seed, "projection")
    drawn_S = stratified(label_R, DRAWN_ROWS, rng)
    placed_S2 = PROJECTIONS[name](x_RD[drawn_S], rng)
    return drawn_S[: len(placed_S2)], placed_S2


def stratified(label_R: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` rows, ascending, each cluster in the share that it has, to one row: every so-manieth of the rows
    in the order of their clusters, shuffled within each.
    """
    order = np.lexsort((rng.random(len(label_R)), label_R))
    if len(order) <= most:
        return np.sort(order)
    places = ((np.arange(most) + rng.random()) * len(order) / most).astype(np.int64)
    return np.sort(order[places])
