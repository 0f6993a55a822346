"""What samples are clustered by: rows of length 1, so that only their direction counts (cosine).

R rows (places in the pool, ascending), D features, L layers, W words that are hashed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mygo.data.pool import iter_batches
from mygo.data.records import from_records
from mygo.errors import UserError
from mygo.params import ClusteringParams
from mygo.selection.clustering.kmeans import normalise
from mygo.selection.clustering.samples import draw
from mygo.selection.reading.material import stream
from mygo.selection.reading.statistics import CLUSTERED_BY, Statistics

TEXT_FEATURES = 100  # of the text, as is usual for latent semantic analysis
HASHED = 2**18  # W
PCA_ROWS = 50_000  # that the components are taken of
BATCH_ROWS = 4_096

# (statistics, rows, folder of the pool, seed) -> float32 [R, D]
Features = Callable[[Statistics, np.ndarray, Path, int], np.ndarray]


def automatic(recorded: Statistics, rows: np.ndarray, _pool: Path, _seed: int) -> np.ndarray:
    """Router probabilities where the selector has routers, else the mean hidden state (DESIGN section 6)."""
    return recorded.features(rows)


def router_probs(recorded: Statistics, rows: np.ndarray, _pool: Path, _seed: int) -> np.ndarray:
    """Mean router probability of each layer and expert."""
    return recorded.features(rows, CLUSTERED_BY["router_probs"])


def router_logits(recorded: Statistics, rows: np.ndarray, _pool: Path, _seed: int) -> np.ndarray:
    """Mean router logit of each layer and expert."""
    return recorded.features(rows, CLUSTERED_BY["router_logits"])


def hidden_mean(recorded: Statistics, rows: np.ndarray, _pool: Path, _seed: int) -> np.ndarray:
    """Mean last hidden state: of the base where collect recorded it, else of the selector."""
    return recorded.features(rows, CLUSTERED_BY["hidden_mean"])


def gate_profile(recorded: Statistics, rows: np.ndarray, _pool: Path, _seed: int) -> np.ndarray:
    """Mean good_ratio of each layer."""
    return recorded.features(rows, CLUSTERED_BY["gate_profile"])


def text(_recorded: Statistics, rows: np.ndarray, pool: Path, seed: int) -> np.ndarray:
    """Latent semantic analysis of the conversations: words hashed to `HASHED` columns, TF-IDF, and of that the
    `TEXT_FEATURES` largest singular directions (fewer in a smaller pool). A conversation without a word is a row of
    zeros.
    """
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    options: dict[str, Any] = {"alternate_sign": False, "norm": None, "dtype": np.float32}
    hashing = HashingVectorizer(n_features=HASHED, **options)
    counts_RW = sparse.vstack([hashing.transform(texts) for texts in _texts(pool, rows)]).tocsr()
    if not counts_RW.nnz:
        return np.zeros((len(rows), 1), dtype=np.float32)
    weights_RW = TfidfTransformer(sublinear_tf=True).fit_transform(counts_RW)
    words = len(np.unique(weights_RW.indices))
    components = max(1, min(TEXT_FEATURES, len(rows) - 1, words - 1))
    svd = TruncatedSVD(components, random_state=int(stream(seed, "text").integers(2**31)))
    with np.errstate(invalid="ignore", divide="ignore"):  # equal texts: there is no variance to share
        return svd.fit_transform(weights_RW).astype(np.float32)


def _texts(pool: Path, rows: np.ndarray) -> Iterator[list[str]]:
    """What is said in the conversations of these rows, a batch at a time."""
    first = 0
    for batch in iter_batches(pool, ["messages"], BATCH_ROWS):
        here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + batch.num_rows)] - first
        first += batch.num_rows
        conversations = from_records(batch.column("messages").take(here)) if len(here) else []
        if conversations:
            yield ["\n".join(message["content"] for message in messages) for messages in conversations]


FEATURES: dict[str, Features] = {
    "auto": automatic,
    "router_probs": router_probs,
    "router_logits": router_logits,
    "hidden_mean": hidden_mean,
    "gate_profile": gate_profile,
    "text": text,
}


def features_of(recorded: Statistics, rows: np.ndarray, params: ClusteringParams, seed: int, pool: Path) -> np.ndarray:
    """float32 [R, D], rows of length 1 (a row of zeros stays one); with `pca` as many principal components, again of
    length 1.

    Raises `UserError` if collect did not record what they are made of, or there are too few rows for `pca`.
    """
    x_RD = normalise(FEATURES[params.features](recorded, rows, pool, seed))
    return x_RD if params.pca is None else normalise(_components(x_RD, params.pca, seed))


def _components(x_RD: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Principal components of the rows, by randomised SVD of a draw; signs as scikit-learn fixes them."""
    most = min(x_RD.shape[1], len(x_RD))
    if count > most:
        raise UserError(
            f"select.clustering.pca: got {count}, with {len(x_RD):,} samples of {x_RD.shape[1]:,} features; takes "
            f"{most:,} at most, or null"
        )
    from sklearn.decomposition import PCA

    rng = stream(seed, "pca")
    drawn = draw(len(x_RD), max(PCA_ROWS, count), rng)
    pca = PCA(count, svd_solver="randomized", random_state=int(rng.integers(2**31)))
    with np.errstate(invalid="ignore", divide="ignore"):  # equal rows: there is no variance to share
        pca.fit(x_RD[drawn])
    chunks = [pca.transform(x_RD[start : start + BATCH_ROWS]) for start in range(0, len(x_RD), BATCH_ROWS)]
    return np.concatenate(chunks).astype(np.float32)
