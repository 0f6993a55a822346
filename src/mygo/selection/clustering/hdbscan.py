"""HDBSCAN (Campello, Moulavi & Sander 2013), scikit-learn's: clusters are what is dense, the rest is noise (-1).

R rows, D features, S drawn rows.
"""

import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mygo.params import ClusteringParams
from mygo.selection.clustering.samples import draw, follow_rows
from mygo.selection.reading.material import stream

logger = logging.getLogger(__name__)

MOST_ROWS = 20_000
MOST_WORK = 2**34  # rows x rows x features of a fit: 20 to 40 s on one core
MOST_PAIRS = 2**26  # distances that cosine, which no tree can search, holds at once: 8,192 rows, 0.5 GiB
TUNE_ROWS = 4_000  # that the grid is judged on
SIZES = (0.5, 1.0, 2.0)  # of the grid, times min_cluster_size
SAMPLES = (1.0, 0.2)  # of the grid, times min_samples


class Setting(NamedTuple):
    """As scikit-learn takes them, in rows of what is fitted."""

    min_cluster_size: int
    min_samples: int


def hdbscan(x_RD: np.ndarray, _k: int, params: ClusteringParams, seed: int) -> np.ndarray:
    """Labels of float32 rows of length 1: int32, -1 is noise.

    A pool that is too large (`most_rows`) is drawn from; `min_cluster_size` and `min_samples`, which are rows of the
    pool, shrink with it, and every other row takes the label of the drawn row that is closest by cosine.
    """
    factors = tuned(x_RD, params, seed) if params.auto_tune else (1.0, 1.0)
    drawn_S = draw(len(x_RD), most_rows(x_RD.shape[1], params.metric), stream(seed, "hdbscan"))
    setting = scaled(params, len(drawn_S) / len(x_RD), *factors)
    label_S = fit(x_RD[drawn_S], setting, params)
    if not (label_S >= 0).any():
        logger.info("%s", f"HDBSCAN finds no cluster: all {len(x_RD):,} samples are noise, one cluster drawn by score")
    return follow_rows(x_RD, drawn_S, label_S)


def most_rows(features: int, metric: str) -> int:
    """Up to how many rows are fitted: the time grows with rows squared times features."""
    most = min(MOST_ROWS, math.isqrt(MOST_WORK // features))
    return min(most, math.isqrt(MOST_PAIRS)) if metric == "cosine" else most


def scaled(params: ClusteringParams, share: float, size: float = 1.0, samples: float = 1.0) -> Setting:
    """The parameters for a draw of this share of the pool, times the factors of the grid; min_samples null: as
    min_cluster_size.
    """
    points = params.min_cluster_size if params.min_samples is None else params.min_samples
    return Setting(
        max(2, round(params.min_cluster_size * share * size)),
        max(1, round(points * share * samples * (size if params.min_samples is None else 1.0))),
    )


def tuned(x_RD: np.ndarray, params: ClusteringParams, seed: int) -> tuple[float, float]:
    """The factors of the grid with the highest `validity` on a draw; the first of equal ones, and as given where none
    finds two clusters.
    """
    drawn_S = draw(len(x_RD), min(TUNE_ROWS, most_rows(x_RD.shape[1], params.metric)), stream(seed, "tune"))
    x_SD, best, factors = x_RD[drawn_S], 0.0, (1.0, 1.0)
    for size, samples in _grid():
        setting = scaled(params, len(x_SD) / len(x_RD), size, samples)
        if max(setting) > len(x_SD):
            continue
        label_S = fit(x_SD, setting, params)
        judged = validity(x_SD, label_S)
        logger.info("%s", f"HDBSCAN, min_cluster_size x {size}, min_samples x {samples}: validity {judged:.3f}")
        if judged > best:
            best, factors = judged, (size, samples)
    return factors


def _grid() -> Iterator[tuple[float, float]]:
    return ((size, samples) for size in SIZES for samples in SAMPLES)


def validity(x_SD: np.ndarray, label_S: np.ndarray) -> float:
    """Mean cosine silhouette of the rows in clusters times the share of rows that are in one: noise counts 0. -1 where
    there are fewer than two clusters.

    Ours, in place of DBCV's relative validity (Moulavi et al. 2014), which scikit-learn does not offer.
    """
    from sklearn.metrics import silhouette_score

    inside = label_S >= 0
    if not 2 <= len(np.unique(label_S[inside])) < np.count_nonzero(inside):
        return -1.0
    return float(silhouette_score(x_SD[inside], label_S[inside], metric="cosine")) * float(inside.mean())


def fit(x_SD: np.ndarray, setting: Setting, params: ClusteringParams) -> np.ndarray:
    """Labels of these rows alone, by the library that `backend` names."""
    options: dict[str, Any] = {**setting._asdict(), "metric": params.metric}
    if params.backend in ("cuml", "auto"):
        from mygo.selection.clustering.on_gpu import cuml_hdbscan

        on_gpu = cuml_hdbscan(needed=params.backend == "cuml")
        if on_gpu is not None:
            return np.asarray(on_gpu(**options).fit_predict(x_SD), dtype=np.int32)
    from sklearn.cluster import HDBSCAN

    options["copy"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows that are all equal
        return HDBSCAN(**options).fit(x_SD.astype(np.float64)).labels_.astype(np.int32)
